//! A process that uses the lock on the test's commands; see `tests/README.md`.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::waiting::{PATIENCE, until_waiting, waiting};

/// The longest time that a peer may take for a command: one command may be a thousand waits, on a busy machine.
const LONGEST_COMMAND: Duration = PATIENCE.saturating_mul(5);

#[derive(Debug)]
pub(crate) struct Peer {
    process: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    pid: u32,
}

/// When a command began, when it finished, and its result. All peers share the clock.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) begun: Duration,
    pub(crate) done: Duration,
    pub(crate) outcome: Result<String, Refusal>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) class: String,
    pub(crate) kind: String,
    pub(crate) message: String,
}

impl Peer {
    #[track_caller]
    pub(crate) fn spawn() -> Self {
        Self::under(&[])
    }

    /// Starts a peer with one handle: `handle NAME path=PATH OPTIONS`.
    #[track_caller]
    pub(crate) fn with_handle(name: &str, path: impl AsRef<OsStr>, options: &str) -> Self {
        let mut peer = Self::spawn();
        peer.handle(name, path, options);
        peer
    }

    /// Starts another program with the peer as its last argument. That program has to exec or start the peer.
    #[track_caller]
    pub(crate) fn under(wrapper: &[&str]) -> Self {
        let program = [wrapper, &[env!("CARGO_BIN_EXE_locket-peer")]].concat();
        let mut command = Command::new(program[0]);
        // Ctrl-Break goes to a whole process group. The test must not be in the peer's.
        #[cfg(windows)]
        std::os::windows::process::CommandExt::creation_flags(
            &mut command,
            windows_sys::Win32::System::Threading::CREATE_NEW_PROCESS_GROUP,
        );
        let mut process = command
            .args(&program[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program:?} should start: {error}"));
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut peer = Self { process, input, answers, pid: 0 };
        peer.pid = peer.ok("pid").parse().expect("a process id is a number");
        peer
    }

    /// Returns the id of the process that uses the lock. It is not the wrapper's, if there is a wrapper.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Counts the open descriptors of the process.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn descriptors(&self) -> usize {
        self.count_in_proc("fd")
    }

    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn threads(&self) -> usize {
        self.count_in_proc("task")
    }

    #[cfg(target_os = "linux")]
    #[track_caller]
    fn count_in_proc(&self, dir: &str) -> usize {
        let entries = std::fs::read_dir(format!("/proc/{}/{dir}", self.pid));
        entries.expect("the peer should be there").count()
    }

    /// Sends a command and waits for the answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str) -> Answer {
        self.tries_to(command).unwrap_or_else(|| panic!("the peer exited during `{command}`"))
    }

    /// Sends a command and waits for the answer. Returns `None` if the peer was killed before it answered.
    #[track_caller]
    pub(crate) fn tries_to(&mut self, command: &str) -> Option<Answer> {
        let input = self.input.as_mut().expect("the peer was told to end");
        input.write_all(format!("{command}\n").as_bytes()).ok()?;
        match self.answers.recv_timeout(LONGEST_COMMAND) {
            Ok(line) => {
                let answer = Answer::parse(&line);
                Some(answer.unwrap_or_else(|| panic!("`{command}`: invalid answer `{line}`")))
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("no answer to `{command}` within {LONGEST_COMMAND:?}")
            }
        }
    }

    /// Sends a command that must succeed and returns its value.
    #[track_caller]
    pub(crate) fn ok(&mut self, command: &str) -> String {
        let answer = self.ask(command);
        answer.outcome.unwrap_or_else(|refusal| panic!("`{command}` failed: {refusal:?}"))
    }

    /// Sends a command that must fail and returns its error.
    #[track_caller]
    pub(crate) fn refused(&mut self, command: &str) -> Refusal {
        match self.ask(command).outcome {
            Ok(value) => panic!("`{command}` should have failed: `{value}`"),
            Err(refusal) => refusal,
        }
    }

    /// Sends an acquisition that times out, until its error names the holders as `end` does. Returns the message. The
    /// observer of the handle queries the holders. After the deadline the library has a millisecond to verify them (L3), so
    /// on a busy machine an error may name fewer.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn refused_naming(&mut self, command: &str, end: &str) -> String {
        let start = Instant::now();
        loop {
            let message = self.refused(command).message;
            if message.ends_with(end) {
                return message;
            }
            assert!(start.elapsed() < PATIENCE, "`{message}` does not end with `{end}`");
        }
    }

    /// Gives the peer a handle: `handle NAME path=PATH OPTIONS`.
    #[track_caller]
    pub(crate) fn handle(&mut self, name: &str, path: impl AsRef<OsStr>, options: &str) {
        let command = format!("handle {name} path={} {options}", word(path));
        self.ok(command.trim_end());
    }

    /// Starts a command that has to wait for the lock of the file at the path. Returns when the command waits.
    #[track_caller]
    pub(crate) fn start_waiting(&mut self, job: &str, command: &str, path: &Path) {
        let before = waiting(self.pid, path);
        self.ok(&format!("start {job} {command}"));
        until_waiting(self.pid, path, before + 1);
        self.assert_waiting(job);
    }

    #[track_caller]
    pub(crate) fn assert_waiting(&mut self, job: &str) {
        thread::sleep(Duration::from_millis(10));
        let is_running = self.ok(&format!("poll {job}")) == "running";
        assert!(is_running, "the job should be waiting: {:?}", self.wait(job));
    }

    /// Waits for the end of a job and returns its answer.
    #[track_caller]
    pub(crate) fn wait(&mut self, job: &str) -> Answer {
        self.ask(&format!("wait {job}"))
    }

    /// Waits for the end of a job that must succeed and returns its value.
    #[track_caller]
    pub(crate) fn wait_ok(&mut self, job: &str) -> String {
        self.ok(&format!("wait {job}"))
    }

    /// Returns whether the handle can acquire the lock now. Releases it again.
    #[track_caller]
    pub(crate) fn finds_free(&mut self, handle: &str) -> bool {
        match self.ask(&format!("try_lock {handle} probe")).outcome {
            Ok(_) => {
                self.ok("release_guard probe");
                true
            }
            Err(refusal) if refusal.class == "timed_out" => false,
            Err(refusal) => panic!("neither free nor held: {refusal:?}"),
        }
    }

    /// Sends the signal with this name.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid)]).status();
        assert!(kill.is_ok_and(|status| status.success()), "SIG{name} was not sent");
    }

    /// Kills the peer with SIGKILL and reaps it.
    #[track_caller]
    pub(crate) fn kill(mut self) {
        assert_eq!(self.pid, self.process.id(), "the wrapper would be killed, not the peer");
        self.process.kill().expect("the peer should exist");
        self.process.wait().expect("the peer should have ended");
    }

    /// Returns the process id of the wrapper, which started or became the peer.
    pub(crate) fn wrapper(&self) -> u32 {
        self.process.id()
    }

    /// Kills the wrapper with SIGKILL and reaps it.
    #[track_caller]
    pub(crate) fn kill_wrapper(&mut self) {
        assert_ne!(self.pid, self.process.id(), "the peer would be killed, not a wrapper");
        self.process.kill().expect("the wrapper should exist");
        self.process.wait().expect("the wrapper should have ended");
    }

    /// Closes the peer's input, which ends the peer. Does not wait for its end.
    pub(crate) fn hang_up(&mut self) {
        self.input = None;
    }

    /// Closes the peer's input and waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.hang_up();
        assert!(self.has_ended_by(Instant::now() + PATIENCE), "the peer should end");
    }

    fn has_ended_by(&mut self, deadline: Instant) -> bool {
        loop {
            match self.process.try_wait() {
                Ok(Some(_)) => return true,
                Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(1)),
                _ => return false,
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // A wrapper gets time to see the end of the peer. A wrapper that is killed first may leave the peer running;
        // strace does.
        self.input = None;
        let is_wrapped = self.pid != self.process.id();
        if !(is_wrapped && self.has_ended_by(Instant::now() + PATIENCE)) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }
}

impl Answer {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        let begun = Duration::from_nanos(words.next()?.parse().ok()?);
        let done = Duration::from_nanos(words.next()?.parse().ok()?);
        let (word, rest) = (words.next()?, words.next().unwrap_or(""));
        let outcome = match word {
            "ok" => Ok(rest.into()),
            "error" => {
                let (class, rest) = rest.split_once(' ')?;
                let (kind, message) = rest.split_once(' ')?;
                Err(Refusal { class: class.into(), kind: kind.into(), message: message.into() })
            }
            _ => return None,
        };
        Some(Self { begun, done, outcome })
    }

    /// Returns `ok` or the class of the error.
    pub(crate) fn class(&self) -> &str {
        self.outcome.as_ref().map_or_else(|refusal| refusal.class.as_str(), |_| "ok")
    }

    pub(crate) fn took(&self) -> Duration {
        self.done.saturating_sub(self.begun)
    }
}

/// Encodes a path as a word of a command.
pub(crate) fn word(path: impl AsRef<OsStr>) -> String {
    let mut word = String::new();
    for &byte in path.as_ref().as_encoded_bytes() {
        match byte {
            b'%' | ..=b' ' | 127.. => write!(word, "%{byte:02x}").expect("it is in memory"),
            _ => word.push(byte.into()),
        }
    }
    word
}
