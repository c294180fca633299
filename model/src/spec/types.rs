//! The types of the specification.

/// A process, by a number.
pub type Process = u32;
/// An absolute path, by a number. All handles of one path in one process share one state.
pub type Path = u32;
/// A file's identity (device and inode), by a number. Holds exclude each other by file.
pub type File = u64;
/// One acquisition, by a number that the caller chooses; unique within the process.
pub type HoldId = u64;

/// The mode of a hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Excludes every other hold of the file.
    #[default]
    Exclusive,
    /// Excludes exclusive holds only.
    Shared,
}

impl Mode {
    /// Returns whether two holds of these modes exclude each other.
    #[must_use]
    pub const fn conflicts(self, other: Self) -> bool {
        matches!((self, other), (Self::Exclusive, _) | (_, Self::Exclusive))
    }
}

/// The stage of a hold.
///
/// | stage | in the ledger | in the kernel | next step |
/// |---|---|---|---|
/// | `Granted` | no | locked | `Record`, or `Unlock` if the acquisition gives up |
/// | `Recorded` | in its mode | locked in its mode | `Take`, `TakeGuard` or `Lower` |
/// | `Lowered` | as shared | locked exclusive | `Convert`, or `Restore` if the kernel refuses |
/// | `Taken` | no | locked | `Unlock` |
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The kernel has granted the lock; the acquisition has not returned yet.
    Granted,
    /// The hold is in the ledger; the program may rely on it.
    Recorded,
    /// The ledger records the hold as shared; the kernel's lock is still exclusive.
    Lowered,
    /// A release has taken the hold out of the ledger and has not unlocked it yet.
    Taken,
}

/// A lock that the kernel has granted to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hold {
    /// The process.
    pub process: Process,
    /// The acquisition within the process.
    pub id: HoldId,
    /// The path that the acquisition used.
    pub path: Path,
    /// The locked file.
    pub file: File,
    /// The mode of the kernel's lock.
    pub mode: Mode,
    /// True for a hold of `acquire`: any `release` of the path may end it. False for a guard's hold.
    pub unguarded: bool,
    /// The stage.
    pub stage: Stage,
    /// Whether the path named the file at some moment since the grant (law L9).
    pub named: bool,
}

/// The state of one path in one process, as `Lock::state` returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing is held.
    Unlocked,
    /// One exclusive hold.
    HeldExclusive,
    /// This number of shared holds.
    HeldShared(usize),
    /// Nothing is held, and the last release was an error.
    ReleasedError,
}

impl Hold {
    /// Returns the mode that the ledger records.
    #[must_use]
    pub fn mode_in_ledger(&self) -> Mode {
        if self.stage == Stage::Lowered { Mode::Shared } else { self.mode }
    }
}

/// The outcome of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// An acquisition got its hold.
    Held,
    /// The last attempt of an acquisition found the lock held.
    TimedOut,
    /// An acquisition met another error and holds nothing; or a downgrade met one and its hold is
    /// unchanged.
    Failed,
    /// A release ended a hold.
    Released,
    /// A release found no hold that it may end.
    NotLocked,
    /// A release ended its hold although the kernel refused to unlock it.
    Refused,
}

/// One atomic step of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// The kernel decides an attempt. Answers [`Answer::Granted`] or [`Answer::Contended`].
    Lock {
        /// The attempt. The step ignores its `stage` and `named`.
        hold: Hold,
    },
    /// An acquisition records its hold in the ledger and returns. Answers [`Answer::Returned`] with
    /// [`Outcome::Held`].
    Record {
        /// The process.
        process: Process,
        /// The hold.
        id: HoldId,
    },
    /// A release takes the oldest unguarded hold out of the ledger ([`Answer::Taken`]), or returns
    /// [`Outcome::NotLocked`].
    Take {
        /// The process of the ledger.
        process: Process,
        /// The path of the ledger.
        path: Path,
    },
    /// A guard takes its own hold out of the ledger. Answers [`Answer::Taken`].
    TakeGuard {
        /// The process.
        process: Process,
        /// The hold.
        id: HoldId,
    },
    /// The downgrade of a guard records its exclusive hold as shared in the ledger. Answers
    /// [`Answer::Done`].
    Lower {
        /// The process.
        process: Process,
        /// The hold.
        id: HoldId,
    },
    /// The kernel converts a lowered hold to shared, without a gap in which another exclusive hold
    /// could be granted. Answers [`Answer::Done`].
    Convert {
        /// The process.
        process: Process,
        /// The hold.
        id: HoldId,
    },
    /// The kernel refused a downgrade; the hold is exclusive as before. Answers
    /// [`Answer::Returned`] with [`Outcome::Failed`].
    Restore {
        /// The process.
        process: Process,
        /// The hold.
        id: HoldId,
    },
    /// The kernel frees a hold that is not yet, or no longer, in the ledger. Answers
    /// [`Answer::Done`].
    Unlock {
        /// The process.
        process: Process,
        /// The hold.
        id: HoldId,
    },
    /// The kernel refused an unlock, and a close has freed the lock since. Answers
    /// [`Answer::Returned`] with [`Outcome::Refused`].
    Refuse {
        /// The process of the ledger.
        process: Process,
        /// The path of the ledger.
        path: Path,
    },
    /// Sets the file that the path names: a create, an unlink, a rename or a replacement. Answers
    /// [`Answer::Done`].
    SetFile {
        /// The path.
        path: Path,
        /// The file that the path names from now on; `None` if the path names no file.
        file: Option<File>,
    },
    /// The process makes its first handle of a path. Answers [`Answer::Done`].
    FirstHandle {
        /// The process.
        process: Process,
        /// The path.
        path: Path,
    },
    /// The process drops its last handle of a path. Its holds stay. Answers [`Answer::Done`].
    LastHandle {
        /// The process.
        process: Process,
        /// The path.
        path: Path,
    },
    /// The process dies. Answers [`Answer::Done`].
    Crash {
        /// The process.
        process: Process,
    },
}

/// The answer to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// The kernel granted the lock.
    Granted,
    /// A conflicting hold exists.
    Contended,
    /// The release has taken this hold and must unlock it.
    Taken(HoldId),
    /// The call returns this outcome.
    Returned(Outcome),
    /// The step is done; it has no result.
    Done,
    /// The step is not enabled in this world: no correct lock takes it here. The world is unchanged.
    NotEnabled(&'static str),
}
