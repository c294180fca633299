//! The command under the lock, on Unix: beside this process, or in place of it. And the terminal during the wait.

mod canary;
mod command;
mod command_lines;
mod disguise;
mod ended;
#[cfg(target_os = "linux")]
mod interrupter;
mod leaving;
mod live;
mod os;
mod replace;
mod seen;
mod stderr;
mod subject;
mod supervise;

use std::env;
use std::ffi::{OsString, c_int};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use super::exit::Failure;
use super::hold::Hold;
use super::program::{Inheritance, Program};

pub(crate) use command_lines::{CommandLines, command_lines};
#[cfg(target_os = "linux")]
pub(crate) use interrupter::Interrupter;
pub(crate) use leaving::Leaving;
pub(crate) use live::LiveLine;
pub(crate) use stderr::{NoRoom, spawn_deaf, write, write_out};
pub(crate) use subject::{lock_directory, lock_inherited, lock_what_is_named};

/// Runs the program beside this process, and returns its status when it has ended.
pub(crate) fn run(
    hold: Hold,
    program: Program<'_>,
    inheritance: Inheritance,
) -> Result<i32, Failure> {
    let arguments = arguments(program);
    match supervise::run(hold, program, &arguments, inheritance) {
        Ok(ended) => Ok(ended.in_turn()),
        Err(error) => Err(Failure::of_start(&arguments[0], &error)),
    }
}

/// The same, with a status as that of flock(1).
pub(crate) fn run_as_flock(
    hold: Hold,
    program: Program<'_>,
    inheritance: Inheritance,
) -> io::Result<i32> {
    Ok(supervise::run(hold, program, &arguments(program), inheritance)?.as_flock())
}

/// Becomes the program, which inherits the lock. Returns only if that cannot be done.
pub(crate) fn become_it(
    hold: Hold,
    program: Program<'_>,
    inheritance: Inheritance,
) -> Result<i32, Failure> {
    let arguments = arguments(program);
    match inheritance {
        Inheritance::As(number) => {
            if !os::duplicate_as(hold.as_fd(), number) {
                let error = io::Error::last_os_error();
                return Err(Failure::of_system(&format!("make descriptor {number}"), &error));
            }
            hold.leave();
        }
        Inheritance::Inherited | Inheritance::KeptBack => {
            pass_on(hold).map_err(|error| Failure::of_system("pass the lock on", &error))?;
        }
    }
    // Failed, and the lock ends with this process.
    let Err(error) = replace::replace(&arguments);
    Err(Failure::of_start(&arguments[0], &error))
}

/// The same; fails as flock(1) does.
pub(crate) fn become_it_as_flock(hold: Hold, program: Program<'_>) -> io::Result<i32> {
    pass_on(hold)?;
    os::reset(libc::SIGCHLD);
    replace::replace(&arguments(program)).map(|never| match never {})
}

fn pass_on(hold: Hold) -> io::Result<()> {
    match hold {
        Hold::File(guard) => Ok(guard.inherit_on_exec()?),
        Hold::Opened(fd) => {
            let is_copied = os::duplicate_for_exec(fd.as_fd());
            if is_copied { Ok(()) } else { Err(io::Error::last_os_error()) }
        }
        Hold::Inherited(_) => Ok(()),
    }
}

/// Does the path name the file that the descriptor is open on? As far as the system tells: what it does not tell is no
/// reason to give up a lock.
pub(crate) fn is_current(fd: impl AsFd, path: &Path) -> bool {
    let Ok(opened) = rustix::fs::fstat(fd) else { return true };
    match rustix::fs::stat(path) {
        Ok(named) => (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino),
        Err(error) => error != rustix::io::Errno::NOENT,
    }
}

/// Borrows the descriptor with this number that this process has inherited.
pub(crate) fn inherited(number: c_int) -> io::Result<BorrowedFd<'static>> {
    os::inherited(number)
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
pub(crate) fn arguments(program: Program<'_>) -> Vec<OsString> {
    match program {
        Program::Arguments(arguments) => arguments.to_vec(),
        Program::Shell(string) => {
            let shell = env::var_os("SHELL").filter(|shell| !shell.is_empty());
            vec![shell.unwrap_or_else(|| "/bin/sh".into()), "-c".into(), string.into()]
        }
    }
}
