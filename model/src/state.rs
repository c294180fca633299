//! A state of the protocol: the processes, their ledgers and threads, and the kernel's files.
//!
//! An [`OpenFile`] is a value. The thread or the ledger that owns it stores it. The kernel's lock
//! table is the set of all open files. No part of a state refers to another part by an index. Two
//! states that differ only in the names of processes and threads therefore become equal by sorting.
//!
//! # Program counters
//!
//! A step of [`protocol`](crate::protocol) moves a thread from one [`Pc`] to another. The table leaves
//! out the two program counters of seeded bugs:
//!
//! | program counter | open file | its kernel lock | hold in the ledger |
//! |---|---|---|---|
//! | `Idle`, `Open` | no | | no |
//! | `Try`, `VerifyBeforeWait`, `Block`, `Queued`, `VerifyAtDeadline` | yes | no | no |
//! | `Verify`, `Record` | yes | yes | no |
//! | `Reopen` | yes | if the file was replaced after the grant | no |
//! | `HoldsGuard` | yes | yes | yes |
//! | `Convert` | yes | still exclusive | yes, as shared |
//! | `HoldsUnguarded` | in the ledger | yes | yes, until a `release` ends it |
//! | `Unlock` | yes | yes | no |
//! | `StoreIdle` | yes | no | no |
//! | `Close` | yes | only if the kernel refused the unlock | no |
//! | `RecordRefusal` | no | | no |

use crate::list::List;
use crate::spec::{Mode, Outcome};

/// An open file description, as the kernel sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenFile {
    /// The open file's number; the first file is 0.
    pub file: u8,
    /// The mode of the lock on it, if it is locked.
    pub lock: Option<Mode>,
}

/// How long an acquisition waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wait {
    /// One attempt, no wait.
    Try,
    /// Until its deadline. The deadline may pass at any moment.
    Timed,
    /// Without limit.
    #[default]
    Forever,
}

/// A call that acquires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Acquire {
    /// The mode of the hold.
    pub mode: Mode,
    /// True for `acquire`: any `release` may end the hold. False for `lock`, which makes a guard.
    pub unguarded: bool,
    /// How long the call waits.
    pub wait: Wait,
}

/// The program counter of a thread (`pc` in PlusCal): its next step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pc {
    /// The thread is outside every call and has no hold of its own.
    #[default]
    Idle,
    /// Opens the path.
    Open,
    /// Tries to lock without blocking.
    Try,
    /// The try failed. Verifies that the path names the open file before it waits for that file.
    VerifyBeforeWait,
    /// Calls the blocking lock.
    Block,
    /// Waits in the kernel's queue.
    Queued,
    /// The lock is granted. Verifies that the path still names the open file.
    Verify,
    /// Records the hold in the ledger.
    Record,
    /// The last try failed at the deadline. Verifies that the path still names the open file.
    VerifyAtDeadline,
    /// Closes an open file that the path no longer names, then opens the path again.
    Reopen,
    /// Owns a guard.
    HoldsGuard,
    /// Downgrades its guard: the ledger records it as shared, the kernel's lock is still exclusive.
    Convert,
    /// Has made an unguarded hold. Its next call is `release`.
    HoldsUnguarded,
    /// Only with [`Bug::PeeksBeforeTaking`]: has read which hold to release.
    Peeked,
    /// Unlocks.
    Unlock,
    /// Only with [`Bug::UnlocksBeforeTaking`]: takes its hold out of the ledger.
    TakeAfterUnlock,
    /// Stores its open file as idle in the ledger, then returns this outcome.
    StoreIdle(Outcome),
    /// Closes its open file, then returns this outcome.
    Close(Outcome),
    /// Records in the ledger that the kernel refused to unlock.
    RecordRefusal,
}

/// One thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thread {
    /// Its next step.
    pub pc: Pc,
    /// The call in progress, or the call that made its guard.
    pub call: Acquire,
    /// The open file that the thread owns.
    pub open_file: Option<OpenFile>,
    /// While the thread is queued: the number of threads ahead of it in the queue of that file.
    pub ahead: u8,
    /// The thread has seen that its deadline has passed.
    pub saw_deadline: bool,
    /// The number of its script's calls that it has begun.
    pub begun: u8,
    /// Ghost variables. The laws read them; the protocol does not.
    pub ghost: Ghost,
}

/// The ghost variables of a thread: its history, for the laws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate ghost variable")]
pub struct Ghost {
    /// The deadline of the call has passed.
    pub deadline_passed: bool,
    /// A try of the open file failed at or after the deadline.
    pub refused: bool,
    /// The path named the open file at some moment since the grant.
    pub named: bool,
    /// Of the tracked thread: the path has not changed since the call.
    pub path_unchanged: bool,
    /// The liveness checks track this thread. At most one thread is tracked.
    pub tracked: bool,
    /// The number of conflicting grants to other threads while this thread was queued.
    pub overtaken: u8,
    /// Only with [`Bug::LosesWakeup`]: the thread does not notice that the lock is free.
    pub lost_wakeup: bool,
    /// Only with [`Bug::TrustsIdle`]: the open file was an idle one of the ledger.
    pub reused: bool,
}

/// An unguarded hold in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Unguarded {
    /// The mode that the ledger records.
    pub mode: Mode,
    /// The open file that carries the kernel's lock.
    pub open_file: OpenFile,
}

/// The holds of one path in one process, as the process records them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ledger {
    /// The number of exclusive holds.
    pub exclusive: u8,
    /// The number of shared holds.
    pub shared: u8,
    /// The unguarded holds among them, oldest first.
    pub unguarded: List<Unguarded, 3>,
    /// Idle open files, for the next acquisition.
    pub idle: List<OpenFile, 3>,
    /// The last release was an error, and nothing is held.
    pub released_error: bool,
}

/// One process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Whether the process has a handle of the path.
    pub handle: bool,
    /// The holds that the process records.
    pub ledger: Ledger,
    /// The threads.
    pub threads: List<Thread, 3>,
    /// Open files without an owner. No step closes them.
    pub leaked: List<OpenFile, 3>,
    /// Ghost variable: the number of unguarded holds made, minus the number of releases that
    /// reported success.
    pub balance: i8,
}

/// One state of the whole system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct State {
    /// The file that the path names.
    pub names: Option<u8>,
    /// The number of files created so far.
    pub files: u8,
    /// The number of crashes that may still happen.
    pub crashes: u8,
    /// The number of changes of the path that may still happen.
    pub renames: u8,
    /// The number of unlocks or downgrades that the kernel may still refuse.
    pub refusals: u8,
    /// The processes.
    pub processes: List<Process, 4>,
}

/// A bug that can be seeded in the protocol, the ledger or the kernel. A test checks for each that a
/// law catches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// The kernel wakes no waiter when a close or a crash ends a lock.
    LosesWakeup,
    /// The kernel grants an exclusive lock beside shared holds.
    IgnoresReaders,
    /// A release reads which hold to end in one step and takes it in another step.
    PeeksBeforeTaking,
    /// A guard is unlocked before it is taken out of the ledger.
    UnlocksBeforeTaking,
    /// `release` without an unguarded hold ends the hold of a guard.
    ReleasesGuards,
    /// The path is not verified after the grant.
    SkipsVerify,
    /// The path is not verified if the open file was an idle one.
    TrustsIdle,
    /// The path is not verified before the wait.
    WaitsWithoutVerifying,
    /// The call returns at the deadline without a last attempt.
    NoLastAttempt,
    /// The call starts a new deadline for each file that it waits for.
    DeadlinePerFile,
    /// The ledger stores an open file as idle although the kernel refused to unlock it.
    ReusesAfterRefusedUnlock,
    /// The ledger counts shared holds as exclusive ones.
    CountsSharedAsExclusive,
    /// The open file of an acquisition that timed out is not closed.
    LeaksOnTimeout,
    /// The open file of a file that the path no longer names is not closed.
    LeaksOnReopen,
    /// The last handle drops the unguarded holds.
    DropsUnguarded,
    /// A release that finds nothing sets released-error although a guard exists.
    ErrorWhileHeld,
    /// A downgrade converts the kernel's lock before it changes the ledger.
    ConvertsBeforeLowering,
    /// A downgrade unlocks, then locks again.
    ConvertsByUnlocking,
}
