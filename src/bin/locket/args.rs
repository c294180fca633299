//! The command line. Options have the names that they have in flock(1).
//!
//! The options of the commands that acquire a lock are in `args/acquire.rs`.

mod acquire;
mod suggestions;

use std::env;
use std::ffi::OsStr;
#[cfg(unix)]
use std::ffi::OsString;
#[cfg(unix)]
use std::path::Path;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueHint};
use clap_complete::Shell;

use crate::exit;
#[cfg(unix)]
use crate::flock::text as flock;

#[cfg(unix)]
pub(crate) use acquire::{LockOptions, UnlockOptions};
pub(crate) use acquire::{RunOptions, WaitArgs, WaitOptions};

/// An inter-process lock named by a file.
///
/// All programs that use the same file share one lock, flock(1) among them. The system releases it when
/// its holder exits, however that happens.
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
    #[cfg(unix)]
    Lock(LockOptions),
    #[cfg(unix)]
    Unlock(UnlockOptions),
    #[cfg(unix)]
    Flock(FlockOptions),
    Completions(CompletionsOptions),
    Man(ManOptions),
}

impl Args {
    /// Parses the arguments of this process. The options of `run` are parsed alone: to describe all commands to clap takes
    /// longer than to acquire the lock.
    pub(crate) fn of_process() -> Result<Self, clap::Error> {
        #[cfg(unix)]
        if env::args_os().next().is_some_and(|name| is_flock(&name)) {
            return Ok(Self::flock(1));
        }
        match env::args_os().nth(1).as_deref().and_then(OsStr::to_str) {
            Some("run") => {
                let words: Vec<_> = env::args_os().skip(2).collect();
                Ok(Self { task: Task::Run(RunOptions::parse_words(&words)?) })
            }
            #[cfg(unix)]
            Some("flock") => Ok(Self::flock(2)),
            _ => Self::try_parse().map_err(|error| {
                let words: Vec<_> = env::args_os().skip(1).collect();
                suggestions::for_missing_command(error, &words)
            }),
        }
    }

    /// Leaves all words but the first ones to `locket flock`.
    #[cfg(unix)]
    fn flock(skipped: usize) -> Self {
        Self { task: Task::Flock(FlockOptions { words: env::args_os().skip(skipped).collect() }) }
    }
}

/// Returns whether a process called by this name is flock(1).
#[cfg(unix)]
fn is_flock(name: &OsStr) -> bool {
    Path::new(name).file_name() == Some(OsStr::new("flock"))
}

/// List the holders and the waiters of a file's lock.
///
/// The answer is true at one moment, and may be out of date when it is read. Neither the lock nor the file is touched, and
/// the file need not exist. Processes outside of this container are not seen, nor those of other hosts on most network file
/// systems: where no holder is seen there, the lock is free "as far as this container can tell" or "as far as this host can
/// tell", and the exit code is 71.
#[derive(Debug, Parser)]
#[command(
    display_name = "locket",
    after_long_help = exit::help(exit::STATUS_CODES),
    args_override_self = true,
    override_usage = "locket status [OPTIONS] <FILE>...\n       \
                      locket status [OPTIONS] --all"
)]
pub(crate) struct StatusOptions {
    /// List all locks that are in use, as far as they can be seen
    #[arg(short, long, conflicts_with = "files")]
    pub(crate) all: bool,

    /// Print JSON
    ///
    /// One object, with the array `locks`. Each lock has `path`, `state` ("held", "free" or "unknown"), `coverage` (what the
    /// system could see: "complete", "host", "container", "partial" (a part of the system's table of locks) or "unknown"; it
    /// explains the state "unknown"), `exists`, and the arrays `held` and `waiting`, the next waiter first. Each of their members has `mode`
    /// ("exclusive" or "shared"), `by` ("process"; "ended": the process has exited, and other processes still hold the lock;
    /// "taker": a process with this id acquired the lock, and this user cannot inspect it;
    /// "outside": a process outside of this container; "other host"; "unknown"), `pid`, `name`, `command` (an array), `user`,
    /// `started` (seconds since 1970) and `stopped` (by Ctrl-Z, for instance). The bytes of a path that is not Unicode are in
    /// `path_bytes`, an array of numbers. What is not known is null. Fields may be added, and none is removed.
    #[arg(long)]
    pub(crate) json: bool,

    /// Print nothing but errors: the exit code is the answer
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,

    /// The lock files
    #[arg(required_unless_present = "all", value_name = "FILE", value_hint = ValueHint::AnyPath, value_parser = acquire::path())]
    pub(crate) files: Vec<PathBuf>,
}

/// The options of flock(1) are not described to clap, which does not parse a command line as getopt(3) does.
#[cfg(unix)]
#[derive(Debug, Parser)]
#[command(
    display_name = "locket",
    about = flock::ABOUT,
    long_about = flock::DESCRIPTION,
    disable_help_flag = true,
    disable_version_flag = true,
    override_usage = "locket flock [OPTIONS] <FILE|DIRECTORY> <COMMAND>...\n       \
                      locket flock [OPTIONS] <NUMBER>"
)]
pub(crate) struct FlockOptions {
    /// The arguments of flock(1); --help lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub(crate) words: Vec<OsString>,
}

/// Print the completions of locket's arguments for a shell.
#[derive(Debug, Parser)]
#[command(display_name = "locket", after_long_help = exit::help(exit::PRINT_CODES))]
pub(crate) struct CompletionsOptions {
    /// The shell
    pub(crate) shell: Shell,
}

/// Print a page of the manual, in the format of man(1).
#[derive(Debug, Parser)]
#[command(display_name = "locket", after_long_help = exit::help(exit::PRINT_CODES))]
pub(crate) struct ManOptions {
    /// Write all pages into a directory where man(1) finds them
    ///
    /// The pages go into `man1` of the directory. The default is `share/man` beside the directory `bin` that locket is in,
    /// where man(1) looks if that `bin` is in PATH: `~/.cargo/share/man` after `cargo install`.
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true)]
    #[arg(conflicts_with = "command", value_hint = ValueHint::DirPath)]
    #[allow(clippy::option_option, reason = "the option, and its value")]
    pub(crate) install: Option<Option<PathBuf>>,

    /// The command whose page is printed; the default is the page of locket as a whole
    pub(crate) command: Option<String>,
}
