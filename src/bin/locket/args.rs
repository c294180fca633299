//! What may stand on the command line. Options have the names that they have in flock(1).

mod completions;
mod man;
mod run;
mod status;
mod wait;
mod waiting;

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

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    Run(RunOptions),
    Wait(WaitOptions),
    Status(StatusOptions),
    Completions(CompletionsOptions),
    Man(ManOptions),
}
