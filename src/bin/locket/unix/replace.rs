//! Becoming the command.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Returns only when that cannot be done.
///
/// The command gets the streams, the signal mask and the ignored signals as locket got them, with
/// one exception: SIGPIPE is at its default. Rust ignores it before `main`, without a note of what
/// it was.
pub(super) fn replace(arguments: &[OsString]) -> io::Result<Infallible> {
    Err(Command::new(&arguments[0]).args(&arguments[1..]).exec())
}
