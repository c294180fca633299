//! What the checker asks of a lock.

use locket_model::spec::{Process, State};

use super::place::Place;
use super::reference::Waiter;
use super::story::{Spelling, Step, Told};

pub(crate) trait Subject {
    /// Does a step that is not a change of the files.
    fn act(&mut self, place: &Place, step: Step) -> Told;

    /// What the process knows. `None` if it cannot be asked without a handle, and has none.
    fn state(&mut self, place: &Place, process: Process, via: Spelling) -> Option<State>;

    /// How the wait ended that has to be over.
    fn end_of_wait(&mut self, waiter: &Waiter) -> Told;

    /// Does it still wait? Returns when it is in the kernel's queue for the file, or done.
    fn still_waits(&mut self, place: &Place, waiter: &Waiter) -> bool;

    /// The process ids, by number.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "nobody can look there"))]
    fn processes(&self) -> Vec<(Process, u32)>;
}
