//! L14: Locket and other programs exclude each other: the reference implementation (locket.py), filelock, flock(1), and
//! programs that call `flock(2)`. Each waits for the other, with and without a timeout, and acquires the lock when the other
//! releases it or is killed.
//!
//! The tests run the Python interpreter that `LOCKET_PYTHON` names. Without it they run the one that `ci/setup.sh` has
//! installed, and otherwise `python3`.
#![cfg(unix)]

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::prelude::*;

/// A program that locks a file. It prints `acquiring`, then `held` or `contended`. It holds the lock until it reads a line or
/// its input ends.
#[derive(Clone, Copy, Debug)]
enum Program {
    Reference,
    Filelock,
    FlockCommand,
    RawCall,
    /// Locks with `fcntl(2)`. Such locks do not exclude `flock(2)` locks.
    OtherCall,
}

/// `argv[1]` is the path, `argv[2]` the timeout in seconds or `never`.
const REFERENCE: &str = "\
import sys, locket
timeout = None if sys.argv[2] == 'never' else float(sys.argv[2])
lock = locket.lock_file(sys.argv[1], timeout=timeout)
print('acquiring', flush=True)
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

/// What filelock calls these things.
const FILELOCK: [(&str, &str); 4] = [
    ("sys, locket", "sys, filelock"),
    ("None if", "-1 if"),
    ("locket.lock_file", "filelock.FileLock"),
    ("locket.LockError", "filelock.Timeout"),
];

const RAW_CALL: &str = "\
import sys, os, fcntl, time
never = sys.argv[2] == 'never'
end = None if never else time.monotonic() + float(sys.argv[2])
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o666)
print('acquiring', flush=True)
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
    /// Returns what is missing to run the program, and the error. Returns `None` if the program can run.
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
                let text = String::from_utf8_lossy(&output.stderr);
                Some(format!("{name}: {}", text.trim_end().lines().last().unwrap_or("failed")))
            }
            Err(error) => Some(format!("{name}: {error}")),
        }
    }

    fn command(self, path: &Path, timeout: Option<f64>) -> Command {
        let script = match self {
            Self::Reference => REFERENCE.into(),
            Self::Filelock => {
                FILELOCK.iter().fold(REFERENCE.into(), |script: String, (name, other)| {
                    script.replace(name, other)
                })
            }
            Self::RawCall => RAW_CALL.into(),
            Self::OtherCall => RAW_CALL.replace("fcntl.flock", "fcntl.lockf"),
            Self::FlockCommand => return flock_command(path, timeout),
        };
        let mut command = Command::new(python());
        let timeout = timeout.map_or("never".into(), |timeout| timeout.to_string());
        command.args(["-c", &script]).arg(path).arg(timeout);
        command
    }
}

/// Runs flock(1). With `-F` it executes its command in the same process, so the lock ends when that process is killed.
fn flock_command(path: &Path, timeout: Option<f64>) -> Command {
    let mut command = Command::new("sh");
    let timeout = timeout.map_or(String::new(), |timeout| format!("-w {timeout} -E 9"));
    let hold = "echo held; read _; exec echo released";
    let script = format!("echo acquiring; exec flock -F {timeout} \"$0\" sh -c '{hold}'");
    command.args(["-c", &script]).arg(path);
    command
}

struct Running {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Running {
    /// Starts the program. Returns when the program is about to acquire the lock.
    #[track_caller]
    fn start(program: Program, path: &Path, timeout: Option<f64>) -> Self {
        let mut process = program
            .command(path, timeout)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program:?} should start: {error}"));
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let running = Self { process, input, lines };
        assert_eq!(running.next_line(), "acquiring");
        running
    }

    #[track_caller]
    fn holder(program: Program, path: &Path) -> Self {
        let holder = Self::start(program, path, None);
        assert_eq!(holder.next_line(), "held");
        holder
    }

    #[track_caller]
    fn next_line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the program should print a line")
    }

    /// Returns whether the program found the lock held. flock(1) tells it with its exit code.
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
        let input = self.input.as_mut().expect("stdin is piped");
        input.write_all(b"\n").expect("the program should read its input");
        assert_eq!(self.next_line(), "released");
    }

    #[track_caller]
    fn kill(mut self) {
        self.process.kill().expect("the program should be running");
        self.process.wait().expect("the program is a child of the test");
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

fn program_holds_and_locket_waits(program: Program) {
    let (_scratch, path) = Scratch::with_path();
    let mut holder = Running::holder(program, &path);
    let mut peer = Peer::with(&path, &[Timeout(100)]);
    assert!(!peer.finds_free("a"), "{program:?}");
    let answer = peer.ask(Acquire("a"));
    assert_eq!(answer.kind(), Some(TimedOut), "{program:?}: {answer:?}");
    assert!(answer.took() >= Duration::from_millis(100), "{program:?}: {answer:?}");
    peer.handle("reader", &path, &[Shared]);
    assert!(!peer.finds_free("reader"), "{program:?}");
    holder.release();
    // flock(1) releases the lock when it exits, soon after its last line.
    until("the lock is free", || peer.finds_free("a"));

    for settings in [&[][..], &[Timeout(600_000)], &[Timeout(600_000), UseSignals(false)]] {
        for end in ENDS {
            let mut holder = Running::holder(program, &path);
            let mut waiter = Peer::with(&path, settings);
            waiter.start("w", Lock("a", "g"));
            waiter.assert_waiting("w");
            match end {
                End::Clean => holder.release(),
                End::Killed => holder.kill(),
            }
            waiter.wait_ok("w");
            assert!(!peer.finds_free("a"), "{program:?} {settings:?} {end:?}");
            assert!(waiter.is_current("g"), "{program:?} {settings:?} {end:?}");
        }
    }
}

fn locket_holds_and_program_waits(program: Program) {
    let (_scratch, path) = Scratch::with_path();
    for acquire in [Lock("a", "g"), Acquire("a")] {
        let mut holder = Peer::on(&path);
        holder.ok(acquire);
        let start = Instant::now();
        assert!(Running::start(program, &path, Some(0.1)).is_contended(), "{program:?}");
        assert!(start.elapsed() >= Duration::from_millis(100), "{program:?}");
    }
    for timeout in [None, Some(60.0)] {
        for end in ENDS {
            let mut holder = Peer::on(&path);
            holder.lock("a", "g");
            let waiter = Running::start(program, &path, timeout);
            waiter.assert_waiting();
            match end {
                End::Clean => holder.release_guard("g"),
                End::Killed => holder.kill(),
            }
            assert_eq!(waiter.next_line(), "held", "{program:?} {timeout:?} {end:?}");
            assert!(!Peer::on(&path).finds_free("a"), "{program:?}");
            waiter.kill();
            let mut next = Peer::on(&path);
            until("the killed program's lock is free", || next.finds_free("a"));
        }
    }
}

fn assert_interoperates(program: Program) {
    if let Some(reason) = program.is_missing() {
        return skip_this(&reason);
    }
    program_holds_and_locket_waits(program);
    locket_holds_and_program_waits(program);
}

#[test]
fn l14_locket_py_and_locket_exclude_each_other() {
    assert_interoperates(Program::Reference);
}

#[test]
fn l14_filelock_and_locket_exclude_each_other() {
    assert_interoperates(Program::Filelock);
}

#[test]
fn l14_flock_1_and_locket_exclude_each_other() {
    assert_interoperates(Program::FlockCommand);
}

#[test]
fn l14_a_raw_flock_call_and_locket_exclude_each_other() {
    assert_interoperates(Program::RawCall);
}

/// The check above can fail: it notices that `fcntl(2)` locks and Locket do not exclude each other.
#[test]
fn l14_fcntl_locks_do_not_exclude_locket() {
    if let Some(reason) = Program::OtherCall.is_missing() {
        return skip_this(&reason);
    }
    let (scratch, path) = Scratch::with_path();
    let _holder = Running::holder(Program::OtherCall, &path);
    let mut peer = Peer::on(&path);
    assert!(peer.finds_free("a"));
    let other = scratch.join("other");
    Peer::on(&other).lock("a", "g");
    assert!(!Running::start(Program::OtherCall, &other, Some(0.0)).is_contended());
}
