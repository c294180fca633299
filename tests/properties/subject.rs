//! The interface of a lock under test.

use locket_model::spec::{Process, State};

use super::ops::{Response, Spelling, Step};
use super::reference::Waiter;
use super::test_dir::TestDir;

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
