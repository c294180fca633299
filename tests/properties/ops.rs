//! The operations, and the interface of the lock under test.

use std::time::Duration;

use locket_model::spec::{Mode, Outcome, Path, Process, State};

use super::reference::Waiter;
use super::test_dir::TestDir;

/// A way to write the path of the lock file. Spellings of one absolute path share one state (L10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spelling {
    Plain,
    Dotted,
    Relative,
    /// `sub/../test.lock`. On Unix the system resolves it, and it is another path; on Windows it is the same.
    Upward,
    #[cfg(unix)]
    Symlink,
    /// A separate name, which can become a name of the same file.
    #[cfg(unix)]
    HardLink,
}

impl Spelling {
    pub(crate) const ALL: &[Self] = &[
        Self::Plain,
        Self::Dotted,
        Self::Relative,
        Self::Upward,
        #[cfg(unix)]
        Self::Symlink,
        #[cfg(unix)]
        Self::HardLink,
    ];

    /// Returns the absolute path's number in the model.
    pub(crate) fn path(self) -> Path {
        match self {
            Self::Upward if cfg!(unix) => 1,
            Self::Plain | Self::Dotted | Self::Relative | Self::Upward => 0,
            #[cfg(unix)]
            Self::Symlink => 2,
            #[cfg(unix)]
            Self::HardLink => 3,
        }
    }

    /// Returns the directory entry that it leads to.
    pub(crate) fn entry(self) -> Entry {
        match self {
            #[cfg(unix)]
            Self::HardLink => Entry::Other,
            _ => Entry::Lock,
        }
    }
}

/// A directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    Lock,
    Other,
    Away,
}

/// A change of the files by another program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Unlink(Entry),
    /// `Lock` is renamed to `Away`.
    MoveAway,
    MoveBack,
    /// A new file is renamed over `Lock`.
    Replace,
    /// A symbolic link to `Other` is renamed over `Lock`.
    BecomeLink,
    /// `Other` becomes a second name of `Lock`'s file.
    HardLink,
    Chmod(u32),
    Write(&'static str),
}

impl Change {
    pub(crate) const ALL: &[Self] = &[
        Self::Replace,
        Self::Unlink(Entry::Lock),
        Self::Unlink(Entry::Other),
        Self::MoveAway,
        Self::MoveBack,
        Self::BecomeLink,
        Self::HardLink,
        Self::Write("one"),
        Self::Write("another"),
        Self::Chmod(0o600),
        Self::Chmod(0o400),
    ];
}

/// The kind of a hold: the process's, or a guard's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HoldKind {
    Unguarded,
    Guard(Slot),
}

/// The name of a guard.
pub(crate) type Slot = char;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timeout {
    /// `try_lock` or `try_acquire`.
    Try,
    Zero,
    Millisecond,
}

/// The end of a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Drop,
    Release,
    Leak,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Acquire {
        via: Spelling,
        mode: Mode,
        kind: HoldKind,
        timeout: Timeout,
    },
    Release {
        via: Spelling,
    },
    DropHandle {
        via: Spelling,
    },
    EndGuard {
        slot: Slot,
        end: End,
    },
    IsCurrent {
        slot: Slot,
    },
    /// An acquisition that must wait. It waits on while other steps happen.
    Wait {
        via: Spelling,
        mode: Mode,
        kind: HoldKind,
        timed: bool,
    },
    /// `kill -9`. The next process gets the number.
    Kill,
    /// By no process in particular.
    Change(Change),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) process: Process,
    pub(crate) op: Op,
}

/// The response to a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Response {
    Nothing,
    Call(Outcome),
    /// A call timed out after this time, by its own account.
    TimedOut(Duration),
    Current(bool),
    Waits,
    /// A response that no law allows here.
    Unexpected(String),
}

pub(crate) trait Subject {
    /// Performs a step that is not a change of the files.
    fn act(&mut self, dir: &TestDir, step: Step) -> Response;

    /// Returns the state. `None` if it can be read through a handle only, and there is none.
    fn state(&mut self, dir: &TestDir, process: Process, via: Spelling) -> Option<State>;

    /// Waits for the end of a wait that must end now. Returns its response.
    fn end_of_wait(&mut self, waiter: &Waiter) -> Response;

    /// Returns whether the call still waits, as soon as it is in the kernel's queue for the file, or has ended.
    fn still_waits(&mut self, dir: &TestDir, waiter: &Waiter) -> bool;

    /// Returns the process ids, by number.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "used on Linux only"))]
    fn processes(&self) -> Vec<(Process, u32)>;
}
