//! What may happen, in words: a list of steps reads as a story.

use std::fmt::{self, Debug, Display, Formatter};
use std::time::Duration;

use locket_model::spec::{Mode, Outcome, Path, Process};

/// A way to name a lock file. Those that are one absolute path share one state (L10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Spelling {
    Plain,
    Dotted,
    Relative,
    /// `sub/../test.lock`, which the system walks, and which is another path: not on Windows.
    Upward,
    #[cfg(unix)]
    Symlink,
    /// A name of its own, which may come to be one of the same file.
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

    /// The absolute path's number in the model.
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

    /// The name in the directory that it leads to.
    pub(crate) fn entry(self) -> Entry {
        match self {
            #[cfg(unix)]
            Self::HardLink => Entry::Other,
            _ => Entry::Lock,
        }
    }
}

/// A name in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Entry {
    Lock,
    Other,
    Away,
}

/// What is done to the files behind everybody's back.
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

/// Where a hold goes: to the process, or to a guard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Kept,
    Guard(Slot),
}

/// A guard's name.
pub(crate) type Slot = char;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
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
pub(crate) enum Deed {
    Acquire {
        via: Spelling,
        mode: Mode,
        keep: Keep,
        patience: Patience,
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
    /// An acquisition that has to wait, and goes on waiting while other things happen.
    Wait {
        via: Spelling,
        mode: Mode,
        keep: Keep,
        timed: bool,
    },
    /// `kill -9`. The number is the next process's.
    Kill,
    /// Nobody's in particular.
    Change(Change),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) process: Process,
    pub(crate) deed: Deed,
}

/// What a step says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Nothing,
    Call(Outcome),
    /// A call timed out, after so long by its own account.
    TimedOut(Duration),
    Current(bool),
    Waits,
    /// Something that no law allows here.
    Trouble(String),
}

impl Debug for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !matches!(self.deed, Deed::Change(_)) {
            write!(f, "process {}: ", self.process)?;
        }
        match self.deed {
            Deed::Acquire { via, mode, keep, patience } => {
                let timeout = match patience {
                    Patience::Try => "try once",
                    Patience::Zero => "timeout 0",
                    Patience::Millisecond => "timeout 1 ms",
                };
                write!(f, "{keep} {} via {via}, {timeout}", word(mode))
            }
            Deed::Wait { via, mode, keep, timed } => {
                let timeout = if timed { "timeout 60 s" } else { "no timeout" };
                write!(f, "{keep} {} via {via}, {timeout}", word(mode))
            }
            Deed::Release { via } => write!(f, "release via {via}"),
            Deed::DropHandle { via } => write!(f, "drop the handle {via}"),
            Deed::EndGuard { slot, end } => match end {
                End::Drop => write!(f, "drop guard {slot}"),
                End::Release => write!(f, "release guard {slot}"),
                End::Leak => write!(f, "leak guard {slot}"),
            },
            Deed::IsCurrent { slot } => write!(f, "is guard {slot} current?"),
            Deed::Kill => f.write_str("kill -9"),
            Deed::Change(change) => write!(f, "{change}"),
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

impl Display for Keep {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept => f.write_str("acquire"),
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
            Self::MoveBack => f.write_str("what was renamed away comes back"),
            Self::Replace => f.write_str("a new file is renamed over it"),
            Self::BecomeLink => f.write_str("a link to the other name is renamed over it"),
            Self::HardLink => f.write_str("the other name becomes a hard link to it"),
            Self::Chmod(mode) => write!(f, "chmod {mode:o}"),
            Self::Write(text) => write!(f, "{text:?} is written to it"),
        }
    }
}

impl Display for Told {
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
            Self::Trouble(text) => f.write_str(text),
        }
    }
}
