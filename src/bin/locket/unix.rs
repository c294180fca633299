//! The platform seam on Unix: the command beside this process, or in place of it, and the terminal during a wait.
//!
//! Besides the functions of [`Platform`] it has those for the commands that only Unix has.

mod canary;
mod command;
mod command_lines;
mod os;
mod seen_signals;
mod status_line;
mod stdio;
mod supervise;

use std::env;
use std::ffi::{OsString, c_int};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::thread::JoinHandle;

use crate::exit::Failure;
use crate::platform::{CommandLines, Hold, Inheritance, Platform, Program};

#[cfg(target_os = "linux")]
pub(crate) use os::{SignalAction, restore_action, set_empty_handler};

/// Unix.
#[derive(Debug)]
pub(crate) struct System;

impl Platform for System {
    type StatusLine = status_line::TerminalLine;
    type ClearOnExit = status_line::ClearOnExit;

    fn run(
        hold: Hold,
        program: Program<'_>,
        inheritance: Inheritance,
        warn: fn(&str),
    ) -> Result<i32, Failure> {
        let arguments = arguments(program);
        match supervise::run(hold, program, &arguments, inheritance, warn) {
            Ok(ended) => Ok(ended.exit_likewise()),
            Err(error) => Err(Failure::start(&arguments[0], &error)),
        }
    }

    fn spawn_without_signals(run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        stdio::spawn_without_signals(run)
    }

    fn write_stderr(text: String) {
        stdio::write_stderr(text, stdio::WhenFull::Discard);
    }

    /// std, and `unix/os/entry.rs`, open /dev/null in place of a closed standard stream, so a write would succeed.
    fn check_stdout() -> io::Result<()> {
        os::borrow_inherited(libc::STDOUT_FILENO).map(drop)
    }

    fn command_lines(pids: &[u32]) -> CommandLines {
        command_lines::command_lines(pids)
    }
}

/// Runs the program as [`Platform::run`] does, with an exit status as that of flock(1).
pub(crate) fn run_as_flock(
    hold: Hold,
    program: Program<'_>,
    inheritance: Inheritance,
    warn: fn(&str),
) -> io::Result<i32> {
    Ok(supervise::run(hold, program, &arguments(program), inheritance, warn)?.exit_as_flock())
}

/// Becomes the program, which inherits the lock. Returns only if that fails; the lock ends with this process then.
pub(crate) fn become_program(
    hold: Hold,
    program: Program<'_>,
    inheritance: Inheritance,
) -> Result<i32, Failure> {
    let arguments = arguments(program);
    match inheritance {
        Inheritance::As(number) => {
            if !os::duplicate_as(hold.as_fd(), number) {
                let error = io::Error::last_os_error();
                return Err(Failure::system(&format!("create descriptor {number}"), &error));
            }
            hold.leak();
        }
        Inheritance::Inherited | Inheritance::NotInherited => {
            pass_on(hold).map_err(|error| Failure::system("pass the lock on", &error))?;
        }
    }
    let Err(error) = command::replace_process(&arguments);
    Err(Failure::start(&arguments[0], &error))
}

/// Becomes the program as flock(1) does. Returns only if that fails.
pub(crate) fn become_program_as_flock(hold: Hold, program: Program<'_>) -> io::Result<i32> {
    pass_on(hold)?;
    os::reset_action(libc::SIGCHLD);
    command::replace_process(&arguments(program)).map(|never| match never {})
}

/// Lets the next program of this process inherit the lock.
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

/// Borrows the descriptor with this number that this process has inherited.
pub(crate) fn borrow_inherited(number: c_int) -> io::Result<BorrowedFd<'static>> {
    os::borrow_inherited(number)
}

/// Writes to standard output in one call. The text is discarded if the reader does not read.
pub(crate) fn write_stdout(text: String) {
    stdio::write_stdout(text);
}

/// Runs a function while the umask is zero, so that new files have exactly the mode that is asked for. The umask belongs to
/// the process: legal while no other thread creates files.
pub(crate) fn without_umask<T>(run: impl FnOnce() -> T) -> T {
    let umask = rustix::process::umask(rustix::fs::Mode::empty());
    let answer = run();
    rustix::process::umask(umask);
    answer
}

/// Returns the arguments that execvp(3) gets. A string is run by `$SHELL -c`, as flock(1) does.
pub(crate) fn arguments(program: Program<'_>) -> Vec<OsString> {
    match program {
        Program::Arguments(arguments) => arguments.to_vec(),
        Program::Shell(string) => {
            let shell = env::var_os("SHELL").filter(|shell| !shell.is_empty());
            vec![shell.unwrap_or_else(|| "/bin/sh".into()), "-c".into(), string.into()]
        }
    }
}
