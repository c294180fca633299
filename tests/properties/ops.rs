//! The operations, and how a trace prints them.

use std::fmt::{self, Debug, Display, Formatter};
use std::time::Duration;

use locket_model::spec::{Mode, Outcome, Path, Process};

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

#[derive(Clone, Copy, PartialEq, Eq)]
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

impl Debug for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !matches!(self.op, Op::Change(_)) {
            write!(f, "process {}: ", self.process)?;
        }
        match self.op {
            Op::Acquire { via, mode, kind, timeout } => {
                let timeout = match timeout {
                    Timeout::Try => "try once",
                    Timeout::Zero => "timeout 0",
                    Timeout::Millisecond => "timeout 1 ms",
                };
                write!(f, "{kind} {} via {via}, {timeout}", word(mode))
            }
            Op::Wait { via, mode, kind, timed } => {
                let timeout = if timed { "timeout 60 s" } else { "no timeout" };
                write!(f, "{kind} {} via {via}, {timeout}", word(mode))
            }
            Op::Release { via } => write!(f, "release via {via}"),
            Op::DropHandle { via } => write!(f, "drop the handle {via}"),
            Op::EndGuard { slot, end } => match end {
                End::Drop => write!(f, "drop guard {slot}"),
                End::Release => write!(f, "release guard {slot}"),
                End::Leak => write!(f, "leak guard {slot}"),
            },
            Op::IsCurrent { slot } => write!(f, "is guard {slot} current?"),
            Op::Kill => f.write_str("kill -9"),
            Op::Change(change) => write!(f, "{change}"),
        }
    }
}

fn word(mode: Mode) -> &'static str {
    match mode {
        Mode::Exclusive => "exclusive",
        Mode::Shared => "shared",
    }
}

impl Display for Spelling {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Dotted => "dotted",
            Self::Relative => "relative",
            Self::Upward => "upward",
            #[cfg(unix)]
            Self::Symlink => "symlink",
            #[cfg(unix)]
            Self::HardLink => "hard_link",
        })
    }
}

impl Display for HoldKind {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unguarded => f.write_str("acquire"),
            Self::Guard(slot) => write!(f, "lock with guard {slot},"),
        }
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lock => "the file",
            Self::Other => "the other name",
            Self::Away => "the name away",
        })
    }
}

impl Display for Change {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unlink(entry) => write!(f, "{entry} is unlinked"),
            Self::MoveAway => f.write_str("the file is renamed away"),
            Self::MoveBack => f.write_str("the file is renamed back"),
            Self::Replace => f.write_str("a new file is renamed over it"),
            Self::BecomeLink => f.write_str("a link to the other name is renamed over it"),
            Self::HardLink => f.write_str("the other name becomes a hard link to it"),
            Self::Chmod(mode) => write!(f, "chmod {mode:o}"),
            Self::Write(text) => write!(f, "{text:?} is written to it"),
        }
    }
}

impl Display for Response {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("done"),
            Self::Call(outcome) => f.write_str(match outcome {
                Outcome::Held => "held",
                Outcome::TimedOut => "timed out",
                Outcome::Failed => "failed",
                Outcome::Released => "released",
                Outcome::NotLocked => "not locked",
                Outcome::Refused => "refused",
            }),
            Self::TimedOut(after) => write!(f, "timed out after {after:?}"),
            Self::Current(true) => f.write_str("current"),
            Self::Current(false) => f.write_str("replaced"),
            Self::Waits => f.write_str("waits"),
            Self::Unexpected(text) => f.write_str(text),
        }
    }
}
