//! What may stand on the command line. Options have the names that they have in flock(1).

mod completions;
mod man;
mod run;
mod status;
mod wait;
mod waiting;

use std::env;

use clap::{Parser, Subcommand};

pub(crate) use completions::CompletionsOptions;
pub(crate) use man::ManOptions;
pub(crate) use run::RunOptions;
pub(crate) use status::StatusOptions;
pub(crate) use wait::WaitOptions;
pub(crate) use waiting::Waiting;

/// An inter-process lock named by a file.
///
/// All programs that use the same file share one lock, flock(1) among them. The system frees it when
/// its holder dies.
#[derive(Debug, Parser)]
#[command(name = "locket", version, propagate_version = true, subcommand_value_name = "COMMAND")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) task: Task,
}

impl Args {
    /// Understands the arguments of this process. A command that runs under a lock is started as soon as possible: to
    /// describe all other commands first would take longer than to take the lock.
    pub(crate) fn of_process() -> Result<Self, clap::Error> {
        if env::args_os().nth(1).is_none_or(|name| name != "run") {
            return Self::try_parse();
        }
        let options = RunOptions::try_parse_from(env::args_os().skip(1))?;
        Ok(Self { task: Task::Run(options) })
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    Run(RunOptions),
    Wait(WaitOptions),
    Status(StatusOptions),
    Completions(CompletionsOptions),
    Man(ManOptions),
}
