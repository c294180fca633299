use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Parser, ValueHint};

use crate::advice::{is_number, misuse, on_option_of_flock, typed};
use crate::exit;
use crate::program::{Inheritance, Program};
use crate::timeout;
use crate::voice::Tone;

use super::{Sharing, Waiting, path};

/// Run a command under the lock of a file.
///
/// Waits for the lock, runs the command, and ends as it ended: with its status, or by the signal that ended it. The
/// lock is held until the command has ended, and every program that it started and that inherited the lock. The
/// file is created if it is missing, and never written to, truncated or deleted.
///
/// On Unix the lock is held while the command runs even if the command closes all descriptors, or if locket is
/// killed. Each signal that is sent to locket reaches the command once, whether it was sent to locket alone or to
/// its process group. Ctrl-Z stops both.
///
/// On Windows locket waits for the command and every program that it started; if locket is killed, the system ends
/// them with it.
///
/// A wait is told on standard error: at a terminal in a line that is gone when the wait is over,
/// elsewhere in one line every ten seconds.
#[derive(Debug, Parser)]
#[command(
    display_name = "locket",
    version,
    after_long_help = exit::help(exit::OF_RUN),
    args_override_self = true,
    group = ArgGroup::new("program").args(["string", "command"]),
    override_usage = "locket run [OPTIONS] <FILE> [--] <COMMAND>...\n       \
                      locket run [OPTIONS] <FILE> -c <STRING>"
)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option on the command line")]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) sharing: Sharing,

    #[command(flatten)]
    pub(crate) waiting: Waiting,

    /// Do not let the command inherit the lock
    ///
    /// What the command leaves running in the background does not keep the lock then.
    #[arg(short = 'o', long)]
    close: bool,

    /// Become the command instead of staying beside it, as `flock --no-fork`
    ///
    /// The lock is then held by nothing but the descriptor that the command inherits. A command that closes it
    /// frees the lock while it runs: ssh does that, a script with `exec 10>FILE`, Python's `os.closerange`. For
    /// services that are to be known by their process id (`sd_notify`, socket activation).
    #[cfg(unix)]
    #[arg(short = 'F', long, conflicts_with = "close")]
    pub(crate) no_fork: bool,

    /// Hand the locked descriptor to the command with this number, as 9
    ///
    /// For a command that works on the descriptor itself, or that is to unlock or close it: `locket unlock 9`,
    /// `exec 9>&-`. The command has it under this number only.
    #[cfg(unix)]
    #[arg(long, value_name = "NUMBER", conflicts_with = "close")]
    #[arg(value_parser = clap::value_parser!(i32).range(3..))]
    pass_fd: Option<i32>,

    /// Say so in one line when the command has held the lock for longer than this (not with -q)
    #[arg(long, value_name = "TIME", value_parser = timeout::parse)]
    #[cfg_attr(unix, arg(conflicts_with = "no_fork"))]
    pub(crate) hold_warning: Option<Duration>,

    /// The mode of the lock file if it is created, in octal; the umask does not change it
    #[cfg(unix)]
    #[arg(long, value_name = "MODE", value_parser = octal)]
    pub(crate) mode: Option<u32>,

    /// Fail if the lock file is a symbolic link, or a directory
    #[arg(long)]
    pub(crate) no_follow: bool,

    /// Run this string by $SHELL, or /bin/sh (on Windows by cmd)
    #[arg(short = 'c', long = "command", value_name = "STRING")]
    #[arg(value_hint = ValueHint::CommandString)]
    string: Option<OsString>,

    /// Say when a wait begins, when the lock was taken, and how long that took
    #[arg(long, conflicts_with = "quiet")]
    verbose: bool,

    /// Say nothing, not even that somebody else holds the lock; errors are still told
    #[arg(short, long)]
    quiet: bool,

    /// The lock file, or on Unix a directory
    #[arg(value_hint = ValueHint::AnyPath, value_parser = path())]
    pub(crate) file: PathBuf,

    /// The command and its arguments
    #[arg(trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

#[cfg(unix)]
fn octal(text: &str) -> Result<u32, &'static str> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|&mode| mode <= 0o777);
    mode.ok_or("expected an octal number, as 660")
}

impl RunOptions {
    /// Understands the words after `run`. What flock(1) would take, and a command that is missing, are answered by what
    /// to type instead.
    pub(crate) fn of(words: &[OsString]) -> Result<Self, clap::Error> {
        let name = OsString::from("run");
        let options = Self::try_parse_from([&name].into_iter().chain(words));
        options.map_err(|error| on_option_of_flock(error, words))?.checked(words)
    }

    fn checked(self, words: &[OsString]) -> Result<Self, clap::Error> {
        if self.string.is_some() || !self.command.is_empty() {
            return Ok(self);
        }
        let file = typed(&[self.file.into_os_string()]);
        let tip = if is_number(file.as_ref()) {
            format!("to lock a descriptor of the shell's: `locket lock {}`", typed(words))
        } else {
            format!(
                "`locket run {} COMMAND`, or to see the holder: `locket status {file}`",
                typed(words)
            )
        };
        Err(misuse("there is no command to run under the lock", &tip))
    }

    pub(crate) fn program(&self) -> Program<'_> {
        match &self.string {
            Some(string) => Program::Shell(string),
            None => Program::Arguments(&self.command),
        }
    }

    pub(crate) fn inheritance(&self) -> Inheritance {
        #[cfg(unix)]
        if let Some(number) = self.pass_fd {
            return Inheritance::As(number);
        }
        if self.close { Inheritance::KeptBack } else { Inheritance::Inherited }
    }

    pub(crate) fn tone(&self) -> Tone {
        Tone::of(self.quiet, self.verbose)
    }
}
