//! `locket` as the tests start it: to its end, or beside them.

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

/// Ends with its input. Says its own process id first, so that the lock is known to be held.
pub(crate) const HOLD: &str = "echo $$; read _";

/// `locket run`, to be run to its end.
pub(crate) fn locket_run() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(LOCKET);
    command.arg("run").timeout(PATIENCE);
    command
}

/// A process that a test talks to by lines.
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

    /// Starts a command that holds the lock, and returns when it does.
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

    /// Starts `locket run` with these options and `true`, and hears what locket says.
    #[track_caller]
    pub(crate) fn heard(options: &[&str], path: &Path) -> Self {
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

    /// How a locket beside a shell is named.
    pub(crate) fn told(&self) -> String {
        format!("pid {} (locket-command: sh)", self.pid())
    }

    /// How it is named as a holder, where the system tells who holds a lock.
    pub(crate) fn named(&self) -> String {
        if cfg!(target_os = "linux") { format!(": held by {}", self.told()) } else { String::new() }
    }

    /// Asserts what is said of a lock that this holds, after `what`. The holder may be unnamed: the time for that is short (L3).
    #[track_caller]
    pub(crate) fn assert_blamed(&self, refused: &Assert, what: &str) {
        let said = String::from_utf8_lossy(&refused.get_output().stderr);
        let holders = [self.told(), "another process".into()];
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

    /// The next line, or none if the output has ended.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn maybe_line(&self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("neither a line nor the end"),
        }
    }

    /// All that is left to be said, when nobody is there any more to say it.
    #[track_caller]
    pub(crate) fn rest(&self) -> Vec<String> {
        let mut rest = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => rest.push(line),
                Err(RecvTimeoutError::Disconnected) => return rest,
                Err(RecvTimeoutError::Timeout) => panic!("somebody keeps the output open"),
            }
        }
    }

    /// Of a shell that reads, and may have looked for signals for the last time before that.
    #[track_caller]
    pub(crate) fn line_when_nudged(&mut self) -> String {
        let mut line = None;
        until("the process says something", || {
            if let Some(input) = &mut self.input {
                let _ = input.write_all(b"\n");
            }
            line = self.lines.recv_timeout(Duration::from_millis(10)).ok();
            line.is_some()
        });
        line.expect("it was said")
    }

    #[track_caller]
    pub(crate) fn tell(&mut self, line: &str) {
        let input = self.input.as_mut().expect("its input is open");
        input.write_all(format!("{line}\n").as_bytes()).expect("it should be reading");
    }

    /// The end of its input.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
    }

    #[track_caller]
    pub(crate) fn signal(&self, signal: Signal) {
        kill(pid(self.pid()), signal).expect("it should be there");
    }

    /// To its process group.
    #[track_caller]
    pub(crate) fn signal_all(&self, signal: Signal) {
        killpg(pid(self.pid()), signal).expect("it should be there");
    }

    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        until("the process ends", || {
            ended = self.process.try_wait().expect("it is our child");
            ended.is_some()
        });
        ended.expect("it has ended")
    }

    /// Its exit code after the end of its input.
    #[track_caller]
    pub(crate) fn end(mut self) -> Option<i32> {
        self.hang_up();
        self.wait().code()
    }

    /// `kill -9` of locket, which is reaped. The command goes on.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        assert_eq!(self.wait().signal(), Some(Signal::SIGKILL as i32));
    }

    /// `kill -9` of locket and all that it started, which is in its group.
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

/// Is there a process, or what is left of one until it is reaped?
pub(crate) fn is_there(number: u32) -> bool {
    kill(pid(number), None).is_ok()
}

/// The children of a process, the eldest first.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn children(number: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{number}/task/{number}/children"));
    let children = children.expect("the process is there, and the kernel tells its children");
    children.split_whitespace().map(|child| child.parse().expect("it is a number")).collect()
}

/// The mask of the signals that have been sent to a process and not been taken (`ShdPnd` in proc(5)).
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn pending(number: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{number}/status")).expect("it is there");
    let pending = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    u64::from_str_radix(pending.expect("Linux tells it").trim(), 16).expect("it is a mask")
}

/// Asks by one attempt of a handle of this process.
#[track_caller]
pub(crate) fn is_free(path: &Path) -> bool {
    match locket::lock_file(path).try_lock() {
        Ok(guard) => guard.release().is_ok(),
        Err(error) if error.is_contended() => false,
        Err(error) => panic!("neither free nor held: {error}"),
    }
}

/// Makes a file that can be run. Another process writes it: a descriptor of ours could be
/// inherited, for a moment, by a process that another test starts just then, and nobody may run a
/// file that somebody is writing.
#[track_caller]
pub(crate) fn make_script(path: &Path, text: &str) {
    let mut command = assert_cmd::Command::new("sh");
    command.args(["-c", r#"cat >"$0" && chmod 755 "$0""#]).arg(path);
    command.write_stdin(text).assert().code(0);
}

/// Is a program here that takes these arguments? If not, the check is skipped.
#[track_caller]
pub(crate) fn has(check: &str, program: &str, arguments: &[&str]) -> bool {
    let works = Command::new(program).args(arguments).output().is_ok_and(|it| it.status.success());
    if !works {
        skip(check, &format!("{program}: `{program} {}` does not work here", arguments.join(" ")));
    }
    works
}
