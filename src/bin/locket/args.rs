//! What may stand on the command line. Options have the names that they have in flock(1).

mod completions;
#[cfg(unix)]
mod flock;
#[cfg(unix)]
mod lock;
mod man;
mod run;
mod status;
mod wait;
mod waiting;

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Parser, Subcommand};

use crate::advice;

pub(crate) use completions::CompletionsOptions;
#[cfg(unix)]
pub(crate) use flock::FlockOptions;
#[cfg(unix)]
pub(crate) use lock::{LockOptions, UnlockOptions};
pub(crate) use man::ManOptions;
pub(crate) use run::RunOptions;
pub(crate) use status::StatusOptions;
pub(crate) use wait::WaitOptions;
pub(crate) use waiting::{Sharing, Waiting};

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
        #[cfg(unix)]
        if env::args_os().next().is_some_and(|name| crate::flock::is_name(&name)) {
            return Ok(Self::flock(1));
        }
        match env::args_os().nth(1).as_deref().and_then(OsStr::to_str) {
            Some("run") => {
                let words: Vec<_> = env::args_os().skip(2).collect();
                Ok(Self { task: Task::Run(RunOptions::of(&words)?) })
            }
            #[cfg(unix)]
            Some("flock") => Ok(Self::flock(2)),
            _ => Self::try_parse().map_err(|error| {
                let words: Vec<_> = env::args_os().skip(1).collect();
                advice::on_missing_name(error, &words)
            }),
        }
    }

    /// What follows so many words is for flock, as it is.
    #[cfg(unix)]
    fn flock(name: usize) -> Self {
        Self { task: Task::Flock(FlockOptions { words: env::args_os().skip(name).collect() }) }
    }
}

/// A path that is given. What is empty is most often a variable of a script that has no value.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|path| {
        if path.is_empty() {
            return Err("the path is empty: is there a variable without a value?");
        }
        Ok(PathBuf::from(path))
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    Run(RunOptions),
    Wait(WaitOptions),
    Status(StatusOptions),
    #[cfg(unix)]
    Lock(LockOptions),
    #[cfg(unix)]
    Unlock(UnlockOptions),
    #[cfg(unix)]
    Flock(FlockOptions),
    Completions(CompletionsOptions),
    Man(ManOptions),
}
