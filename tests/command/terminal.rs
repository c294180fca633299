//! At a terminal:
//! - a wait says what it waits for, before it begins, and only there;
//! - Ctrl-C reaches the command once, and ends locket only with it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::running::{HOLD, LOCKET, Running, has, is_free, locket_run};
use crate::support::{PATIENCE, Scratch, until, until_waiting};

/// The two sides of a terminal. Not by openpty(3), which lets the processes that other tests start
/// inherit them: the terminal would never be seen to be given up.
fn open_terminal() -> io::Result<(File, File)> {
    let keys = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    grantpt(&keys)?;
    unlockpt(&keys)?;
    let no_terminal_of_ours = OFlag::O_NOCTTY.bits();
    let mut options = File::options();
    options.read(true).write(true).custom_flags(no_terminal_of_ours);
    let programs = options.open(ptsname_r(&keys)?)?;
    Ok((OwnedFd::from(keys).into(), programs))
}

/// The side of a terminal at which somebody sits.
struct Terminal {
    keys: File,
    /// The other side, open for as long as more programs may want it.
    programs: Option<File>,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    #[track_caller]
    fn new() -> Self {
        let (keys, programs) = open_terminal().expect("there should be a terminal to be had");
        let mut output = keys.try_clone().expect("there should be room for a descriptor");
        let (tell, screen) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            // It fails when the last program has closed its side.
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if tell.send(buffer[..count].into()).is_err() {
                    break;
                }
            }
        });
        Self { keys, programs: Some(programs), screen, seen: String::new() }
    }

    fn side(&self) -> Stdio {
        let side = self.programs.as_ref().expect("it is open");
        side.try_clone().expect("there should be room for a descriptor").into()
    }

    #[track_caller]
    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal is there");
    }

    /// Waits until something is on the screen.
    #[track_caller]
    fn until_shown(&mut self, text: &str) {
        while !self.seen.contains(text) {
            match self.screen.recv_timeout(PATIENCE) {
                Ok(more) => self.seen += &String::from_utf8_lossy(&more),
                Err(error) => panic!("{text:?} should be on the screen ({error}): {:?}", self.seen),
            }
        }
    }

    /// All that was shown, when no program has the terminal any more.
    #[track_caller]
    fn all(mut self) -> String {
        self.programs = None;
        loop {
            match self.screen.recv_timeout(PATIENCE) {
                Ok(more) => self.seen += &String::from_utf8_lossy(&more),
                Err(RecvTimeoutError::Disconnected) => return self.seen,
                Err(RecvTimeoutError::Timeout) => panic!("somebody keeps the terminal"),
            }
        }
    }
}

#[test]
fn a_wait_says_what_it_waits_for() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for options in [&[][..], &["-w", "1h"], &["-o"]] {
        let holder = Running::holder(&path);
        let mut terminal = Terminal::new();
        let mut command = Command::new(LOCKET);
        command.arg("run").args(options).arg(&path).args(["sh", "-c", HOLD]);
        let waiter = Running::start(command.stderr(terminal.side()));
        drop(command);
        let expected = format!("locket: waiting for {}\r\n", path.display());
        terminal.until_shown(&expected);
        until_waiting(waiter.pid(), &path, 1);
        holder.end();
        waiter.line();
        waiter.end();
        assert_eq!(terminal.all(), expected);
    }
}

/// What is shown on a terminal until the command has ended.
#[track_caller]
fn shown(options: &[&str], path: &std::path::Path, code: i32) -> String {
    let terminal = Terminal::new();
    let mut command = Command::new(LOCKET);
    command.arg("run").args(options).arg(path).arg("true").stderr(terminal.side());
    let status = command.status().expect("it should run");
    drop(command);
    assert_eq!(status.code(), Some(code));
    terminal.all()
}

#[test]
fn no_wait_says_nothing() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    assert_eq!(shown(&[], &path, 0), "");
    assert_eq!(shown(&["-w", "1h"], &path, 0), "");

    let _holder = Running::holder(&path);
    assert!(!shown(&["-n"], &path, 75).contains("waiting"));
    assert_eq!(shown(&["-w", "1ms", "--quiet"], &path, 75), "");
    assert!(shown(&["-w", "1ms"], &path, 75).contains("waiting"));
}

#[test]
fn a_wait_says_nothing_where_nobody_looks() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _holder = Running::holder(&path);
    let run = locket_run().args(["-w", "1ms"]).arg(&path).arg("true").assert();
    run.code(75).stderr(format!("locket: couldn't lock {} within 1ms\n", path.display()));
}

/// Counts the interrupts, and ends with their number when it is told to.
const COUNT: &str = "n=0; trap 'n=$((n + 1)); echo interrupt $n.' INT
    echo ready.
    while :; do read line; [ x$line = xend ] && exit $n; done";

/// The first process of a terminal. It takes the others with it, when the test fails too.
struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Presses Ctrl-C twenty times: one interrupt for each, no more.
#[track_caller]
fn interrupt(options: &[&str]) {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut terminal = Terminal::new();
    let mut command = Command::new("setsid");
    command.args(["--ctty", "env", "--default-signal", LOCKET, "run"]).args(options).arg(&path);
    command.args(["sh", "-c", COUNT]);
    command.stdin(terminal.side()).stdout(terminal.side()).stderr(terminal.side());
    let mut run = Session(command.spawn().expect("it should start"));
    drop(command);
    terminal.until_shown("ready.");
    for turn in 1..=20 {
        // The shell may be about to read when the signal comes, and then looks at it only after that.
        terminal.press("\x03\n");
        terminal.until_shown(&format!("interrupt {turn}."));
        assert!(!is_free(&path));
    }
    terminal.press("end\n");
    until("the command ends", || run.0.try_wait().expect("it is our child").is_some());
    assert_eq!(run.0.wait().expect("it is our child").code(), Some(20));
    assert!(is_free(&path));
}

#[test]
fn an_interrupt_reaches_the_command_once() {
    let check = "an_interrupt_reaches_the_command_once";
    if has(check, "setsid", &["--version"]) && has(check, "env", &["--default-signal", "true"]) {
        interrupt(&[]);
        interrupt(&["-o"]);
    }
}
