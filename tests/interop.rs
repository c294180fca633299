//! - L14: the reference (locket.py), filelock, flock(1) and whoever calls `flock(2)` exclude Locket
//!   and are excluded by it; each waits for the other, with a timeout and without, and gets the lock
//!   whether the other releases it or is killed.
//!
//! The Python is the one that `LOCKET_PYTHON` names; otherwise the one that `ci/setup.sh` has made, or
//! else `python3`.
#![cfg(unix)]
#![allow(clippy::panic, reason = "that is how a test fails")]

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{PATIENCE, Peer, Scratch, skip, until};

/// A program that locks a file: it says `asking`, then `held` or `contended`, and holds the lock
/// until its input has a line or ends.
#[derive(Clone, Copy, Debug)]
enum Program {
    Reference,
    Filelock,
    FlockCommand,
    RawCall,
    /// Locks by `fcntl(2)`, which is another lock: nobody meets it.
    OtherCall,
}

/// `argv[1]` is the path, `argv[2]` the timeout in seconds or `never`.
const REFERENCE: &str = "\
import sys, locket
timeout = None if sys.argv[2] == 'never' else float(sys.argv[2])
lock = locket.lock_file(sys.argv[1], timeout=timeout)
print('asking', flush=True)
try:
    lock.acquire()
except locket.LockError:
    print('contended', flush=True)
else:
    print('held', flush=True)
    sys.stdin.readline()
    lock.release()
    print('released', flush=True)
sys.stdin.readline()
";

const FILELOCK: &str = "\
import sys, filelock
timeout = -1 if sys.argv[2] == 'never' else float(sys.argv[2])
lock = filelock.FileLock(sys.argv[1], timeout=timeout)
print('asking', flush=True)
try:
    lock.acquire()
except filelock.Timeout:
    print('contended', flush=True)
else:
    print('held', flush=True)
    sys.stdin.readline()
    lock.release()
    print('released', flush=True)
sys.stdin.readline()
";

const RAW_CALL: &str = "\
import sys, os, fcntl, time
never = sys.argv[2] == 'never'
end = None if never else time.monotonic() + float(sys.argv[2])
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o666)
print('asking', flush=True)
while True:
    last = not never and time.monotonic() >= end
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if never else fcntl.LOCK_NB))
        held = True
        break
    except BlockingIOError:
        held = False
        if last:
            break
        time.sleep(0.001)
print('held' if held else 'contended', flush=True)
if held:
    sys.stdin.readline()
    fcntl.flock(fd, fcntl.LOCK_UN)
    print('released', flush=True)
sys.stdin.readline()
";

fn python() -> String {
    let made = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/python/bin/python");
    let otherwise = if Path::new(made).exists() { made } else { "python3" };
    env::var("LOCKET_PYTHON").unwrap_or_else(|_| otherwise.into())
}

impl Program {
    /// Why it cannot be met here, if so: what is lacking, and how that was found.
    fn is_missing(self) -> Option<String> {
        let name = match self {
            Self::Reference => "locket.py 1.0.0",
            Self::Filelock => "filelock",
            Self::FlockCommand => "flock(1)",
            Self::RawCall | Self::OtherCall => "python3",
        };
        let imports = match self {
            Self::Reference => {
                "import locket, importlib.metadata as m; assert m.version('locket') == '1.0.0'"
            }
            Self::Filelock => "import filelock",
            Self::RawCall | Self::OtherCall => "import fcntl",
            Self::FlockCommand => "",
        };
        let mut command = match self {
            Self::FlockCommand => Command::new("flock"),
            _ => Command::new(python()),
        };
        let arguments: &[&str] = if imports.is_empty() { &["--version"] } else { &["-c", imports] };
        match command.args(arguments).output() {
            Ok(output) if output.status.success() => None,
            // The last line of a traceback is the error.
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                Some(format!("{name}: {}", said.trim_end().lines().last().unwrap_or("failed")))
            }
            Err(error) => Some(format!("{name}: {error}")),
        }
    }

    fn command(self, path: &Path, timeout: Option<f64>) -> Command {
        let script = match self {
            Self::Reference => REFERENCE,
            Self::Filelock => FILELOCK,
            Self::RawCall => RAW_CALL,
            Self::OtherCall => &RAW_CALL.replace("fcntl.flock", "fcntl.lockf"),
            Self::FlockCommand => return flock_command(path, timeout),
        };
        let mut command = Command::new(python());
        let timeout = timeout.map_or("never".into(), |timeout| timeout.to_string());
        command.args(["-c", script]).arg(path).arg(timeout);
        command
    }
}

/// With `-F` flock(1) becomes its command, which has the lock: it ends when that is killed.
fn flock_command(path: &Path, timeout: Option<f64>) -> Command {
    let mut command = Command::new("sh");
    let timeout = timeout.map_or(String::new(), |timeout| format!("-w {timeout} -E 9"));
    let hold = "echo held; read _; exec echo released";
    let script = format!("echo asking; exec flock -F {timeout} \"$0\" sh -c '{hold}'");
    command.args(["-c", &script]).arg(path);
    command
}

struct Running {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Running {
    /// Returns when it is about to ask for the lock.
    #[track_caller]
    fn start(program: Program, path: &Path, timeout: Option<f64>) -> Self {
        let mut process = program
            .command(path, timeout)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program:?} should start: {error}"));
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let (tell, lines) = mpsc::channel();
        thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        let running = Self { process, input, lines };
        assert_eq!(running.says(), "asking");
        running
    }

    #[track_caller]
    fn holder(program: Program, path: &Path) -> Self {
        let holder = Self::start(program, path, None);
        assert_eq!(holder.says(), "held");
        holder
    }

    #[track_caller]
    fn says(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("it should say something")
    }

    /// Whether it could not have the lock; flock(1) tells it by its code.
    #[track_caller]
    fn is_contended(&mut self) -> bool {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line == "contended",
            Err(_) => self.process.wait().is_ok_and(|status| status.code() == Some(9)),
        }
    }

    #[track_caller]
    fn assert_waiting(&self) {
        let line = self.lines.recv_timeout(Duration::from_millis(30));
        assert_eq!(line, Err(mpsc::RecvTimeoutError::Timeout));
    }

    #[track_caller]
    fn release(&mut self) {
        self.input.as_mut().expect("it is piped").write_all(b"\n").expect("it should listen");
        assert_eq!(self.says(), "released");
    }

    #[track_caller]
    fn kill(mut self) {
        self.process.kill().expect("it should be there to be killed");
        self.process.wait().expect("it is our child");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[derive(Clone, Copy, Debug)]
enum End {
    Clean,
    Killed,
}

const ENDS: [End; 2] = [End::Clean, End::Killed];

fn it_holds_and_locket_waits(program: Program) {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Running::holder(program, &path);
    let mut peer = Peer::with_handle("hasty", &path, "timeout=100");
    assert!(!peer.finds_free("hasty"), "{program:?}");
    let answer = peer.ask("acquire hasty");
    assert_eq!(answer.class(), "timed_out", "{program:?}: {answer:?}");
    assert!(answer.took() >= Duration::from_millis(100), "{program:?}: {answer:?}");
    peer.handle("reader", &path, "shared");
    assert!(!peer.finds_free("reader"), "{program:?}");
    holder.release();
    // flock(1) releases by its end, soon after its last word.
    until("it is free", || peer.finds_free("hasty"));

    for options in ["", "timeout=600000", "timeout=600000 use_signals=false"] {
        for end in ENDS {
            let mut holder = Running::holder(program, &path);
            let mut waiter = Peer::with_handle("a", &path, options);
            waiter.ok("start w lock a g");
            waiter.assert_waiting("w");
            match end {
                End::Clean => holder.release(),
                End::Killed => holder.kill(),
            }
            waiter.wait_ok("w");
            assert!(!peer.finds_free("hasty"), "{program:?} {options} {end:?}");
            assert_eq!(waiter.ok("is_current g"), "true", "{program:?} {options} {end:?}");
        }
    }
}

fn locket_holds_and_it_waits(program: Program) {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for acquire in ["lock a g", "acquire a"] {
        let mut holder = Peer::with_handle("a", &path, "");
        holder.ok(acquire);
        let start = Instant::now();
        assert!(Running::start(program, &path, Some(0.1)).is_contended(), "{program:?}");
        assert!(start.elapsed() >= Duration::from_millis(100), "{program:?}");
    }
    for timeout in [None, Some(60.0)] {
        for end in ENDS {
            let mut holder = Peer::with_handle("a", &path, "");
            holder.ok("lock a g");
            let waiter = Running::start(program, &path, timeout);
            waiter.assert_waiting();
            match end {
                End::Clean => drop(holder.ok("release_guard g")),
                End::Killed => holder.kill(),
            }
            assert_eq!(waiter.says(), "held", "{program:?} {timeout:?} {end:?}");
            assert!(!Peer::with_handle("a", &path, "").finds_free("a"), "{program:?}");
            waiter.kill();
            let mut next = Peer::with_handle("a", &path, "");
            until("the killed one's lock is free", || next.finds_free("a"));
        }
    }
}

fn meet(check: &str, program: Program) {
    if let Some(reason) = program.is_missing() {
        return skip(check, &reason);
    }
    it_holds_and_locket_waits(program);
    locket_holds_and_it_waits(program);
}

#[test]
fn l14_the_reference() {
    meet("l14_the_reference", Program::Reference);
}

#[test]
fn l14_filelock() {
    meet("l14_filelock", Program::Filelock);
}

#[test]
fn l14_the_command_flock() {
    meet("l14_the_command_flock", Program::FlockCommand);
}

#[test]
fn l14_a_raw_call() {
    meet("l14_a_raw_call", Program::RawCall);
}

/// The meeting itself: it is noticed when two do not exclude each other.
#[test]
fn l14_another_kind_of_lock_is_no_match() {
    if let Some(reason) = Program::OtherCall.is_missing() {
        return skip("l14_another_kind_of_lock_is_no_match", &reason);
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _holder = Running::holder(Program::OtherCall, &path);
    let mut peer = Peer::with_handle("a", &path, "");
    assert!(peer.finds_free("a"));
    let other = scratch.join("other");
    Peer::with_handle("a", &other, "").ok("lock a g");
    assert!(!Running::start(Program::OtherCall, &other, Some(0.0)).is_contended());
}
