//! What can go wrong, and how a program tells one error from another.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{error, fmt, io};

use crate::report::lock_status::{LockStatus, Owner};

/// Why a lock could not be acquired, released or looked at.
///
/// [`kind`](Self::kind) tells what a program can do about it. The message (`Display`) names the path and the
/// cause, with a hint where one is known. It converts into an [`io::Error`] of the matching kind, so
/// `?` works in functions that return [`io::Result`].
///
/// The reference's `LockError` is the kinds [`WouldBlock`](ErrorKind::WouldBlock),
/// [`TimedOut`](ErrorKind::TimedOut) and [`NotLocked`](ErrorKind::NotLocked); its `OSError`s are the others.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let nowhere = locket::Lock::new(dir.path().join("missing").join("my_app.lock"));
/// let error = nowhere.lock().unwrap_err();
/// assert_eq!(error.kind(), locket::ErrorKind::InvalidPath);
/// assert_eq!(error.action(), locket::Action::Create);
/// assert_eq!(error.path(), nowhere.path());
/// # Ok::<(), std::io::Error>(())
/// ```
// Boxed: a result is returned by every call, and an error is rare.
pub struct LockError(Box<Details>);

#[derive(Debug)]
struct Details {
    path: PathBuf,
    action: Action,
    kind: ErrorKind,
    elapsed: Duration,
    status: LockStatus,
    source: Option<io::Error>,
    hint: Option<String>,
}

/// What kind of failure a [`LockError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The lock is held elsewhere, and a single attempt was all that was asked for: `try_lock`, or a
    /// timeout of zero. The state of the lock is as it was.
    WouldBlock,
    /// The lock was held elsewhere until the deadline, and at an attempt after it (L3). The state of
    /// the lock is as it was.
    TimedOut,
    /// The observer of [`Lock::on_wait`](crate::Lock::on_wait) cancelled the wait. The state of the lock is as it was.
    Cancelled,
    /// This process does not hold what it was to release: a mistake in the program.
    NotLocked,
    /// The user of this process may not open the file, or not create it there; or the file system is read-only.
    PermissionDenied,
    /// The file system or the platform does not support it.
    Unsupported,
    /// The system has run out of something: descriptors, memory, space on the disk, locks.
    ResourceExhausted,
    /// No lock file can be at this path: a directory on the way is missing, or it names something other
    /// than a file, or it is no valid path.
    InvalidPath,
    /// This process itself holds the lock, and no other thread could release it while it waits.
    Deadlock,
    /// The network file system has lost the file: its handle is stale (`ESTALE`).
    StaleHandle,
    /// Any other answer of the system.
    Other,
}

/// What the library was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// Opening the lock file, which exists.
    Open,
    /// Creating the lock file, which did not exist.
    Create,
    /// Acquiring the lock.
    Lock,
    /// Converting an exclusive hold to a shared one.
    Downgrade,
    /// Verifying that the path names the locked file.
    Verify,
    /// Querying which processes hold the lock.
    Query,
    /// Listing the locks of the system: [`system_locks`](crate::system_locks).
    List,
    /// Passing the hold on to children.
    Inherit,
    /// Releasing the lock. After an error of the system the hold is over as well: the descriptor was closed (L6).
    Unlock,
}

impl LockError {
    /// Returns the error of a lock that is held elsewhere. An attempt that did not wait has no elapsed time.
    pub(crate) fn contended(path: &Path, waited: Option<Duration>, status: LockStatus) -> Self {
        let kind = if waited.is_some() { ErrorKind::TimedOut } else { ErrorKind::WouldBlock };
        let elapsed = waited.unwrap_or_default();
        Self::new(Details { elapsed, status, ..Details::of(path, Action::Lock, kind) })
    }

    pub(crate) fn cancelled(path: &Path, elapsed: Duration) -> Self {
        Self::new(Details { elapsed, ..Details::of(path, Action::Lock, ErrorKind::Cancelled) })
    }

    pub(crate) fn not_locked(path: &Path, action: Action) -> Self {
        Self::new(Details::of(path, action, ErrorKind::NotLocked))
    }

    pub(crate) fn system(
        path: &Path,
        action: Action,
        kind: ErrorKind,
        source: io::Error,
        hint: Option<String>,
    ) -> Self {
        Self::new(Details { source: Some(source), hint, ..Details::of(path, action, kind) })
    }

    fn new(details: Details) -> Self {
        Self(Box::new(details))
    }

    /// Returns what kind of failure it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns whether the lock was held elsewhere: [`WouldBlock`](ErrorKind::WouldBlock) or
    /// [`TimedOut`](ErrorKind::TimedOut). A later attempt may succeed.
    #[must_use]
    pub fn is_contended(&self) -> bool {
        matches!(self.0.kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
    }

    /// Returns the absolute path of the lock file; an empty path for [`system_locks`](crate::system_locks).
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Returns what the library was doing.
    #[must_use]
    pub fn action(&self) -> Action {
        self.0.action
    }

    /// Returns how long the call waited, from its beginning to its last attempt or to the end by its observer.
    /// Zero for errors of other kinds than [`TimedOut`](ErrorKind::TimedOut) and [`Cancelled`](ErrorKind::Cancelled).
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed
    }

    /// Returns the holders of a lock that was held elsewhere, as far as they are known.
    ///
    /// These are the holders that the observer of the wait asked for last ([`WaitInfo::status`](crate::WaitInfo::status))
    /// and that still had the lock at the deadline ([`LockStatus::still_held`]). Without such an observer it is
    /// this process if it holds the lock itself (Unix), and otherwise none: a look at all locks takes longer
    /// than a deadline may be exceeded by (L3). [`Lock::status`](crate::Lock::status) returns all.
    #[must_use]
    pub fn holders(&self) -> &[Owner] {
        &self.0.status.holders
    }

    /// Returns the error of the system, if it is one: what the failed call returned (`errno`, `GetLastError`).
    #[must_use]
    pub fn io_error(&self) -> Option<&io::Error> {
        self.0.source.as_ref()
    }

    /// Returns the reason and a remedy in one sentence, where more is known than the system said.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
}

impl Details {
    fn of(path: &Path, action: Action, kind: ErrorKind) -> Self {
        Self {
            path: path.into(),
            action,
            kind,
            elapsed: Duration::ZERO,
            status: LockStatus::default(),
            source: None,
            hint: None,
        }
    }
}

impl ErrorKind {
    /// Returns the kind of an error as far as the standard library knows it on every platform.
    pub(crate) fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Io;
        match error.kind() {
            Io::PermissionDenied | Io::ReadOnlyFilesystem => Self::PermissionDenied,
            Io::Unsupported => Self::Unsupported,
            Io::OutOfMemory | Io::StorageFull | Io::QuotaExceeded => Self::ResourceExhausted,
            Io::NotFound | Io::NotADirectory | Io::IsADirectory | Io::InvalidInput => {
                Self::InvalidPath
            }
            Io::StaleNetworkFileHandle => Self::StaleHandle,
            // The library's own finding. `EDEADLK` of a system is about locks of another type.
            Io::Deadlock if error.raw_os_error().is_none() => Self::Deadlock,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Lock => "lock",
            Self::Downgrade => "downgrade",
            Self::Verify => "verify",
            Self::Query => "query the holders of",
            Self::List => "list the locks of",
            Self::Inherit => "pass on",
            Self::Unlock => "unlock",
        })
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Details { path, action, kind, elapsed, status, source, hint } = &*self.0;
        let path = path.display();
        match (kind, source) {
            (_, Some(source)) => {
                match action {
                    Action::List => write!(f, "cannot {action} the system: {source}")?,
                    _ => write!(f, "cannot {action} {path}: {source}")?,
                }
                hint.as_ref().map_or(Ok(()), |hint| write!(f, ": {hint}"))
            }
            // The reference's words.
            (ErrorKind::NotLocked, _) if *action == Action::Unlock => {
                write!(f, "cannot release unlocked lock: {path}")
            }
            (ErrorKind::NotLocked, _) => write!(f, "cannot {action} unlocked lock: {path}"),
            (ErrorKind::Cancelled, _) => {
                write!(f, "cancelled the wait for {path} after {:?}", shorten(*elapsed))
            }
            (kind, _) => {
                write!(f, "cannot lock {path}")?;
                if *kind == ErrorKind::TimedOut {
                    write!(f, " within {:?}", shorten(*elapsed))?;
                }
                if status.holders.is_empty() {
                    return f.write_str(": held by another process");
                }
                write!(f, ": held by {status}")
            }
        }
    }
}

/// Returns the duration with two or three digits. It is truncated, so it never claims more than was waited.
fn shorten(duration: Duration) -> Duration {
    let digit = match duration.as_millis() {
        0 => return duration,
        1..1000 => 1,
        _ => 100,
    };
    let whole = duration.as_millis() / digit * digit;
    u64::try_from(whole).map_or(duration, Duration::from_millis)
}

impl fmt::Debug for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `Display` tells the cause, so there is no `source` that a report would print a second time:
/// [`LockError::io_error`] returns it.
impl error::Error for LockError {}

impl From<LockError> for io::Error {
    fn from(error: LockError) -> Self {
        let kind = match (error.kind(), error.io_error()) {
            (_, Some(source)) => source.kind(),
            (ErrorKind::WouldBlock, _) => io::ErrorKind::WouldBlock,
            (ErrorKind::TimedOut, _) => io::ErrorKind::TimedOut,
            (ErrorKind::NotLocked, _) => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}
