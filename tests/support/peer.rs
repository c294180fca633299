//! A process that uses the lock on the test's requests.

use std::borrow::Borrow;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use locket::ErrorKind;

use super::protocol::{Answer, Refusal, Reply, Request, Setting};
use super::requests::Requests;
use super::scratch::Scratch;
use super::waiting::{PATIENCE, until_waiting, waiting};

/// The longest time that a peer may take for a request: one request may be a thousand waits, on a busy machine.
const LONGEST_REQUEST: Duration = PATIENCE.saturating_mul(5);

#[derive(Debug)]
pub(crate) struct Peer {
    process: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    pid: u32,
}

impl Peer {
    #[track_caller]
    pub(crate) fn spawn() -> Self {
        Self::under(&[])
    }

    /// Starts a peer with the handle `a` of the path.
    #[track_caller]
    pub(crate) fn on(path: impl AsRef<OsStr>) -> Self {
        Self::with(path, &[])
    }

    /// Starts a peer with the handle `a` of the path and with these settings.
    #[track_caller]
    pub(crate) fn with(path: impl AsRef<OsStr>, settings: &[Setting]) -> Self {
        let mut peer = Self::spawn();
        peer.handle("a", path, settings);
        peer
    }

    /// Starts a peer whose handle `a` queries the holders in a wait of a second, so that its error can name them.
    #[track_caller]
    pub(crate) fn querying(path: impl AsRef<OsStr>) -> Self {
        Self::with(path, &[Setting::Timeout(1000), Setting::QueryStatus])
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
        peer.pid = peer.ok(Request::Pid).number();
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

    /// Acquires with handle `a`, which times out, until the error names the holders as `end` does. Returns the message. The
    /// observer of the handle queries the holders. After the deadline the library has a millisecond to verify them (L3), so
    /// on a busy machine an error may name fewer.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn times_out_naming(&mut self, end: &str) -> String {
        let start = Instant::now();
        loop {
            let message = self.refuses(Request::Acquire("a")).message;
            if message.ends_with(end) {
                return message;
            }
            assert!(start.elapsed() < PATIENCE, "`{message}` does not end with `{end}`");
        }
    }

    /// Starts a request that has to wait for the lock of the file at the path. Returns when it waits.
    #[track_caller]
    pub(crate) fn start_waiting(&mut self, job: &str, request: Request<&str>, path: &Path) {
        let before = waiting(self.pid, path);
        self.start(job, request);
        until_waiting(self.pid, path, before + 1);
        self.assert_waiting(job);
    }

    #[track_caller]
    pub(crate) fn assert_waiting(&mut self, job: &str) {
        thread::sleep(Duration::from_millis(10));
        assert!(!self.is_done(job), "the job should be waiting: {:?}", self.wait(job));
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

/// Makes a directory, and starts peers with the handle `a` of its lock file.
#[track_caller]
pub(crate) fn peers<const N: usize>() -> (Scratch, PathBuf, [Peer; N]) {
    let (scratch, path) = Scratch::with_path();
    let peers = [(); N].map(|()| Peer::on(&path));
    (scratch, path, peers)
}

impl Requests for Peer {
    #[track_caller]
    fn tries_to<'a>(&mut self, request: impl Borrow<Request<&'a str>>) -> Option<Answer> {
        let request = request.borrow();
        let line = serde_json::to_string(request).expect("the request is plain data") + "\n";
        let input = self.input.as_mut().expect("the peer was told to end");
        input.write_all(line.as_bytes()).ok()?;
        match self.answers.recv_timeout(LONGEST_REQUEST) {
            Ok(line) => {
                let reply = serde_json::from_str::<Reply>(&line).map_err(|error| error.to_string());
                let answer = reply.and_then(|reply| reply);
                Some(answer.unwrap_or_else(|problem| panic!("{request:?}: {problem}: `{line}`")))
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => {
                panic!("no answer to {request:?} within {LONGEST_REQUEST:?}")
            }
        }
    }
}

impl Refusal {
    #[track_caller]
    pub(crate) fn assert_says(&self, text: &str) {
        assert!(self.message.contains(text), "{self:?} does not say `{text}`");
    }

    #[track_caller]
    pub(crate) fn assert_ends(&self, end: &str) {
        assert!(self.message.ends_with(end), "{self:?} does not end with `{end}`");
    }
}

impl Answer {
    /// Returns the kind of the error, if there is one.
    pub(crate) fn kind(&self) -> Option<ErrorKind> {
        self.outcome.as_ref().err().map(|refusal| refusal.kind)
    }

    pub(crate) fn took(&self) -> Duration {
        self.done.saturating_sub(self.begun)
    }
}
