//! `locket flock`, and locket called as `flock`: flock(1) of util-linux 2.42 with its command line, exit codes and messages.
//!
//! `args` parses the command line and `numbers` the numbers in it, `lock` acquires the lock, `fcntl` the other kind of lock,
//! and `text` has the help and the texts of errors.

mod args;
#[cfg(target_os = "linux")]
mod fcntl;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod lock;
mod numbers;
pub(crate) mod text;

use std::ffi::{OsStr, OsString};
use std::io;
use std::time::Instant;

use crate::escape::escape;
use crate::exit;
use crate::flock::args::{Command, Invocation, Options, UsageError};
use crate::flock::lock::LockFailure;
use crate::flock::text::error_text;
use crate::output::{print_message, write_stdout};
use crate::platform::{Inheritance, Platform, Program};
use crate::system::System;
use crate::unix;

/// `EX_UNAVAILABLE`: the command cannot be run.
const CANNOT_RUN: i32 = 69;

/// `EXIT_FAILURE`: the help or the version cannot be written.
const NOT_WRITTEN: i32 = 1;

/// Does what flock(1) does with these arguments, and returns the status to exit with.
pub(crate) fn flock(words: impl Iterator<Item = OsString>) -> i32 {
    let text = match args::parse(words) {
        Ok(Invocation::Lock(options)) => return lock_and_run(&options),
        Ok(Invocation::Help) => text::help(),
        Ok(Invocation::Version) => text::version(),
        Err(error) => return print_usage_error(&error),
    };
    match write_stdout(&text) {
        Ok(()) => exit::SUCCESS,
        Err(error) => print_error(&format!("write error: {}", error_text(&error)), NOT_WRITTEN),
    }
}

fn lock_and_run(options: &Options) -> i32 {
    let start = Instant::now();
    let hold = match lock::acquire(options) {
        Ok(hold) => hold,
        Err(LockFailure::Contended) => return contended(options),
        Err(LockFailure::Failed { text, code }) => return print_error(&text, code),
    };
    if options.verbose {
        let time = start.elapsed();
        let (seconds, micros) = (time.as_secs(), time.subsec_micros());
        print_verbose(&format!("getting lock took {seconds}.{micros:06} seconds"));
    }
    let program = match &options.command {
        Command::None => {
            hold.leak();
            return exit::SUCCESS;
        }
        Command::Words(words) => Program::Arguments(words),
        Command::Shell(string) => Program::Shell(string),
    };
    let name = unix::arguments(program).swap_remove(0);
    if options.verbose {
        print_verbose(&format!("executing {}", name.to_string_lossy()));
    }
    let ended = if options.no_fork {
        unix::become_program_as_flock(hold, program)
    } else {
        let inheritance =
            if options.close { Inheritance::NotInherited } else { Inheritance::Inherited };
        unix::run_as_flock(hold, program, inheritance, |text| print_message(text))
    };
    ended.unwrap_or_else(|error| print_not_run(&name, &error))
}

/// Returns the exit status for a lock that another process holds.
fn contended(options: &Options) -> i32 {
    let code = options.conflict_exit_code.into();
    if !options.verbose {
        return code;
    }
    let has_waited = !options.is_one_attempt();
    print_error(
        if has_waited { "timeout while waiting to get lock" } else { "failed to get lock" },
        code,
    )
}

fn print_not_run(name: &OsStr, error: &io::Error) -> i32 {
    let text = error_text(error);
    match error.kind() {
        io::ErrorKind::WouldBlock => print_error(&format!("fork failed: {text}"), exit::OS_ERROR),
        kind => {
            let is_memory = kind == io::ErrorKind::OutOfMemory;
            let code = if is_memory { exit::OS_ERROR } else { CANNOT_RUN };
            print_error(&format!("failed to execute {}: {text}", name.to_string_lossy()), code)
        }
    }
}

fn print_usage_error(error: &UsageError) -> i32 {
    let help = "Try 'flock --help' for more information.\n";
    let help = if error.mentions_help { help } else { "" };
    System::write_stderr(format!("flock: {}\n{help}", escape(&error.text)));
    error.code
}

/// Prints an error, and returns the status.
fn print_error(text: &str, code: i32) -> i32 {
    System::write_stderr(format!("flock: {}\n", escape(text)));
    code
}

/// Prints a line of `--verbose`, which flock(1) writes to standard output.
fn print_verbose(text: &str) {
    unix::write_stdout(format!("flock: {}\n", escape(text)));
}
