//! `locket` as the tests start it: to its end, or in the background.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use assert_cmd::assert::Assert;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::support::{PATIENCE, skip, until};

pub(crate) const LOCKET: &str = env!("CARGO_BIN_EXE_locket-command");

/// Ends at the end of its input. Prints its process id first, so that the lock is known to be held.
pub(crate) const HOLD: &str = "echo $$; read _";

/// Returns `locket run`, for a run to its end.
pub(crate) fn locket_run() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(LOCKET);
    command.arg("run").timeout(PATIENCE);
    command
}

/// A process that a test exchanges lines with.
pub(crate) struct Running {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Running {
    /// Starts `locket run` with these arguments, in a process group of its own.
    #[track_caller]
    pub(crate) fn locket<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Self {
        Self::start(Command::new(LOCKET).arg("run").args(arguments))
    }

    /// Starts a command that holds the lock. Returns when it does.
    #[track_caller]
    pub(crate) fn holder(path: &Path) -> Self {
        Self::holder_with(path, &[])
    }

    #[track_caller]
    pub(crate) fn holder_with(path: &Path, options: &[&str]) -> Self {
        let holder = Self::start(
            Command::new(LOCKET).arg("run").args(options).arg(path).args(["--", "sh", "-c", HOLD]),
        );
        holder.line();
        holder
    }

    /// Starts `locket run` with these options and `true`. The lines are those of its standard error.
    #[track_caller]
    pub(crate) fn with_messages(options: &[&str], path: &Path) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec "$0" run "$@" true 2>&1"#, LOCKET]).args(options).arg(path);
        Self::start(&mut command)
    }

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

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns how messages name this locket with its shell.
    pub(crate) fn display_name(&self) -> String {
        format!("pid {} (locket-command: sh)", self.pid())
    }

    /// Returns how messages name it as the holder, on systems that report lock holders.
    pub(crate) fn held_by(&self) -> String {
        if cfg!(target_os = "linux") {
            format!(": held by {}", self.display_name())
        } else {
            String::new()
        }
    }

    /// Asserts the message about a lock that this process holds. The holder may be missing, because the search has a short
    /// time limit (L3).
    #[track_caller]
    pub(crate) fn assert_names_holder(&self, refused: &Assert, what: &str) {
        let said = String::from_utf8_lossy(&refused.get_output().stderr);
        let holders = [self.display_name(), "another process".into()];
        let may_be_said = holders.map(|holder| format!("locket: {what} held by {holder}\n"));
        assert!(may_be_said.iter().any(|it| *it == said), "{said}, not {may_be_said:?}");
    }

    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.line_within(PATIENCE)
    }

    #[track_caller]
    pub(crate) fn line_within(&self, patience: Duration) -> String {
        self.lines.recv_timeout(patience).expect("the process should say something")
    }

    /// Returns the next line, or `None` at the end of the output.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn maybe_line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("neither a line nor the end"),
        }
    }

    /// Returns the remaining lines, up to the end of the output.
    #[track_caller]
    pub(crate) fn rest(&self) -> Vec<String> {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => return rest,
                Err(RecvTimeoutError::Timeout) => panic!("a process keeps the output open"),
            }
        }
    }

    /// Returns the next line of a shell that may be reading. It runs a trap after a signal only when `read` returns.
    #[track_caller]
    pub(crate) fn line_when_nudged(&mut self) -> String {
        let mut line = None;
        until("the process prints a line", || {
            if let Some(input) = &mut self.input {
                let _ = input.write_all(b"\n");
            }
            line = self.lines.recv_timeout(Duration::from_millis(10)).ok();
            line.is_some()
        });
        line.expect("a line was printed")
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
        let mut ended = None;
        until("the process ends", || {
            ended = self.process.try_wait().expect("it is a child of the test");
            ended.is_some()
        });
        ended.expect("it has ended")
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
        assert_eq!(self.wait().signal(), Some(Signal::SIGKILL as i32));
    }

    /// Kills locket and its group with SIGKILL.
    #[track_caller]
    pub(crate) fn kill_all(&mut self) {
        self.signal_all(Signal::SIGKILL);
        assert_eq!(self.wait().signal(), Some(Signal::SIGKILL as i32));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
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
    let status =
        std::fs::read_to_string(format!("/proc/{number}/status")).expect("it should exist");
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    u64::from_str_radix(pending.expect("Linux reports it").trim(), 16).expect("it is a mask")
}

/// Returns whether one attempt of a handle of this process gets the lock.
#[track_caller]
pub(crate) fn is_free(path: &Path) -> bool {
    match locket::lock_file(path).try_lock() {
        Ok(guard) => guard.release().is_ok(),
        Err(error) if error.is_contended() => false,
        Err(error) => panic!("an error of another kind: {error}"),
    }
}

/// Creates an executable file. Another process writes it: if this process had it open for writing, a child that another test
/// starts could inherit that descriptor, and `execve` would fail with ETXTBSY.
#[track_caller]
pub(crate) fn make_script(path: &Path, text: &str) {
    let mut command = assert_cmd::Command::new("sh");
    command.args(["-c", r#"cat >"$0" && chmod 755 "$0""#]).arg(path);
    command.write_stdin(text).assert().code(0);
}

/// Returns whether a program is installed that accepts these arguments. If not, reports the check as skipped.
#[track_caller]
pub(crate) fn has(check: &str, program: &str, arguments: &[&str]) -> bool {
    let works = Command::new(program).args(arguments).output().is_ok_and(|it| it.status.success());
    if !works {
        skip(check, &format!("{program}: `{program} {}` does not work here", arguments.join(" ")));
    }
    works
}
