//! The platform seam on Windows: the command is always beside this process, which can neither become another program nor pass
//! its lock on. There is no status line: a wait prints lines that stay.

use std::collections::HashMap;
use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::windows::process::CommandExt;
use std::process::{self, Command};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use locket::LockStatus;
use win32job::{ExtendedLimitInfo, JobError};

use crate::exit::Failure;
use crate::platform::{self, CommandLines, Hold, Inheritance, Platform, Program};

/// Windows.
#[derive(Debug)]
pub(crate) struct System;

impl Platform for System {
    type StatusLine = NoStatusLine;
    type ClearOnExit = NoClearOnExit;

    /// Holds the lock until the program has exited, or until all processes that it started have, as if they inherited it.
    ///
    /// If this process is killed before, the system ends all processes of the job: no process runs without the lock.
    fn run(
        hold: Hold,
        program: Program<'_>,
        inheritance: Inheritance,
        _warn: fn(&str),
    ) -> Result<i32, Failure> {
        let job = Job::enter()
            .map_err(|error| Failure::system("create a job object for the command", &error))?;
        ignore_ctrl_c().map_err(|error| Failure::system("handle Ctrl-C", &error))?;

        let mut command = command(program);
        let status =
            command.status().map_err(|error| Failure::start(command.get_program(), &error))?;
        match inheritance {
            Inheritance::Inherited => {
                let waited = job.wait_until_alone();
                waited.map_err(|error| {
                    Failure::system("wait for the processes that the command started", &error)
                })?;
                drop(hold);
            }
            // The processes that the program left running go on without the lock.
            Inheritance::NotInherited => {
                drop(hold);
                job.release().map_err(|error| {
                    Failure::system("release the processes that the command started", &error)
                })?;
            }
        }
        status.code().ok_or_else(|| {
            let error = io::ErrorKind::InvalidData.into();
            Failure::system("get the exit code of the command", &error)
        })
    }

    fn spawn_without_signals(run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
        thread::Builder::new().spawn(run)
    }

    /// A thread writes, and the caller stops waiting for it after a second.
    fn write_stderr(text: String) {
        const TIMEOUT: Duration = Duration::from_secs(1);
        let (sender, receiver) = mpsc::sync_channel(1);
        let thread = Self::spawn_without_signals(move || {
            let _ = anstream::stderr().write_all(text.as_bytes());
            let _ = sender.send(());
        });
        if thread.is_ok() {
            let _ = receiver.recv_timeout(TIMEOUT);
        }
    }

    /// A closed standard output is not detected on Windows.
    fn check_stdout() -> io::Result<()> {
        Ok(())
    }

    /// Command lines of other processes are not read on Windows.
    fn command_lines(_: &[u32]) -> CommandLines {
        HashMap::new()
    }
}

/// Keeps Ctrl-C from ending this process. The console sends it to all of its processes, and the command decides whether it
/// ends.
fn ignore_ctrl_c() -> io::Result<()> {
    ctrlc::set_handler(|| {}).map_err(io::Error::other)
}

fn command(program: Program<'_>) -> Command {
    match program {
        Program::Arguments(arguments) => {
            let mut command = Command::new(&arguments[0]);
            command.args(&arguments[1..]);
            command
        }
        Program::Shell(string) => {
            // With /s, cmd removes the outer quotes and leaves everything between them as it is (`cmd /?`).
            let shell = env::var_os("COMSPEC").unwrap_or_else(|| "cmd.exe".into());
            let mut quoted = OsString::from("\"");
            quoted.push(string);
            quoted.push("\"");
            let mut command = Command::new(shell);
            command.args(["/d", "/s", "/c"]).raw_arg(quoted);
            command
        }
    }
}

/// The time between two queries of the processes in the job. A job sends no message when all processes but one have exited.
const QUERY_EVERY: Duration = Duration::from_millis(50);

/// A job object with this process, all processes that it starts from now on, and those that they start. When its last handle
/// is closed, the system ends them; it closes the handle of this process when the process ends, however that happens. The
/// handle must not be closed before: that would end this process too.
#[derive(Debug)]
struct Job(ManuallyDrop<win32job::Job>);

impl Job {
    /// Creates the job and puts this process into it. Called before the command is started, so the command is never outside.
    fn enter() -> io::Result<Self> {
        let job = win32job::Job::create_with_limit_info(
            ExtendedLimitInfo::new().limit_kill_on_job_close(),
        )?;
        let job = Self(ManuallyDrop::new(job));
        job.0.assign_current_process()?;
        Ok(job)
    }

    /// Waits until this process is the only one in the job.
    fn wait_until_alone(&self) -> io::Result<()> {
        while self.has_others()? {
            thread::sleep(QUERY_EVERY);
        }
        Ok(())
    }

    fn has_others(&self) -> Result<bool, JobError> {
        let this = process::id() as usize;
        let processes = self.0.query_process_id_list()?;
        Ok(processes.into_iter().any(|process| process != this))
    }

    /// Lets the other processes of the job go on after the end of this process.
    fn release(&self) -> io::Result<()> {
        Ok(self.0.set_extended_limit_info(&ExtendedLimitInfo::new())?)
    }
}

/// There is no status line: it could not be erased when Ctrl-C ends this process.
#[derive(Debug)]
pub(crate) enum NoStatusLine {}

impl platform::StatusLine for NoStatusLine {
    fn for_terminal() -> Option<Self> {
        None
    }

    fn is_only_writer(_: &LockStatus) -> bool {
        false
    }

    fn draw(&self, _: &[&str; 3]) {
        match *self {}
    }

    fn clear(&self) {
        match *self {}
    }

    fn finish(&self) {
        match *self {}
    }
}

/// Nothing is erased, since there is no status line.
pub(crate) enum NoClearOnExit {}

impl platform::ClearOnExit<NoStatusLine> for NoClearOnExit {
    fn start(line: Option<Arc<NoStatusLine>>) -> Option<Self> {
        line.map(|line| match *line {})
    }

    fn end(self) {
        match self {}
    }
}
