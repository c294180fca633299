//! Processes that run beside the test: `locket` in the background, and those that it starts.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use assert_cmd::assert::Assert;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::lock_file::{LOCKET, said};
use crate::support::{PATIENCE, until, until_waiting};

/// Ends at the end of its input. Prints its process id first, so that the lock is known to be held.
pub(crate) const HOLD: &str = "echo $$; read _";

/// A process that a test exchanges lines with.
pub(crate) struct Running {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

/// Starts a command under the lock.
#[track_caller]
pub(crate) fn start(options: &[&str], path: impl AsRef<OsStr>, command: &[&str]) -> Running {
    Running::start(Command::new(LOCKET).arg("run").args(options).arg(path).args(command))
}

/// Starts a command that holds the lock. Returns when it does.
#[track_caller]
pub(crate) fn holder(options: &[&str], path: impl AsRef<OsStr>) -> Running {
    let holder = start(options, path, &["--", "sh", "-c", HOLD]);
    holder.line();
    holder
}

/// Starts a command that will hold the lock. Returns when it waits for it.
#[track_caller]
pub(crate) fn waiter(options: &[&str], path: impl AsRef<OsStr> + AsRef<Path>) -> Running {
    start(options, &path, &["--", "sh", "-c", HOLD]).waiting(path)
}

impl Running {
    /// Starts a process in a process group of its own.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} should start: {error}"));
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        Self { process, input, lines }
    }

    /// Starts a script of a shell. `$0` is locket.
    #[track_caller]
    pub(crate) fn sh(script: &str, arguments: &[&str]) -> Self {
        Self::start(Command::new("sh").args(["-c", script, LOCKET]).args(arguments))
    }

    /// Starts `locket run` with these options and `true`. The lines are those of its standard error.
    #[track_caller]
    pub(crate) fn with_messages(options: &[&str], path: &str) -> Self {
        Self::sh(r#"exec "$0" run "$@" true 2>&1"#, &[options, &[path]].concat())
    }

    /// Returns when the process waits for the lock.
    #[track_caller]
    pub(crate) fn waiting(self, path: impl AsRef<Path>) -> Self {
        until_waiting(self.pid(), path.as_ref(), 1);
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns how messages name this locket with its shell.
    pub(crate) fn display_name(&self) -> String {
        format!("pid {} (locket-command: sh)", self.pid())
    }

    /// Asserts the message about a lock that this process holds. The holder may be missing, because the search has a short
    /// time limit (L3).
    #[track_caller]
    pub(crate) fn assert_names_holder(&self, refused: &Assert, what: &str) {
        let said = said(refused);
        let holders = [self.display_name(), "another process".into()];
        let may_be_said = holders.map(|holder| format!("locket: {what} held by {holder}\n"));
        assert!(may_be_said.contains(&said), "{said}, not {may_be_said:?}");
    }

    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.maybe_line().expect("the process should say something")
    }

    /// Returns the next line, or `None` at the end of the output.
    #[track_caller]
    pub(crate) fn maybe_line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Err(RecvTimeoutError::Timeout) => panic!("neither a line nor the end"),
            line => line.ok(),
        }
    }

    /// Returns the remaining lines, up to the end of the output.
    #[track_caller]
    pub(crate) fn rest(&self) -> Vec<String> {
        std::iter::from_fn(|| self.maybe_line()).collect()
    }

    #[track_caller]
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input is open");
        input.write_all(format!("{line}\n").as_bytes()).expect("it should be reading");
    }

    /// Closes the input of the process.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
    }

    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        kill(pid(self.pid()), signal).expect("it should be there");
    }

    /// Signals its process group.
    #[track_caller]
    pub(crate) fn signal_all(&self, signal: Signal) {
        killpg(pid(self.pid()), signal).expect("it should be there");
    }

    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait(&mut self.process)
    }

    #[track_caller]
    pub(crate) fn assert_ended_by(&mut self, signal: Signal) {
        assert_eq!(self.wait().signal(), Some(signal as i32));
    }

    /// Closes its input. Returns its exit code.
    #[track_caller]
    pub(crate) fn end(mut self) -> Option<i32> {
        self.hang_up();
        self.wait().code()
    }

    /// Kills locket alone with SIGKILL, and reaps it. The command goes on.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.assert_ended_by(Signal::SIGKILL);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until a child has ended.
#[track_caller]
pub(crate) fn wait(child: &mut Child) -> ExitStatus {
    let mut ended = None;
    until("the process ends", || {
        ended = child.try_wait().expect("it is a child of the test");
        ended.is_some()
    });
    ended.expect("it has ended")
}

pub(crate) fn pid(number: u32) -> Pid {
    Pid::from_raw(number.try_into().expect("a process id is positive"))
}

/// Returns whether there is a process with this id, or a zombie.
pub(crate) fn is_there(number: u32) -> bool {
    kill(pid(number), None).is_ok()
}

/// Returns the children of a process, the oldest first.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn children(number: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{number}/task/{number}/children"));
    let children = children.expect("the process is there, and the kernel reports its children");
    children.split_whitespace().map(|child| child.parse().expect("it is a number")).collect()
}

/// Returns the mask of the signals that are pending for a process (`ShdPnd` in proc(5)).
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn pending(number: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{number}/status"));
    let status = status.expect("it should exist");
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    u64::from_str_radix(pending.expect("Linux reports it").trim(), 16).expect("it is a mask")
}
