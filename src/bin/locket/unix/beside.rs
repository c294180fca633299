//! `-o`: locket stays, and stands in for the command towards whoever started it.

use std::ffi::OsString;

use super::super::exit::Failure;
use super::child::Child;
use super::or_as_script;
use super::signals::Signals;

/// Runs the command, and returns the status that a shell would give it.
pub(super) fn run(arguments: &[OsString]) -> Result<i32, Failure> {
    // Before there is a command: from its first moment on, a signal that is meant for it must not
    // end this process, and the lock, in its stead.
    let signals = Signals::hold_back().map_err(|e| Failure::of_system("hold back signals", &e))?;
    let passing = signals.pass_on_later().map_err(|e| Failure::of_system("start a thread", &e))?;

    let child = or_as_script(arguments, |arguments| Child::start(arguments, signals.before()))
        .map_err(|error| Failure::of_start(&arguments[0].to_string_lossy(), &error))?;
    passing.to(&child);
    child.wait().map_err(|error| Failure::of_system("learn how the command ended", &error))
}
