//! What can go wrong: somebody else holds the lock, nobody does, or the system says no.

use std::path::PathBuf;
use std::time::Duration;
use std::{error, fmt, io};

use super::holders::Holders;
use super::kind::ErrorKind;

/// Why a lock could not be taken or released.
///
/// Each message names the path and what was being done. Converts into an [`io::Error`] of the
/// matching kind, so `?` works in functions that return [`io::Result`].
///
/// The reference's `LockError` is [`TimedOut`](Self::TimedOut) and [`NotLocked`](Self::NotLocked);
/// its `OSError`s are [`Io`](Self::Io).
#[derive(Debug)]
#[non_exhaustive]
pub enum LockError {
    /// The lock was held by somebody else, at the deadline too (L3); a zero timeout and the `try_`
    /// calls say it at once. The state of the lock is as it was.
    #[non_exhaustive]
    TimedOut {
        /// The absolute path of the lock file.
        path: PathBuf,
        /// From the call to the last attempt; zero when one attempt was all that was asked for.
        waited: Duration,
        /// The holders that the observer of the wait was told last ([`Wait::holders`](crate::Wait::holders)) and that
        /// still had the lock at the deadline: see [`Holders::still_held`]. Without an observer that asked, this process
        /// if it holds the lock itself (Unix), and otherwise empty: to look the holders up takes longer than a
        /// deadline may be exceeded by (L3). [`Lock::holders`](crate::Lock::holders) returns all.
        holders: Holders,
    },
    /// The observer of [`Lock::on_wait`](crate::Lock::on_wait) put an end to the wait. The state of
    /// the lock is as it was.
    #[non_exhaustive]
    GivenUp {
        /// The absolute path of the lock file.
        path: PathBuf,
        /// From the beginning of the wait to its end.
        waited: Duration,
    },
    /// [`Lock::release`](crate::Lock::release) found nothing that an `acquire` in this process
    /// holds.
    #[non_exhaustive]
    NotLocked {
        /// The absolute path of the lock file.
        path: PathBuf,
    },
    /// The system refused something other than the lock itself.
    #[non_exhaustive]
    Io {
        /// The absolute path of the lock file.
        path: PathBuf,
        /// What was being done.
        action: Action,
        /// What sort of trouble it is.
        kind: ErrorKind,
        /// What the system said.
        source: io::Error,
        /// Why, and what to do about it, in a sentence for people; if more can be said than the
        /// system did.
        advice: Option<String>,
    },
}

/// What was being done when the system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Opening the lock file, which exists.
    Open,
    /// Creating the lock file, which did not exist.
    Create,
    /// Asking for the lock.
    Lock,
    /// Asking which file the path names now.
    Check,
    /// Asking who holds the lock.
    Ask,
    /// Passing the hold on to children.
    Inherit,
    /// Giving the lock back. It is given up all the same: the descriptor was closed (L6).
    Unlock,
}

/// A [`LockError::Io`] that does not know its path yet: what the system calls return.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) action: Action,
    /// The file system locks exclusively what is open for writing alone, and the descriptor is not.
    #[cfg_attr(not(unix), allow(dead_code, reason = "a file system that wants that is NFS"))]
    pub(crate) wants_writing: bool,
    pub(crate) source: io::Error,
    /// The reason, where the caller knows more than the system's number says.
    pub(crate) reason: Option<&'static str>,
}

impl Action {
    pub(crate) fn failed(self, source: impl Into<io::Error>) -> Failure {
        Failure { action: self, wants_writing: false, source: source.into(), reason: None }
    }
}

#[cfg_attr(not(unix), allow(dead_code, reason = "only there more is known than the system says"))]
impl Failure {
    /// Gives the reason, which is shown as the error's advice.
    pub(crate) fn because(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }
}

impl LockError {
    /// What sort of trouble it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::TimedOut { .. } => ErrorKind::Contended,
            Self::GivenUp { .. } => ErrorKind::GivenUp,
            Self::NotLocked { .. } => ErrorKind::NotLocked,
            Self::Io { kind, .. } => *kind,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Lock => "lock",
            Self::Check => "look at",
            Self::Ask => "look up the holders of",
            Self::Inherit => "pass on",
            Self::Unlock => "unlock",
        })
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { path, waited: Duration::ZERO, holders } => {
                write!(f, "couldn't lock {}: it is held ", path.display())?;
                if holders.held.is_empty() {
                    return f.write_str("elsewhere");
                }
                write!(f, "by {holders}")
            }
            Self::TimedOut { path, waited, holders } => {
                write!(f, "couldn't lock {} within {:?}", path.display(), shorten(*waited))?;
                if holders.held.is_empty() {
                    return f.write_str(": held by another process");
                }
                write!(f, ": held by {holders}")
            }
            Self::GivenUp { path, waited } => {
                write!(f, "gave up waiting for {} after {:?}", path.display(), shorten(*waited))
            }
            Self::NotLocked { path } => {
                write!(f, "cannot release unlocked lock: {}", path.display())
            }
            Self::Io { path, action, source, advice, .. } => {
                write!(f, "couldn't {action} {}: {source}", path.display())?;
                advice.as_ref().map_or(Ok(()), |advice| write!(f, ": {advice}"))
            }
        }
    }
}

/// A person reads two digits or three. Cut off, not rounded: that much was waited for sure.
fn shorten(duration: Duration) -> Duration {
    let digit = match duration.as_millis() {
        0 => return duration,
        1..1000 => 1,
        _ => 100,
    };
    let whole = duration.as_millis() / digit * digit;
    u64::try_from(whole).map_or(duration, Duration::from_millis)
}

impl error::Error for LockError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::TimedOut { .. } | Self::GivenUp { .. } | Self::NotLocked { .. } => None,
        }
    }
}

impl From<LockError> for io::Error {
    fn from(error: LockError) -> Self {
        let kind = match &error {
            LockError::TimedOut { waited: Duration::ZERO, .. } => io::ErrorKind::WouldBlock,
            LockError::TimedOut { .. } => io::ErrorKind::TimedOut,
            LockError::GivenUp { .. } => io::ErrorKind::Other,
            LockError::NotLocked { .. } => io::ErrorKind::InvalidInput,
            LockError::Io { source, .. } => source.kind(),
        };
        Self::new(kind, error)
    }
}
