//! The command under the lock, on Windows: always beside this process, which cannot become another
//! one, nor give its lock away. A wait is told in lines that stay.

mod leash;

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::windows::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use locket::LockStatus;

use super::exit::Failure;
use super::hold::Hold;
use super::program::{Inheritance, Program};
use leash::Leash;

/// Holds the lock until the program has ended, or that and whatever it started, as if they could inherit it.
pub(crate) fn run(
    hold: Hold,
    program: Program<'_>,
    inheritance: Inheritance,
) -> Result<i32, Failure> {
    run_on_leash(program, |leash| match inheritance {
        Inheritance::Inherited => {
            leash.wait_until_alone().map_err(|e| Failure::of_system("learn who is left", &e))?;
            drop(hold);
            Ok(())
        }
        // What the program left behind goes on.
        Inheritance::KeptBack => {
            drop(hold);
            leash.take_off().map_err(|e| Failure::of_system("let go of what is left", &e))
        }
    })
}

/// Returns the program's exit code after `at_end`. If this process is killed before, the system ends
/// all that runs under the lock: nobody works on without it.
fn run_on_leash(
    program: Program<'_>,
    at_end: impl FnOnce(&Leash) -> Result<(), Failure>,
) -> Result<i32, Failure> {
    let leash = Leash::put_on().map_err(|e| Failure::of_system("tie the command to locket", &e))?;
    outlive_ctrl_c().map_err(|e| Failure::of_system("handle Ctrl-C", &e))?;

    let mut command = command(program);
    let ended =
        command.status().map_err(|error| Failure::of_start(command.get_program(), &error))?;
    at_end(&leash)?;
    ended.code().ok_or_else(|| {
        Failure::of_system("learn how the command ended", &std::io::ErrorKind::InvalidData.into())
    })
}

/// The console tells everybody who is in it. Whether the command ends is the command's to decide.
fn outlive_ctrl_c() -> std::io::Result<()> {
    ctrlc::set_handler(|| {}).map_err(std::io::Error::other)
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

    pub(crate) fn is_alone(_: &LockStatus) -> bool {
        false
    }

    pub(crate) fn draw(&self, _: &[&str; 3]) {
        match *self {}
    }

    pub(crate) fn clear(&self) {
        match *self {}
    }

    pub(crate) fn end(&self) {
        match *self {}
    }
}

pub(crate) enum Leaving {}

impl Leaving {
    pub(crate) fn tidy(line: Option<Arc<LiveLine>>) -> Option<Self> {
        line.map(|line| match *line {})
    }

    pub(crate) fn end(self) {
        match self {}
    }
}

/// What becomes of a text for which there is no room: here it is lost with this process.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NoRoom {
    Lose,
}

/// Writes to standard error. A reader that does not read is not waited for.
pub(crate) fn write(text: String, _: NoRoom) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let (tell, told) = mpsc::sync_channel(1);
    let thread = spawn_deaf(move || {
        let _ = anstream::stderr().write_all(text.as_bytes());
        let _ = tell.send(());
    });
    if thread.is_ok() {
        let _ = told.recv_timeout(PATIENCE);
    }
}

/// The words of command lines, by process ids.
pub(crate) type CommandLines = HashMap<u32, Vec<OsString>>;

/// The system does not tell.
pub(crate) fn command_lines(_: &[u32]) -> CommandLines {
    CommandLines::new()
}

pub(crate) fn spawn_deaf(run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().spawn(run)
}
