//! The command `locket`: a lock for shell scripts.
//!
//! `main` → `args` → one of
//! - `run` → `take` (the lock, by one deadline; `report` tells of the wait) → `unix` or `windows`
//!   (the command under it),
//! - `wait` → `take`,
//! - `lock` → `take` (a descriptor of the shell's), and `unlock`,
//! - `status` (who holds it),
//! - `flock`, which is also what is done under the name `flock`: flock(1), without `take`,
//! - `completions` and `man`, both made of `args`.
//!
//! `exit` says which status means what, `voice` is all that is said on standard error.

// It begins in `unix/os/entry.rs` there, which calls `main`.
#![cfg_attr(all(target_os = "linux", target_env = "gnu", not(test)), no_main)]

mod advice;
mod args;
mod completions;
mod examples;
mod exit;
#[cfg(unix)]
mod flock;
mod held_by;
mod hold;
mod inherited;
mod interpreter;
mod limit;
#[cfg(unix)]
mod lock;
mod man;
mod other;
mod output;
// The library has it too.
#[path = "../../report/escape.rs"]
mod escape;
mod program;
mod report;
mod run;
mod span;
mod status;
mod take;
mod timeout;
#[cfg(unix)]
mod unix;
mod voice;
mod wait;
#[cfg(windows)]
mod windows;

use std::process;

use args::{Args, Task};
use exit::Failure;
use output::print_coloured;

fn main() {
    process::exit(match Args::of_process() {
        Ok(Args { task }) => perform(&task).unwrap_or_else(|failure| voice::fail(&failure)),
        // What is wrong with the arguments.
        Err(answer) if answer.use_stderr() => voice::refuse(answer),
        // Help, or a version.
        Err(answer) => print_coloured(&answer.render().ansi().to_string())
            .map_or_else(|failure| voice::fail(&failure), |()| exit::DONE),
    });
}

/// Returns the status to exit with; never, where this process becomes a command.
fn perform(task: &Task) -> Result<i32, Failure> {
    match task {
        Task::Run(options) => run::run(options),
        Task::Wait(options) => wait::wait(options),
        Task::Status(options) => status::status(options),
        #[cfg(unix)]
        Task::Lock(options) => lock::lock(options),
        #[cfg(unix)]
        Task::Unlock(options) => lock::unlock(options),
        #[cfg(unix)]
        Task::Flock(options) => Ok(flock::flock(options.words.iter().cloned())),
        Task::Completions(options) => completions::completions(options),
        Task::Man(options) => man::man(options),
    }
}
