//! The options of the commands that acquire a lock: `run`, `wait`, `lock`; and of `unlock`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgGroup, Args, Parser, ValueHint};

use crate::args::suggestions::{for_flock_option, is_number, quoted, usage_error};
use crate::duration;
use crate::exit;
use crate::output::Verbosity;
use crate::platform::{Inheritance, Program};

/// How long to wait for a lock, and what to exit with if that was not long enough.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Do not wait: fail immediately if another process holds the lock
    #[arg(short, long, aliases = ["nonblocking", "nb"], conflicts_with = "timeout")]
    nonblock: bool,

    /// Fail if the lock is not free within this time: seconds, or 500ms, 2m, 1h, 1d
    #[arg(short = 'w', long, alias = "wait", value_name = "SECS", allow_hyphen_values = true, value_parser = duration::parse)]
    timeout: Option<Duration>,

    /// Exit with this code, instead of 75, if another process holds the lock
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = exit::CONTENDED)]
    #[arg(hide_default_value = true)]
    pub(crate) conflict_exit_code: u8,
}

impl WaitArgs {
    /// Returns the time to wait: `None` is forever, zero is one attempt.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        if self.nonblock { Some(Duration::ZERO) } else { self.timeout }
    }
}

/// The mode of the lock.
#[derive(Debug, Args)]
pub(crate) struct ModeArgs {
    /// Share the lock with other shared holders
    #[arg(short, long, overrides_with = "exclusive")]
    pub(crate) shared: bool,

    /// Hold the lock alone (the default)
    #[arg(short = 'x', short_alias = 'e', long, overrides_with = "shared")]
    exclusive: bool,
}

/// Run a command under the lock of a file.
///
/// Waits for the lock, runs the command, and ends as the command ended: with its exit code, or by the signal that ended it.
/// The lock is held until the command has exited, and every program that it started and that inherited the lock. The
/// file is created if it is missing, and never written to, truncated or deleted.
///
/// On Unix the lock is held while the command runs, even if the command closes all descriptors or if locket is
/// killed. Each signal that is sent to locket reaches the command once, whether it was sent to locket alone or to
/// its process group. Ctrl-Z stops both.
///
/// On Windows locket waits for the command and every program that it started; if locket is killed, the system ends
/// them too.
///
/// During a wait the holder is shown on standard error: at a terminal in a line that is erased when the wait is over,
/// elsewhere in one line every ten seconds.
#[derive(Debug, Parser)]
#[command(
    display_name = "locket",
    version,
    after_long_help = exit::help(exit::RUN_CODES),
    args_override_self = true,
    group = ArgGroup::new("program").args(["string", "command"]),
    override_usage = "locket run [OPTIONS] <FILE> [--] <COMMAND>...\n       \
                      locket run [OPTIONS] <FILE> -c <STRING>"
)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option on the command line")]
pub(crate) struct RunOptions {
    #[command(flatten)]
    pub(crate) mode_args: ModeArgs,

    #[command(flatten)]
    pub(crate) wait: WaitArgs,

    /// Do not let the command inherit the lock
    ///
    /// A program that the command leaves running in the background then does not keep the lock.
    #[arg(short = 'o', long)]
    close: bool,

    /// Become the command instead of running it as a child, as `flock --no-fork`
    ///
    /// The lock is then held by nothing but the descriptor that the command inherits. A command that closes it
    /// releases the lock while it runs: ssh does that, a script with `exec 10>FILE`, Python's `os.closerange`. For
    /// services that are known by their process id (`sd_notify`, socket activation).
    #[cfg(unix)]
    #[arg(short = 'F', long, conflicts_with = "close")]
    pub(crate) no_fork: bool,

    /// Pass the locked descriptor to the command with this number, such as 9
    ///
    /// For a command that uses the descriptor itself, or that unlocks or closes it: `locket unlock 9`,
    /// `exec 9>&-`. The command has it under this number only.
    #[cfg(unix)]
    #[arg(long, value_name = "NUMBER", conflicts_with = "close")]
    #[arg(value_parser = clap::value_parser!(i32).range(3..))]
    pass_fd: Option<i32>,

    /// Print one line when the command has held the lock for longer than this (not with -q)
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
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

    /// Print when a wait begins, when the lock was acquired, and how long that took
    #[arg(long, conflicts_with = "quiet")]
    verbose: bool,

    /// Print errors only, not that another process holds the lock
    #[arg(short, long)]
    quiet: bool,

    /// The lock file, or on Unix a directory
    #[arg(value_hint = ValueHint::AnyPath, value_parser = path())]
    pub(crate) file: PathBuf,

    /// The command and its arguments
    #[arg(trailing_var_arg = true, value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

impl RunOptions {
    /// Parses the words after `run`. The error for an option of flock(1), or for a missing command, says what to type
    /// instead.
    pub(crate) fn parse_words(words: &[OsString]) -> Result<Self, clap::Error> {
        let name = OsString::from("run");
        let options = Self::try_parse_from([&name].into_iter().chain(words));
        options.map_err(|error| for_flock_option(error, words))?.with_command(words)
    }

    fn with_command(self, words: &[OsString]) -> Result<Self, clap::Error> {
        if self.string.is_some() || !self.command.is_empty() {
            return Ok(self);
        }
        let file = quoted(&[self.file.into_os_string()]);
        let line = quoted(words);
        let tip = if is_number(file.as_ref()) {
            format!("to lock a descriptor of the shell's: `locket lock {line}`")
        } else {
            format!("`locket run {line} COMMAND`, or to see the holder: `locket status {file}`")
        };
        Err(usage_error("there is no command to run under the lock", &tip))
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
        if self.close { Inheritance::NotInherited } else { Inheritance::Inherited }
    }

    pub(crate) fn verbosity(&self) -> Verbosity {
        Verbosity::from_options(self.quiet, self.verbose)
    }
}

/// Wait until the lock of a file is free, without keeping it.
///
/// A lock is free if no process holds it, neither exclusively nor shared. A file that is missing, or is
/// deleted during the wait, is free, and none is created; if it is replaced, the wait goes on for the new
/// file. The path is checked every second for that. (The wait for a directory that is deleted lasts
/// until its holder has exited.) Another process may acquire the lock before the answer is used: a program that must
/// not meet another holder belongs under `locket run`.
///
/// The only way to know is to acquire the lock in its turn and to release it immediately. During that
/// moment an attempt that does not wait (`locket run -n`) finds it held; waiters are not delayed.
#[derive(Debug, Parser)]
#[command(
    display_name = "locket",
    after_long_help = exit::help(exit::WAIT_CODES),
    args_override_self = true
)]
pub(crate) struct WaitOptions {
    /// Wait only for an exclusive holder, not for shared ones
    #[arg(short, long)]
    pub(crate) shared: bool,

    #[command(flatten)]
    pub(crate) wait: WaitArgs,

    /// Print errors only, not that another process holds the lock
    #[arg(short, long)]
    quiet: bool,

    /// The lock file, or on Unix a directory
    #[arg(value_hint = ValueHint::AnyPath, value_parser = path())]
    pub(crate) file: PathBuf,
}

impl WaitOptions {
    pub(crate) fn verbosity(&self) -> Verbosity {
        if self.quiet { Verbosity::Quiet } else { Verbosity::Normal }
    }
}

/// Lock a descriptor that the shell has opened, and leave it locked.
///
/// For scripts: after `exec 9>FILE`, `locket lock 9` waits for the lock of FILE. The lock belongs to the open file, not
/// to locket: it stays until the shell, and every program that inherited the descriptor, has exited or closed it, or until
/// `locket unlock 9`.
///
/// Each program that the script starts inherits the descriptor: a program that is left running in the background keeps the
/// lock, unless it is started with `9>&-`.
#[cfg(unix)]
#[derive(Debug, Parser)]
#[command(
    display_name = "locket",
    after_long_help = exit::help(exit::LOCK_CODES),
    args_override_self = true
)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option on the command line")]
pub(crate) struct LockOptions {
    #[command(flatten)]
    pub(crate) mode_args: ModeArgs,

    #[command(flatten)]
    pub(crate) wait: WaitArgs,

    /// Print when a wait begins, when the lock was acquired, and how long that took
    #[arg(long, conflicts_with = "quiet")]
    verbose: bool,

    /// Print errors only, not that another process holds the lock
    #[arg(short, long)]
    quiet: bool,

    /// The number of the descriptor
    #[arg(value_name = "NUMBER", value_parser = descriptor_number)]
    pub(crate) descriptor: i32,
}

#[cfg(unix)]
impl LockOptions {
    pub(crate) fn verbosity(&self) -> Verbosity {
        Verbosity::from_options(self.quiet, self.verbose)
    }
}

/// Unlock a descriptor that the shell has opened.
///
/// For scripts that go on after the part that needs the lock. The lock of the open file is released, for all programs that
/// have inherited its descriptor. It is no error if the descriptor is not locked.
#[cfg(unix)]
#[derive(Debug, Parser)]
#[command(display_name = "locket", after_long_help = exit::help(exit::UNLOCK_CODES))]
pub(crate) struct UnlockOptions {
    /// The number of the descriptor
    #[arg(value_name = "NUMBER", value_parser = descriptor_number)]
    pub(crate) descriptor: i32,
}

/// Parses a path. An empty one is most often a variable of a script that is not set.
pub(crate) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|path| {
        if path.is_empty() {
            return Err("the path is empty: check for a variable that is not set");
        }
        Ok(PathBuf::from(path))
    })
}

#[cfg(unix)]
fn octal(text: &str) -> Result<u32, &'static str> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|&mode| mode <= 0o777);
    mode.ok_or("expected an octal number, such as 660")
}

#[cfg(unix)]
fn descriptor_number(text: &str) -> Result<i32, &'static str> {
    let number = text.parse().ok().filter(|&number| number >= 0);
    number.ok_or(
        "expected the number of a descriptor, such as 9; to run a command under the lock of a file: locket run FILE COMMAND",
    )
}
