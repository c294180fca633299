//! The command under the lock, on Unix: in place of this process, or beside it. And the terminal
//! during the wait.

mod beside;
mod child;
mod leaving;
mod live;
mod replace;
mod signals;

use std::env;
use std::ffi::OsString;
use std::io;

use locket::Guard;
use rustix::io::Errno;

use super::exit::Failure;
use super::program::Program;

pub(crate) use leaving::Leaving;
pub(crate) use live::LiveLine;

/// Becomes the program, which inherits the lock.
pub(crate) fn run_with(guard: Guard, program: Program<'_>) -> Result<i32, Failure> {
    guard.bequeath()?;
    let arguments = arguments(program);
    // Failed, and the lock ends with this process.
    let Err(error) = or_as_script(&arguments, replace::replace);
    Err(Failure::of_start(&arguments[0].to_string_lossy(), &error))
}

/// Holds the lock until the program has ended.
pub(crate) fn run_beside(guard: Guard, program: Program<'_>) -> Result<i32, Failure> {
    let code = beside::run(&arguments(program));
    drop(guard);
    code
}

/// As execvp(3) and flock(1) do it: `$SHELL -c STRING`.
fn arguments(program: Program<'_>) -> Vec<OsString> {
    match program {
        Program::Arguments(arguments) => arguments.to_vec(),
        Program::Shell(string) => {
            let shell = env::var_os("SHELL").filter(|shell| !shell.is_empty());
            vec![shell.unwrap_or_else(|| "/bin/sh".into()), "-c".into(), string.into()]
        }
    }
}

/// A script without a `#!` line is no program to the system, but to every shell. execvp(3) knows
/// that in some C libraries; `posix_spawnp(3)` does not.
fn or_as_script<T>(
    arguments: &[OsString],
    start: impl Fn(&[OsString]) -> io::Result<T>,
) -> io::Result<T> {
    start(arguments).or_else(|error| {
        if error.raw_os_error() != Some(Errno::NOEXEC.raw_os_error()) {
            return Err(error);
        }
        let shell = ["/bin/sh", "-c", r#"exec "$0" "$@""#].map(OsString::from);
        start(&[&shell, arguments].concat())
    })
}
