//! The words of the specification.

/// A process, by any number that names it.
pub type Process = u32;
/// An absolute path, by any number: what handles of one process share their state by.
pub type Path = u32;
/// A file's identity (device and inode), by any number: what excludes.
pub type File = u64;
/// One acquisition, by a number that its caller chose; unique within its process.
pub type HoldId = u64;

/// How a hold shares the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Nobody else.
    #[default]
    Exclusive,
    /// Any number of other shared holds.
    Shared,
}

impl Mode {
    /// Whether two holds of these modes may not be on one file at once.
    #[must_use]
    pub const fn conflicts(self, other: Self) -> bool {
        matches!((self, other), (Self::Exclusive, _) | (_, Self::Exclusive))
    }
}

/// How far a hold has come: see the picture of the [module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The system granted it; its acquisition has not returned yet.
    Granted,
    /// In the ledger: the program may rely on it.
    Recorded,
    /// In the ledger as shared, on the way from exclusive: the system has still to make it so.
    Lowered,
    /// A release took it out of the ledger and has still to unlock it.
    Taken,
}

/// A lock that the system has granted to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hold {
    /// Which process.
    pub process: Process,
    /// Which of its acquisitions.
    pub id: HoldId,
    /// The path it was acquired by.
    pub path: Path,
    /// The file it is on.
    pub file: File,
    /// How it shares the file, to the system.
    pub mode: Mode,
    /// Made by `acquire`, so that any `release` of the path may end it; otherwise a guard's own.
    pub kept: bool,
    /// How far it has come.
    pub stage: Stage,
    /// Whether the path named the file at some moment since the grant (law L9).
    pub named: bool,
}

/// What one path is to one process: what `Lock::state` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing held.
    Unlocked,
    /// An exclusive hold.
    HeldExclusive,
    /// So many shared holds.
    HeldShared(usize),
    /// Nothing held, and the last release was an error.
    ReleasedError,
}

impl Hold {
    /// How it shares the file, to the ledger.
    #[must_use]
    pub fn mode_in_ledger(&self) -> Mode {
        if self.stage == Stage::Lowered { Mode::Shared } else { self.mode }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// An acquisition got its hold.
    Held,
    /// An acquisition found the lock held at its last attempt.
    TimedOut,
    /// An acquisition met another error, and nothing is held by it; or a downgrade did, and the hold
    /// is as it was.
    Failed,
    /// A release ended a hold.
    Released,
    /// A release found nothing that it may end.
    NotLocked,
    /// A release gave its hold up although the system refused to unlock it.
    Refused,
}

/// One atomic step of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// The system decides an attempt: [`Answer::Granted`] or [`Answer::Contended`].
    Lock {
        /// The attempt; of `stage` and `named`, what stands here is not read.
        hold: Hold,
    },
    /// The acquisition enters its hold in the ledger and returns: [`Answer::Ended`] with
    /// [`Outcome::Held`].
    Record {
        /// Whose.
        process: Process,
        /// Which hold.
        id: HoldId,
    },
    /// A release takes the oldest kept hold out of the ledger ([`Answer::Taken`]), or ends with
    /// [`Outcome::NotLocked`].
    Take {
        /// Whose ledger.
        process: Process,
        /// Of which path.
        path: Path,
    },
    /// A guard takes its own hold out of the ledger: [`Answer::Taken`].
    TakeGuard {
        /// Whose.
        process: Process,
        /// Which hold.
        id: HoldId,
    },
    /// A guard's downgrade enters its exclusive hold in the ledger as a shared one:
    /// [`Answer::Done`].
    Lower {
        /// Whose.
        process: Process,
        /// Which hold.
        id: HoldId,
    },
    /// The system makes a lowered hold shared, without a gap for other holds: [`Answer::Done`].
    Convert {
        /// Whose.
        process: Process,
        /// Which hold.
        id: HoldId,
    },
    /// A downgrade learns that the system refused; the hold is exclusive as before: ends with
    /// [`Outcome::Failed`].
    Restore {
        /// Whose.
        process: Process,
        /// Which hold.
        id: HoldId,
    },
    /// The system frees a hold that is on its way into or out of the ledger: [`Answer::Done`].
    Unlock {
        /// Whose.
        process: Process,
        /// Which hold.
        id: HoldId,
    },
    /// A release learns that the system refused to unlock (what it held is freed by then): ends
    /// with [`Outcome::Refused`].
    Refuse {
        /// Whose ledger.
        process: Process,
        /// Of which path.
        path: Path,
    },
    /// The path comes to name another file, or none (created, unlinked, renamed, replaced):
    /// [`Answer::Done`].
    Name {
        /// Which path.
        path: Path,
        /// The file it names now.
        file: Option<File>,
    },
    /// The first handle of a path is made in a process: [`Answer::Done`].
    FirstHandle {
        /// Whose.
        process: Process,
        /// Of which path.
        path: Path,
    },
    /// The last handle of a path in a process is dropped. Holds stay: they are the process's.
    /// [`Answer::Done`].
    LastHandle {
        /// Whose.
        process: Process,
        /// Of which path.
        path: Path,
    },
    /// The process dies, at any moment: [`Answer::Done`].
    Crash {
        /// Which process.
        process: Process,
    },
}

/// What a step answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// The system granted the lock.
    Granted,
    /// Somebody else's hold is in the way.
    Contended,
    /// A release has this hold to unlock.
    Taken(HoldId),
    /// The call returns.
    Ended(Outcome),
    /// The step is done and says nothing.
    Done,
    /// No correct lock takes this step here; the world is left as it was.
    Wrong(&'static str),
}
