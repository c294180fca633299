//! `locket flock`, and locket called as `flock`: flock(1) of util-linux 2.42, its command line, exit codes and words.
//!
//! `args` reads the command line, `numbers` the numbers in it, `lock` takes the lock, `fcntl` the other kind of lock,
//! and `manual` is what `--help` and the manual have in common.

mod args;
#[cfg(target_os = "linux")]
mod fcntl;
mod lock;
mod manual;
mod numbers;

use std::ffi::{OsStr, OsString, c_int};
use std::io;
use std::path::Path;
use std::time::Instant;

use super::escape::escape;
use super::exit;
use super::output;
use super::program::{Inheritance, Program};
use super::unix::{self, NoRoom};
use args::{Job, Line, Misuse, Options};
use lock::Refusal;

pub(crate) use manual::{ABOUT, DESCRIPTION, EXIT_CODES, OPTIONS};

/// `EX_UNAVAILABLE`: the command cannot be run.
const CANNOT_RUN: i32 = 69;

/// `EXIT_FAILURE`: the help or the version cannot be written.
const NOT_WRITTEN: i32 = 1;

/// Is this the name by which a process was called that is to be flock(1)?
pub(crate) fn is_name(name: &OsStr) -> bool {
    Path::new(name).file_name() == Some(OsStr::new("flock"))
}

/// Returns the status to exit with.
pub(crate) fn flock(words: impl Iterator<Item = OsString>) -> i32 {
    let text = match args::parse(words) {
        Ok(Line::Lock(options)) => return lock_and_run(&options),
        Ok(Line::Help) => manual::help(),
        Ok(Line::Version) => manual::version(),
        Err(misuse) => return refuse(&misuse),
    };
    match output::write(&text) {
        Ok(()) => exit::DONE,
        Err(error) => complain(&format!("write error: {}", words_of(&error)), NOT_WRITTEN),
    }
}

fn lock_and_run(options: &Options) -> i32 {
    let start = Instant::now();
    let hold = match lock::take(options) {
        Ok(hold) => hold,
        Err(Refusal::Contended { waited }) => {
            if options.verbose {
                let text =
                    if waited { "timeout while waiting to get lock" } else { "failed to get lock" };
                return complain(text, options.conflict_exit_code.into());
            }
            return options.conflict_exit_code.into();
        }
        Err(Refusal::Failed { text, code }) => return complain(&text, code),
    };
    if options.verbose {
        let time = start.elapsed();
        let (seconds, micros) = (time.as_secs(), time.subsec_micros());
        tell(&format!("getting lock took {seconds}.{micros:06} seconds"));
    }
    let program = match &options.job {
        Job::None => {
            hold.leave();
            return exit::DONE;
        }
        Job::Words(words) => Program::Arguments(words),
        Job::Shell(string) => Program::Shell(string),
    };
    let name = unix::arguments(program).swap_remove(0);
    if options.verbose {
        tell(&format!("executing {}", name.to_string_lossy()));
    }
    let inheritance = if options.close { Inheritance::KeptBack } else { Inheritance::Inherited };
    let ended = if options.no_fork {
        unix::become_it_as_flock(hold, program)
    } else {
        unix::run_as_flock(hold, program, inheritance)
    };
    ended.unwrap_or_else(|error| not_run(&name, &error))
}

fn not_run(name: &OsStr, error: &io::Error) -> i32 {
    match error.kind() {
        io::ErrorKind::WouldBlock => {
            complain(&format!("fork failed: {}", words_of(error)), exit::REFUSED)
        }
        kind => {
            let is_memory = kind == io::ErrorKind::OutOfMemory;
            let code = if is_memory { exit::REFUSED } else { CANNOT_RUN };
            complain(
                &format!("failed to execute {}: {}", name.to_string_lossy(), words_of(error)),
                code,
            )
        }
    }
}

fn refuse(misuse: &Misuse) -> i32 {
    let help = "Try 'flock --help' for more information.\n";
    let help = if misuse.points_at_help { help } else { "" };
    unix::write(format!("flock: {}\n{help}", escape(&misuse.text)), NoRoom::Lose);
    misuse.code
}

/// Returns the status.
fn complain(text: &str, code: i32) -> i32 {
    unix::write(format!("flock: {}\n", escape(text)), NoRoom::Lose);
    code
}

fn tell(text: &str) {
    unix::write_out(format!("flock: {}\n", escape(text)));
}

/// What the system calls an error.
fn strerror(number: c_int) -> String {
    words_of(&io::Error::from_raw_os_error(number))
}

/// Without the number that Rust adds.
fn words_of(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].into(),
        None => text,
    }
}
