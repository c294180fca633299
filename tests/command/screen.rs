//! A pseudo-terminal for the tests, the processes at it, and what remains on its screen.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Instant;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

use crate::lock_file::LOCKET;
use crate::running::{HOLD, Running, wait};
use crate::support::PATIENCE;

/// Opens both sides of a terminal. Returns the path of the programs' side too. openpty(3) would let the processes that
/// other tests start inherit them, and the terminal would never be closed.
fn open_terminal() -> io::Result<(File, File, String)> {
    let keys = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)?;
    grantpt(&keys)?;
    unlockpt(&keys)?;
    let no_terminal_of_ours = OFlag::O_NOCTTY.bits();
    let mut options = File::options();
    options.read(true).write(true).custom_flags(no_terminal_of_ours);
    let path = ptsname_r(&keys)?;
    let programs = options.open(&path)?;
    Ok((OwnedFd::from(keys).into(), programs, path))
}

/// A terminal. The test has the side of the keys and the screen.
pub(crate) struct Terminal {
    keys: File,
    /// The programs' side, open for as long as more programs may be started on it.
    programs: Option<File>,
    path: String,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let (keys, programs, path) = open_terminal().expect("there should be a terminal to be had");
        let mut output = keys.try_clone().expect("there should be room for a descriptor");
        let (tell, screen) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            // The read fails when the last program has closed its side.
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if tell.send(buffer[..count].into()).is_err() {
                    break;
                }
            }
        });
        Self { keys, programs: Some(programs), path, screen, seen: String::new() }
    }

    pub(crate) fn side(&self) -> Stdio {
        let side = self.programs.as_ref().expect("it is open");
        side.try_clone().expect("there should be room for a descriptor").into()
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Starts a command that will hold the lock. Its messages are at the terminal, of which `TERM` is `kind`.
    #[track_caller]
    pub(crate) fn waiter(&self, kind: &str, options: &[&str], path: &str) -> Running {
        let mut command = Command::new(LOCKET);
        command.arg("run").args(options).args([path, "sh", "-c", HOLD]);
        Running::start(command.env("TERM", kind).stderr(self.side()))
    }

    #[track_caller]
    pub(crate) fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal is there");
    }

    /// Waits until this text is on the screen.
    #[track_caller]
    pub(crate) fn until_shown(&mut self, text: &str) {
        self.until_seen(text, |seen| seen.contains(text));
    }

    /// Waits until `is_so` accepts all that was shown.
    #[track_caller]
    pub(crate) fn until_seen(&mut self, what: &str, is_so: impl Fn(&str) -> bool) {
        let start = Instant::now();
        while !is_so(&self.seen) {
            match self.screen.recv_timeout(PATIENCE.saturating_sub(start.elapsed())) {
                Ok(more) => self.seen += &String::from_utf8_lossy(&more),
                Err(error) => panic!("{what:?} should be on the screen ({error}): {:?}", self.seen),
            }
        }
    }

    /// Waits until no program has the terminal. Returns all that was shown.
    #[track_caller]
    pub(crate) fn all(&mut self) -> String {
        self.programs = None;
        loop {
            match self.screen.recv_timeout(PATIENCE) {
                Ok(more) => self.seen += &String::from_utf8_lossy(&more),
                Err(RecvTimeoutError::Disconnected) => return self.seen.clone(),
                Err(RecvTimeoutError::Timeout) => panic!("a process keeps the terminal open"),
            }
        }
    }

    /// Returns the lines on the screen when no program has the terminal.
    #[track_caller]
    pub(crate) fn left(&mut self) -> Vec<String> {
        left(&self.all())
    }
}

/// The first process of a session at a terminal. When it is dropped, it ends the others too.
pub(crate) struct Session {
    pub(crate) terminal: Terminal,
    process: Child,
}

impl Session {
    /// Starts a process with the default actions of all signals.
    #[track_caller]
    pub(crate) fn start(command: &[&str]) -> Self {
        let terminal = Terminal::new();
        let mut session = Command::new("setsid");
        session.args(["--ctty", "env", "--default-signal", "TERM=xterm"]).args(command);
        session.stdin(terminal.side()).stdout(terminal.side()).stderr(terminal.side());
        let process = session.spawn().expect("it should start");
        Self { terminal, process }
    }

    /// Waits until it has ended by itself. Returns its status.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait(&mut self.process)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns the lines on the screen after all that was shown. An unknown control sequence is left as it is.
pub(crate) fn left(shown: &str) -> Vec<String> {
    const SEQUENCES: [&str; 3] = ["\x1b[J", "\x1b[?7l", "\x1b[?7h"];
    let mut lines = vec![Vec::new()];
    let mut column = 0;
    let mut rest = shown;
    while let Some(next) = rest.chars().next() {
        let line = lines.last_mut().expect("there is one");
        if let Some(sequence) = SEQUENCES.into_iter().find(|it| rest.starts_with(it)) {
            // The cursor only moves down, so there is nothing below it.
            if sequence == SEQUENCES[0] {
                line.truncate(column);
            }
            rest = &rest[sequence.len()..];
            continue;
        }
        rest = &rest[next.len_utf8()..];
        match next {
            '\r' => column = 0,
            '\n' => {
                lines.push(Vec::new());
                column = 0;
            }
            shown => {
                line.resize(line.len().max(column + 1), ' ');
                line[column] = shown;
                column += 1;
            }
        }
    }
    let lines = lines.into_iter().map(|line| line.into_iter().collect::<String>());
    let lines = lines.map(|line| line.trim_end().to_string());
    lines.filter(|line| !line.is_empty()).collect()
}

/// Tests the screen itself.
#[test]
fn the_screen_shows_what_is_not_erased() {
    assert_eq!(left("\r\x1b[J\x1b[?7lone\x1b[?7h\r\x1b[J"), [""; 0]);
    assert_eq!(left("\r\x1b[J\x1b[?7lone\x1b[?7h"), ["one"]);
    assert_eq!(left("long line\rone"), ["oneg line"]);
    assert_eq!(left("one\r\n\x1b[Jtwo"), ["one", "two"]);
    assert_eq!(left("\x1b[1mone"), ["\x1b[1mone"]);
}
