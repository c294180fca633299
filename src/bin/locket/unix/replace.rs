//! Becoming the command.

use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;

/// Returns only when that cannot be done.
///
/// The command gets the streams, the signal mask and the ignored signals as locket got them, with
/// one exception: SIGPIPE is at its default. Rust ignores it before `main`, without a note of what
/// it was.
pub(super) fn replace(arguments: &[OsString]) -> io::Result<Infallible> {
    exec(arguments).or_else(|error| {
        if error.raw_os_error() != Some(Errno::NOEXEC.raw_os_error()) {
            return Err(error);
        }
        // A script without a `#!` line is no program to the system, but to every shell. Not every C library's
        // execvp(3) knows that.
        let shell = ["/bin/sh", "-c", r#"exec "$0" "$@""#].map(OsString::from);
        exec(&[&shell, arguments].concat())
    })
}

fn exec(arguments: &[OsString]) -> io::Result<Infallible> {
    Err(Command::new(&arguments[0]).args(&arguments[1..]).exec())
}
