//! The command `locket`: a lock for shell scripts.
//!
//! | file | what it does |
//! |---|---|
//! | `args`, `args/acquire` | describe and parse the command line |
//! | `args/suggestions` | usage errors that say what to type instead |
//! | `commands` | `locket run`, `wait`, `lock` and `unlock` |
//! | `acquire` | acquires a lock with one deadline |
//! | `wait_report` | prints the progress of a wait |
//! | `status`, `status/query` | `locket status` |
//! | `flock`, `flock/*` | `locket flock`: flock(1), also if locket is called by that name |
//! | `manual` | `locket man` and `locket completions` |
//! | `output` | standard output, messages on standard error |
//! | `processes` | what `/proc` has of processes, names of holders |
//! | `duration` | durations in options and messages |
//! | `exit` | exit statuses, and the failures that end with one |
//! | `platform` | what the command needs of the system, as a trait; the lock and the program that it passes |
//! | `unix`, `windows` | implement it; `system` is the one of this platform |
//! | `unix/supervise` | `locket run` beside its command: signals, stops, the end |
//! | `unix/command` | the child that becomes the command, and how it ended |
//! | `unix/canary`, `unix/seen_signals` | the process that keeps the lock and witnesses signals |
//! | `unix/status_line` | the line on the terminal during a wait |
//! | `unix/stdio` | writes that do not wait for a reader |
//! | `unix/command_lines` | reads command lines of other processes in a child |
//! | `unix/os`, `unix/os/*` | all unsafe code |
//!
//! `main` calls `args`, and then one function of `commands`, `status`, `flock` or `manual`. These import `acquire`, which imports
//! `wait_report`, then come `args`, `output`, `unix` or `windows`, and last `platform`, `processes` and `exit`. There is no circle
//! of imports: the platform does not print, but gets a function for it, and only the entry point calls `main`. Every path begins
//! with `crate::`.

// With glibc the process begins in `unix/os/entry.rs`, which calls `main`.
#![cfg_attr(all(target_os = "linux", target_env = "gnu", not(any(test, fuzzing))), no_main)]
#![cfg_attr(fuzzing, allow(dead_code, reason = "the fuzz targets call the parsers alone"))]

mod acquire;
mod args;
mod commands;
mod duration;
mod exit;
#[cfg(unix)]
mod flock;
#[cfg(fuzzing)]
pub mod fuzzing;
mod manual;
mod output;
// The library has the same file: both escape the same characters.
#[path = "../../report/escape.rs"]
mod escape;
mod platform;
mod processes;
mod status;
#[cfg(unix)]
mod unix;
mod wait_report;
#[cfg(windows)]
mod windows;

use std::process;

#[cfg(unix)]
use crate::unix as system;
#[cfg(windows)]
use crate::windows as system;

use crate::args::{Args, Task};
use crate::exit::Failure;
use crate::output::{print_coloured, print_failure, print_usage_error};

fn main() {
    process::exit(match Args::of_process() {
        Ok(Args { task }) => perform(&task).unwrap_or_else(|failure| print_failure(&failure)),
        Err(error) if error.use_stderr() => print_usage_error(error),
        // `--help` or `--version`.
        Err(answer) => print_coloured(&answer.render().ansi().to_string())
            .map_or_else(|failure| print_failure(&failure), |()| exit::SUCCESS),
    });
}

/// Returns the status to exit with. Does not return if this process becomes a command.
fn perform(task: &Task) -> Result<i32, Failure> {
    match task {
        Task::Run(options) => commands::run(options),
        Task::Wait(options) => commands::wait(options),
        Task::Status(options) => status::status(options),
        #[cfg(unix)]
        Task::Lock(options) => commands::lock(options),
        #[cfg(unix)]
        Task::Unlock(options) => commands::unlock(options),
        #[cfg(unix)]
        Task::Flock(options) => Ok(flock::flock(options.words.iter().cloned())),
        Task::Completions(options) => manual::completions(options),
        Task::Man(options) => manual::man(options),
    }
}
