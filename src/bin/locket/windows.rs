//! The command under the lock, on Windows: always beside this process, whose handle it does not
//! inherit. A wait is told in lines that stay.

use std::env;
use std::fmt::Display;
use std::os::windows::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use locket::Guard;

use super::exit::Failure;
use super::program::Program;

pub(crate) fn run_with(guard: Guard, program: Program<'_>) -> Result<i32, Failure> {
    run_beside(guard, program)
}

/// Holds the lock until the program has ended.
pub(crate) fn run_beside(guard: Guard, program: Program<'_>) -> Result<i32, Failure> {
    let mut command = command(program);
    let ended = command
        .status()
        .map_err(|error| Failure::of_start(&command.get_program().to_string_lossy(), &error))?;
    drop(guard);
    ended.code().ok_or_else(|| {
        Failure::of_system("learn how the command ended", &std::io::ErrorKind::InvalidData.into())
    })
}

fn command(program: Program<'_>) -> Command {
    match program {
        Program::Arguments(arguments) => {
            let mut command = Command::new(&arguments[0]);
            command.args(&arguments[1..]);
            command
        }
        Program::Shell(string) => {
            // With /s, cmd takes off the outer quotes and leaves everything within as it is.
            let shell = env::var_os("COMSPEC").unwrap_or_else(|| "cmd.exe".into());
            let mut quoted = std::ffi::OsString::from("\"");
            quoted.push(string);
            quoted.push("\"");
            let mut command = Command::new(shell);
            command.args(["/d", "/s", "/c"]).raw_arg(quoted);
            command
        }
    }
}

/// A line that nobody could erase if Ctrl-C ended this process is better not drawn.
#[derive(Debug)]
pub(crate) enum LiveLine {}

impl LiveLine {
    pub(crate) fn of_terminal() -> Option<Self> {
        None
    }

    pub(crate) fn draw(&self, _: impl Display) {
        match *self {}
    }
}

pub(crate) enum Leaving {}

impl Leaving {
    #[allow(clippy::needless_pass_by_value, reason = "as on Unix")]
    pub(crate) fn tidy(line: Arc<LiveLine>) -> Self {
        match *line {}
    }
}
