//! The command `locket`: a lock for shell scripts.
//!
//! `main` → `args` → `run` → `take` (the lock, by one deadline) → `unix` or `windows` (the command
//! under it). `exit` says which status means what, `voice` is all that is said on the way.

mod args;
mod exit;
mod program;
mod run;
mod take;
mod timeout;
#[cfg(unix)]
mod unix;
mod voice;
#[cfg(windows)]
mod windows;

use std::process;

use clap::Parser;

use args::{Args, Task};

fn main() {
    process::exit(match Args::try_parse() {
        Ok(Args { task: Task::Run(options) }) => run::run(&options),
        Err(answer) => {
            // Help, a version, or what is wrong with the arguments. Nobody may be there to read it.
            let _ = answer.print();
            if answer.use_stderr() { exit::USAGE } else { exit::DONE }
        }
    });
}
