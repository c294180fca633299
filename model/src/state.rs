//! One instant of the protocol: processes, their ledgers and threads, and the system's files.
//!
//! A descriptor is a value, kept by whoever has it; the system's lock table *is* the set of all
//! descriptors. Nothing refers to anything by number, so two states that differ only in which
//! process or thread is which become equal by sorting.

use crate::list::List;
use crate::spec::{Mode, Outcome};

/// An open file description, as far as the system knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Descriptor {
    /// The file that it has open; the first is 0.
    pub file: u8,
    /// The lock that it has.
    pub lock: Option<Mode>,
}

/// How long an acquisition goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Patience {
    /// One attempt.
    Once,
    /// Until its deadline, which may pass at any moment.
    Deadline,
    /// For ever.
    #[default]
    Endless,
}

/// A call that acquires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acquire {
    /// How the hold is to share the file.
    pub mode: Mode,
    /// `acquire`, which any `release` may end; otherwise `lock`, which makes a guard.
    pub kept: bool,
    /// How long it waits.
    pub patience: Patience,
}

/// Where a thread is: what it does next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Outside.
    #[default]
    Idle,
    /// Opens the path.
    Open,
    /// Tries without blocking.
    Try,
    /// Was refused; looks whether it would wait for the file that the path names.
    Look,
    /// Blocks in the system.
    Block,
    /// Is in the system's queue.
    Queued,
    /// Was granted the lock; looks whether the path still names its file.
    Check,
    /// Enters the hold in the ledger.
    Record,
    /// Was refused at the deadline; looks whether the path still names that file.
    CheckLate,
    /// Closes a descriptor that the path does not name any more, and begins again.
    Reopen,
    /// Has a guard.
    Guarding,
    /// Downgrades its guard: the ledger says so already, and the system is to be told.
    Convert,
    /// Made a kept hold, and will call `release`.
    Owing,
    /// Only with [`Bug::PeeksBeforeTaking`]: has seen which hold to release.
    Peeked,
    /// Unlocks.
    Unlock,
    /// Only with [`Bug::UnlocksBeforeTaking`]: takes its hold out of the ledger.
    TakeLate,
    /// Gives its descriptor back to the ledger, and returns this.
    Retire(Outcome),
    /// Closes its descriptor, and returns this.
    Close(Outcome),
    /// Tells the ledger that the system refused to unlock.
    Refuse,
}

/// One thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thread {
    /// What it does next.
    pub place: Place,
    /// The call it is in, or that made its guard.
    pub call: Acquire,
    /// The descriptor in its hands.
    pub descriptor: Option<Descriptor>,
    /// How many wait ahead of it for the same file, while it is queued.
    pub ahead: u8,
    /// It has seen that its deadline has passed.
    pub overdue: bool,
    /// How many of its program's calls it has begun.
    pub begun: u8,
    /// What the checkers remember about it; the protocol never looks here.
    pub ghost: Ghost,
}

/// What a thread went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a memory of its own")]
pub struct Ghost {
    /// Its deadline has passed.
    pub late: bool,
    /// It was refused at or after its deadline, by the file it has open.
    pub refused: bool,
    /// The path named its file at some moment since the grant.
    pub named: bool,
    /// Of the marked thread: the path has not changed since it called.
    pub undisturbed: bool,
    /// The thread on which the liveness checkers look; at most one.
    pub watched: bool,
    /// How often others were granted a lock that is in its way, while it was queued.
    pub overtaken: u8,
    /// Only with [`Bug::LosesWakeUp`]: it will not notice that the lock is free.
    pub asleep: bool,
    /// Only with [`Bug::TrustsSpare`]: its descriptor was a spare.
    pub spare: bool,
}

/// A kept hold in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kept {
    /// What the ledger believes.
    pub mode: Mode,
    /// What the system knows.
    pub descriptor: Descriptor,
}

/// What a process holds by the path, as it knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ledger {
    /// How many exclusive holds.
    pub exclusive: u8,
    /// How many shared holds.
    pub shared: u8,
    /// The kept ones among them, oldest first.
    pub kept: List<Kept, 3>,
    /// Idle descriptors, for the next acquisition.
    pub spares: List<Descriptor, 3>,
    /// The last release was an error, and nothing is held.
    pub released_error: bool,
}

/// One process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Whether it has a handle of the path.
    pub handle: bool,
    /// What it knows.
    pub ledger: Ledger,
    /// Its threads.
    pub threads: List<Thread, 3>,
    /// Descriptors that nobody has any more, and nobody closed.
    pub lost: List<Descriptor, 3>,
    /// Ghost: kept holds made, less those that a release said it ended.
    pub credit: i8,
}

/// Everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// The file that the path names.
    pub names: Option<u8>,
    /// How many files there have been.
    pub files: u8,
    /// How many crashes may still come.
    pub crashes: u8,
    /// How often the path may still come to name another file, or none.
    pub renames: u8,
    /// How often the system may still refuse to unlock.
    pub refusals: u8,
    /// The processes.
    pub processes: List<Process, 4>,
}

/// An error that can be planted in the protocol, the ledger or the system, to show that a checker
/// would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The system wakes nobody when a lock ends by closing or dying.
    LosesWakeUp,
    /// The system lets an exclusive attempt in beside shared holds.
    IgnoresReaders,
    /// A release looks which hold to end in one step and takes it in another.
    PeeksBeforeTaking,
    /// A guard is unlocked before it is taken out of the ledger.
    UnlocksBeforeTaking,
    /// `release` without a kept hold ends the hold of somebody's guard.
    StealsGuards,
    /// No look at the path after the grant.
    SkipsCheck,
    /// No look at the path if the descriptor was a spare.
    TrustsSpare,
    /// No look at the path before it blocks.
    SleepsWithoutLooking,
    /// Returns at the deadline without a last attempt.
    NoLastAttempt,
    /// A new deadline for each file it waits for.
    DeadlinePerFile,
    /// Keeps a descriptor as a spare though the system refused to unlock it.
    SwallowsRefusal,
    /// Counts shared holds as exclusive ones.
    CountsSharedAsExclusive,
    /// Forgets to close the descriptor of an acquisition that timed out.
    LeaksOnTimeout,
    /// Forgets to close the descriptor of a file that the path does not name any more.
    LeaksOnReopen,
    /// Drops the kept holds with the last handle.
    DropsKept,
    /// A release that finds nothing sets released-error though a guard is alive.
    ErrorWhileHeld,
    /// A downgrade tells the system first, and the ledger after it.
    ConvertsBeforeLowering,
    /// A downgrade unlocks, and then locks anew.
    ConvertsByUnlocking,
}
