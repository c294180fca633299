//! The command under the lock, on Unix: beside this process, or in place of it. And the terminal during the wait.

mod canary;
mod command;
mod command_lines;
mod disguise;
mod leaving;
mod live;
mod os;
mod replace;
mod stderr;
mod supervise;

use std::env;
use std::ffi::OsString;

use locket::Guard;

use super::exit::Failure;
use super::program::{Inheritance, Program};

pub(crate) use command_lines::{CommandLines, command_lines};
pub(crate) use leaving::Leaving;
pub(crate) use live::LiveLine;
pub(crate) use stderr::{NoRoom, spawn_deaf, write};

/// Runs the program beside this process, and returns its status when it has ended.
pub(crate) fn run(
    guard: Guard,
    program: Program<'_>,
    inheritance: Inheritance,
) -> Result<i32, Failure> {
    supervise::run(guard, program, inheritance)
}

/// Becomes the program, which inherits the lock.
pub(crate) fn become_it(guard: Guard, program: Program<'_>) -> Result<i32, Failure> {
    guard.bequeath()?;
    let arguments = arguments(program);
    // Failed, and the lock ends with this process.
    let Err(error) = replace::replace(&arguments);
    Err(Failure::of_start(&arguments[0], &error))
}

/// Runs a function in which the modes of new files are as they are asked for. The umask is the process's: no other
/// thread creates files.
pub(crate) fn without_umask<T>(run: impl FnOnce() -> T) -> T {
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    let answer = run();
    rustix::process::umask(umask);
    answer
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
