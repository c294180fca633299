//! One step, and its line in a trace.

use std::fmt;

use crate::spec::{Mode, Outcome};
use crate::state::{Acquire, Wait};

/// One atomic step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// The process; meaningless for [`Action::Renames`].
    pub process: usize,
    /// The thread; meaningless for an action of a whole process.
    pub thread: usize,
    /// The action.
    pub action: Action,
}

/// The action of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Begins a call and takes an idle open file out of the ledger, if there is one.
    Calls(Acquire, Option<u8>),
    /// Opens the path: this file, and whether the open created it.
    Opens(u8, bool),
    /// Gets the lock without waiting.
    Locks(u8, Mode),
    /// Fails a try that does not block; the flag marks the last try.
    Refused(u8, Mode, bool),
    /// Joins the kernel's queue.
    Queues(u8, Mode),
    /// Gets the lock after waiting.
    Wakes(u8, Mode),
    /// Is interrupted at the deadline.
    Interrupted,
    /// Verifies that the path names the open file.
    Verified,
    /// Finds that the path names another file, or none.
    FoundReplaced,
    /// Records the hold in the ledger; the call returns.
    Records(Acquire),
    /// Takes an unguarded hold out of the ledger, in `release`.
    Takes,
    /// Finds no hold, in `release`.
    FindsNothing,
    /// Only with a seeded bug: reads a hold, or ends the hold of another guard.
    Peeks,
    /// Takes the hold of a guard out of the ledger.
    TakesGuard,
    /// Records the hold of a guard as shared, for a downgrade.
    Lowers,
    /// Converts the kernel's lock to shared.
    Converts(u8),
    /// Fails to convert; the ledger records the hold as exclusive again.
    ConvertRefused,
    /// Unlocks.
    Unlocks(u8),
    /// Fails to unlock.
    UnlockRefused,
    /// Closes the open file; the flag says whether it was locked.
    Closes(bool),
    /// Stores the open file as idle in the ledger.
    KeepsIdle,
    /// Finds that the ledger does not store the open file.
    DiscardsIdle,
    /// Records the refused unlock in the ledger.
    RecordsRefusal,
    /// Returns from the call.
    Returns(Outcome),
    /// Drops the last handle.
    DropsHandle,
    /// Crashes the process.
    Crashes,
    /// Changes the file that the path names.
    Renames(Option<u8>),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |file: u8| char::from(b'A' + file);
        let word = |mode: Mode| match mode {
            Mode::Exclusive => "exclusive",
            Mode::Shared => "shared",
        };
        let verb = |call: Acquire| if call.unguarded { "acquire" } else { "lock" };
        match self.action {
            Action::Renames(Some(file)) => {
                return write!(f, "the path now names file {}", name(file));
            }
            Action::Renames(None) => return write!(f, "the path is unlinked"),
            Action::Crashes => return write!(f, "process {} crashes", self.process + 1),
            Action::DropsHandle => {
                return write!(f, "process {} drops its last handle", self.process + 1);
            }
            _ => write!(f, "process {} thread {}: ", self.process + 1, self.thread + 1)?,
        }
        match self.action {
            Action::Calls(call, idle) => {
                let wait = match call.wait {
                    Wait::Try => ", one attempt",
                    Wait::Timed => ", with a timeout",
                    Wait::Forever => "",
                };
                write!(f, "calls {}, {}{wait}", verb(call), word(call.mode))?;
                idle.map_or(Ok(()), |file| {
                    write!(f, "; reuses the idle open file of file {}", name(file))
                })
            }
            Action::Opens(file, true) => write!(f, "creates and opens file {}", name(file)),
            Action::Opens(file, false) => write!(f, "opens file {}", name(file)),
            Action::Locks(file, mode) => write!(f, "locks file {} ({})", name(file), word(mode)),
            Action::Refused(file, _, false) => {
                write!(f, "tries file {}, which is locked", name(file))
            }
            Action::Refused(file, _, true) => {
                write!(f, "tries file {} for the last time; it is locked", name(file))
            }
            Action::Queues(file, _) => write!(f, "blocks on file {}", name(file)),
            Action::Wakes(file, mode) => {
                write!(f, "wakes with the lock of file {} ({})", name(file), word(mode))
            }
            Action::Interrupted => write!(f, "is interrupted at its deadline"),
            Action::Verified => write!(f, "accepts its file as the one that the path names"),
            Action::FoundReplaced => write!(f, "finds that the path does not name its file"),
            Action::Records(call) => write!(f, "records its hold; {} returns", verb(call)),
            Action::Takes => write!(f, "release takes an unguarded hold out of the ledger"),
            Action::FindsNothing => write!(f, "release finds nothing and returns the error"),
            Action::Peeks => write!(f, "release reads a hold"),
            Action::TakesGuard => write!(f, "its guard takes its hold out of the ledger"),
            Action::Lowers => write!(f, "records its guard's hold as shared, to downgrade it"),
            Action::Converts(file) => write!(f, "makes its lock of file {} shared", name(file)),
            Action::ConvertRefused => write!(f, "fails to downgrade and stays exclusive"),
            Action::Unlocks(file) => write!(f, "unlocks file {}", name(file)),
            Action::UnlockRefused => write!(f, "fails to unlock: the kernel refuses"),
            Action::Closes(true) => write!(f, "closes its locked file"),
            Action::Closes(false) => write!(f, "closes its file"),
            Action::KeepsIdle => write!(f, "stores its open file as idle and returns"),
            Action::DiscardsIdle => write!(f, "finds that the ledger does not store its open file"),
            Action::RecordsRefusal => write!(f, "records the refusal; returns the error"),
            Action::Returns(outcome) => write!(f, "returns {outcome:?}"),
            Action::DropsHandle | Action::Crashes | Action::Renames(_) => Ok(()),
        }
    }
}
