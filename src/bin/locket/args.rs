//! What may stand on the command line. Options have the names that they have in flock(1).

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Parser, Subcommand};

use super::exit;
use super::program::Program;
use super::timeout;
use super::voice::Tone;

/// An inter-process lock named by a file.
#[derive(Debug, Parser)]
#[command(name = "locket", version, propagate_version = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) task: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    Run(RunOptions),
}

/// Run a command under the lock of a file.
///
/// Waits for the lock, becomes the command, and so exits with its status. The lock is held until
/// the command has ended, and every program it started that is still running. The file is created
/// if it is missing, and never written to, truncated or deleted.
#[derive(Debug, Parser)]
#[command(
    display_name = "locket",
    after_long_help = exit::HELP,
    args_override_self = true,
    group = ArgGroup::new("program").args(["string", "command"]).required(true),
    override_usage = "locket run [OPTIONS] <FILE> [--] <COMMAND>...\n       \
                      locket run [OPTIONS] <FILE> -c <STRING>"
)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option on the command line")]
pub(crate) struct RunOptions {
    /// Share the lock with other shared holders
    #[arg(short, long, overrides_with = "exclusive")]
    pub(crate) shared: bool,

    /// Hold the lock alone (the default)
    #[arg(short = 'x', short_alias = 'e', long, overrides_with = "shared")]
    exclusive: bool,

    /// Do not wait: fail at once if somebody else holds the lock
    #[arg(short, long, aliases = ["nonblocking", "nb"], conflicts_with = "timeout")]
    nonblock: bool,

    /// Fail if the lock is not free within this time: seconds, or 500ms, 2m, 1h
    #[arg(short = 'w', long, alias = "wait", value_name = "SECS", value_parser = timeout::parse)]
    timeout: Option<Duration>,

    /// Exit with this code, instead of 75, if somebody else holds the lock
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = exit::CONTENDED)]
    #[arg(hide_default_value = true)]
    pub(crate) conflict_exit_code: u8,

    /// Do not let the command inherit the lock: stay, and hold it until the command ends
    ///
    /// What the command leaves running in the background does not keep the lock. Meanwhile locket
    /// passes HUP, INT, QUIT, TERM, USR1, USR2 and ALRM on to the command (INT and QUIT unless it
    /// is the terminal that sends them, to both). If locket itself is killed with KILL, the lock
    /// is free although the command goes on.
    #[arg(short = 'o', long)]
    pub(crate) close: bool,

    /// Become the command (the default), as with `flock --no-fork`
    #[arg(short = 'F', long, conflicts_with = "close")]
    no_fork: bool,

    /// Run this string by $SHELL, or /bin/sh (on Windows by cmd)
    #[arg(short = 'c', long = "command", value_name = "STRING")]
    string: Option<OsString>,

    /// Say when a wait begins, when the lock was taken, and how long that took
    #[arg(long, conflicts_with = "quiet")]
    verbose: bool,

    /// Say nothing, not even that somebody else holds the lock; errors are still told
    #[arg(long)]
    quiet: bool,

    /// The lock file
    pub(crate) file: PathBuf,

    /// The command and its arguments
    #[arg(trailing_var_arg = true)]
    command: Vec<OsString>,
}

impl RunOptions {
    /// `None` is for ever, zero one attempt.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        if self.nonblock { Some(Duration::ZERO) } else { self.timeout }
    }

    pub(crate) fn program(&self) -> Program<'_> {
        match &self.string {
            Some(string) => Program::Shell(string),
            None => Program::Arguments(&self.command),
        }
    }

    pub(crate) fn tone(&self) -> Tone {
        match (self.quiet, self.verbose) {
            (true, _) => Tone::Quiet,
            (false, true) => Tone::Verbose,
            (false, false) => Tone::Plain,
        }
    }
}
