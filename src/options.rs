//! What a handle asks of each acquisition. Plain data, which every layer may read.

use std::fmt;
use std::time::Duration;

/// How a lock is held: alone, or beside other shared holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mode {
    /// One hold, beside no other.
    #[default]
    Exclusive,
    /// Any number of shared holds, but no exclusive one.
    Shared,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
        })
    }
}

/// The access that an acquisition opens the lock file with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// The least that the file allows: reading, or writing where reading is refused.
    Least,
    /// Reading and writing. An exclusive lock on NFS needs it: see `Platform::needs_write_access`.
    ReadWrite,
}

/// What happens to an open file when its hold has ended, or when a wait with it was in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterUse {
    /// It may be kept open for the next acquisition.
    KeepOpen,
    Close,
}

#[derive(Clone, Debug)]
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "some options have no effect on some platforms")
)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    /// `None` waits without a limit.
    pub(crate) timeout: Option<Duration>,
    /// The pause between attempts, where the system cannot wake a timed waiter.
    pub(crate) retry_period: Duration,
    /// Whether a timed wait may be ended by a signal. If not, it polls.
    pub(crate) use_signals: bool,
    /// Whether the last component of the path may be a symbolic link.
    pub(crate) follow_links: bool,
    /// Whether the file may be created. If not, it must exist.
    pub(crate) create: bool,
    /// The permissions of a file that is created, before the umask.
    pub(crate) create_mode: u32,
    pub(crate) after_use: AfterUse,
}

impl Options {
    pub(crate) const DEFAULT: Self = Self {
        mode: Mode::Exclusive,
        timeout: None,
        retry_period: Duration::from_millis(50),
        use_signals: true,
        follow_links: true,
        create: true,
        create_mode: 0o666,
        after_use: AfterUse::KeepOpen,
    };

    /// Returns the same options with a timeout of zero: one attempt.
    pub(crate) fn one_attempt(&self) -> Self {
        Self { timeout: Some(Duration::ZERO), ..*self }
    }
}
