//! What a handle carries to every acquisition.

use std::fmt;
use std::time::Duration;

use super::observer::Observer;

/// How a lock is held: alone, or beside others of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// One hold, beside no other.
    Exclusive,
    /// Any number of holds, but no exclusive one.
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

/// For what an acquisition opens the lock file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// As little as the file allows: reading, or writing where reading is refused.
    Least,
    /// Reading and writing. An exclusive lock on NFS needs it: see `os::needs_writing`.
    ReadWrite,
}

/// What becomes of a descriptor when its hold has ended, or a wait with it was in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterUse {
    /// It may be kept for the next acquisition.
    KeepOpen,
    Close,
}

#[derive(Clone, Debug)]
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "not every platform can do something with each")
)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    /// `None`: for as long as it takes.
    pub(crate) timeout: Option<Duration>,
    /// The pause between attempts, where the system cannot wake a timed waiter.
    pub(crate) retry_period: Duration,
    /// May a timed wait be ended by a signal? If not, it retries.
    pub(crate) signals: bool,
    /// May the last component of the path be a symbolic link?
    pub(crate) follow_links: bool,
    /// May the file be created? If not, there must be one.
    pub(crate) create: bool,
    /// The mode of a file that is created, before the umask.
    pub(crate) create_mode: u32,
    pub(crate) after_use: AfterUse,
    /// Who is told of a wait, if anybody.
    pub(crate) observer: Option<Observer>,
    /// How often.
    pub(crate) observe_every: Duration,
}

impl Options {
    pub(crate) const DEFAULT: Self = Self {
        mode: Mode::Exclusive,
        timeout: None,
        retry_period: Duration::from_millis(50),
        signals: true,
        follow_links: true,
        create: true,
        create_mode: 0o666,
        after_use: AfterUse::KeepOpen,
        observer: None,
        observe_every: Duration::from_secs(1),
    };

    /// The same request as one attempt, in which nobody waits.
    pub(crate) fn at_once(&self) -> Self {
        Self { timeout: Some(Duration::ZERO), observer: None, ..*self }
    }
}
