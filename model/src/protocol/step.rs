//! One step, and the line that it is in a story.

use std::fmt;

use crate::spec::{Mode, Outcome};
use crate::state::{Acquire, Patience};

/// One atomic step: who does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Step {
    /// The process; of no meaning for [`Action::Renames`].
    pub process: usize,
    /// Its thread; of no meaning for what happens to a whole process.
    pub thread: usize,
    /// What it does, or what is done to it.
    pub action: Action,
}

/// What is done in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Calls, and takes a spare descriptor from the ledger, if there is one.
    Calls(Acquire, Option<u8>),
    /// Opens the path: this file, perhaps created.
    Opens(u8, bool),
    /// Is granted the lock at once.
    Gets(u8, Mode),
    /// Is refused by a try that does not block; if so marked, by the last one.
    Refused(u8, Mode, bool),
    /// Joins the queue.
    Queues(u8, Mode),
    /// Is granted the lock after waiting.
    Wakes(u8, Mode),
    /// Is interrupted at its deadline.
    Interrupted,
    /// Finds that the path still names its file.
    StillNamed,
    /// Finds that the path names another file, or none.
    Moved,
    /// Enters its hold in the ledger: the call returns.
    Holds(Acquire),
    /// `release` takes a kept hold out of the ledger.
    Takes,
    /// `release` finds nothing.
    FindsNothing,
    /// Only with a bug: looks at a hold, or ends one that is not its own.
    Peeks,
    /// The end of a guard takes its hold out of the ledger.
    TakesGuard,
    /// The downgrade of a guard enters its hold in the ledger as shared.
    Lowers,
    /// The system makes the lock shared.
    Converts(u8),
    /// The system refuses to, and the ledger calls the hold exclusive again.
    ConvertRefused,
    /// Unlocks.
    Unlocks(u8),
    /// Tries to unlock, and is refused.
    UnlockRefused,
    /// Closes its descriptor, which was locked or not.
    Closes(bool),
    /// Leaves its descriptor to the ledger.
    Spares,
    /// The ledger has no use for its descriptor.
    NoUse,
    /// Tells the ledger of the refusal.
    TellsRefusal,
    /// The call returns.
    Returns(Outcome),
    /// The last handle is dropped.
    DropsHandle,
    /// The process dies.
    Crashes,
    /// The path comes to name this file, or none.
    Renames(Option<u8>),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |file: u8| char::from(b'A' + file);
        let how = |mode: Mode| match mode {
            Mode::Exclusive => "exclusive",
            Mode::Shared => "shared",
        };
        let verb = |call: Acquire| if call.kept { "acquire" } else { "lock" };
        match self.action {
            Action::Renames(Some(file)) => {
                return write!(f, "the path now names file {}", name(file));
            }
            Action::Renames(None) => return write!(f, "the path is unlinked"),
            Action::Crashes => return write!(f, "process {} dies", self.process + 1),
            Action::DropsHandle => {
                return write!(f, "process {} drops its last handle", self.process + 1);
            }
            _ => write!(f, "process {} thread {}: ", self.process + 1, self.thread + 1)?,
        }
        match self.action {
            Action::Calls(call, spare) => {
                let wait = match call.patience {
                    Patience::Once => ", one attempt",
                    Patience::Deadline => ", with a timeout",
                    Patience::Endless => "",
                };
                write!(f, "calls {}, {}{wait}", verb(call), how(call.mode))?;
                spare.map_or(Ok(()), |file| write!(f, "; takes the spare of file {}", name(file)))
            }
            Action::Opens(file, true) => write!(f, "creates and opens file {}", name(file)),
            Action::Opens(file, false) => write!(f, "opens file {}", name(file)),
            Action::Gets(file, mode) => write!(f, "locks file {} ({})", name(file), how(mode)),
            Action::Refused(file, _, false) => {
                write!(f, "tries file {}, which is locked", name(file))
            }
            Action::Refused(file, _, true) => {
                write!(f, "tries file {} for the last time; it is locked", name(file))
            }
            Action::Queues(file, _) => write!(f, "blocks on file {}", name(file)),
            Action::Wakes(file, mode) => {
                write!(f, "wakes with the lock of file {} ({})", name(file), how(mode))
            }
            Action::Interrupted => write!(f, "is interrupted at its deadline"),
            Action::StillNamed => write!(f, "takes its file for the one that the path names"),
            Action::Moved => write!(f, "finds that the path does not name its file"),
            Action::Holds(call) => write!(f, "records its hold; {} returns", verb(call)),
            Action::Takes => write!(f, "release takes a kept hold out of the ledger"),
            Action::FindsNothing => write!(f, "release finds nothing and returns the error"),
            Action::Peeks => write!(f, "release looks at a hold"),
            Action::TakesGuard => write!(f, "its guard takes its hold out of the ledger"),
            Action::Lowers => write!(f, "records its guard's hold as shared, to downgrade it"),
            Action::Converts(file) => write!(f, "makes its lock of file {} shared", name(file)),
            Action::ConvertRefused => write!(f, "is refused the downgrade, and stays exclusive"),
            Action::Unlocks(file) => write!(f, "unlocks file {}", name(file)),
            Action::UnlockRefused => write!(f, "is refused the unlock by the system"),
            Action::Closes(true) => write!(f, "closes its locked descriptor"),
            Action::Closes(false) => write!(f, "closes its descriptor"),
            Action::Spares => write!(f, "leaves its descriptor as a spare and returns"),
            Action::NoUse => write!(f, "finds no use for its descriptor"),
            Action::TellsRefusal => write!(f, "tells the ledger of the refusal; returns the error"),
            Action::Returns(outcome) => write!(f, "returns {outcome:?}"),
            Action::DropsHandle | Action::Crashes | Action::Renames(_) => Ok(()),
        }
    }
}
