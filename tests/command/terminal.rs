//! At a terminal:
//! - a wait is shown in a line with the path, the time and the holder, and the line is erased when the wait ends in any way;
//! - a terminal that cannot erase gets lines that stay; a terminal is not opened as a lock file;
//! - Ctrl-C reaches the command once, and ends locket only together with the command.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill, killpg};

use crate::inheritance::mask;
use crate::running::{HOLD, LOCKET, Running, has, is_free, pending, pid};
use crate::screen::{Terminal, left};
use crate::support::{Scratch, until, until_waiting};

/// Returns a waiter at this terminal, with this value of `TERM`.
fn waiter(terminal: &Terminal, kind: &str, options: &[&str], path: &Path) -> Command {
    let mut command = Command::new(LOCKET);
    command.arg("run").args(options).arg(path).args(["sh", "-c", HOLD]);
    command.env("TERM", kind).stderr(terminal.side());
    command
}

/// The beginning of a line that changes.
const DRAWN: &str = "\r\x1b[J\x1b[?7llocket: ";

#[test]
fn a_wait_shows_a_changing_line_and_erases_it() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for options in [&[][..], &["-w", "1h"], &["-o"], &["--verbose"]] {
        let holder = Running::holder(&path);
        let mut terminal = Terminal::new();
        let waiter = Running::start(&mut waiter(&terminal, "xterm", options, &path));
        let end = format!("for {}: held by {}\x1b[?7h\r", path.display(), holder.display_name());
        terminal.until_seen("a line that changes", |seen| {
            let texts = seen.split(DRAWN).filter(|text| text.ends_with(&end));
            texts.collect::<BTreeSet<_>>().len() >= 3
        });
        until_waiting(waiter.pid(), &path, 1);
        holder.end();
        waiter.line();
        waiter.end();
        let left = left(&terminal.all());
        match options {
            ["--verbose"] => assert!(left.concat().starts_with("locket: locked "), "{left:?}"),
            _ => assert_eq!(left, [""; 0]),
        }
    }
}

#[test]
fn the_line_shows_the_path_as_given_and_escaped() {
    let scratch = Scratch::new();
    let _holder = Running::holder(&scratch.join("a\n\x1b[2Jb"));
    let mut terminal = Terminal::new();
    let mut command = waiter(&terminal, "xterm", &[], Path::new("a\n\x1b[2Jb"));
    let waiter = Running::start(command.current_dir(scratch.path()));
    drop(command);
    terminal.until_shown(r"waiting for a\n\u{1b}[2Jb: held by ");
    drop(waiter);
}

/// Returns what remains on a terminal after a command that could not run.
#[track_caller]
fn refused(kind: &str, options: &[&str], path: &Path) -> Vec<String> {
    let terminal = Terminal::new();
    let mut command = waiter(&terminal, kind, options, path);
    assert_eq!(command.status().expect("it should run").code(), Some(75));
    drop(command);
    left(&terminal.all())
}

#[test]
fn the_message_of_a_failed_wait_stays() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    let by = format!("by {}", holder.display_name());
    let shown = path.display();
    assert_eq!(refused("xterm", &["-n"], &path), [format!("locket: {shown} is held {by}")]);
    let late = format!("locket: cannot lock {shown} within 200ms: held {by}");
    assert_eq!(refused("xterm", &["-w", "200ms"], &path), [late]);
    assert_eq!(refused("xterm", &["-w", "200ms", "--quiet"], &path), [""; 0]);
}

#[test]
fn a_terminal_that_cannot_erase_gets_lasting_lines() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for kind in ["dumb", ""] {
        let holder = Running::holder(&path);
        let by = format!(" for {}: held by {}", path.display(), holder.display_name());
        let mut terminal = Terminal::new();
        let waiter = Running::start(&mut waiter(&terminal, kind, &[], &path));
        terminal.until_shown(&format!("{by}\r\n"));
        holder.end();
        waiter.end();
        let shown = terminal.all();
        assert!(shown.starts_with("locket: waiting") && shown.ends_with(&format!("{by}\r\n")));
        assert_eq!(shown.lines().count(), 1, "{shown:?}");
    }
}

#[test]
fn without_a_wait_nothing_is_shown() {
    let scratch = Scratch::new();
    let terminal = Terminal::new();
    let mut command = waiter(&terminal, "xterm", &["-w", "1h"], &scratch.lock_path());
    Running::start(&mut command).end();
    drop(command);
    assert_eq!(terminal.all(), "");
}

/// Starts `locket run` as the first process of a session at a terminal, with this option for its signals.
#[track_caller]
fn at(terminal: &Terminal, signals: &str, options: &[&str], path: &Path) -> Session {
    let mut command = Command::new("setsid");
    command.args(["--ctty", "env", "--default-signal", signals, LOCKET, "run"]).args(options);
    command.arg(path).args(["sh", "-c", "echo ran; read _"]).env("TERM", "xterm");
    command.stdin(terminal.side()).stdout(terminal.side()).stderr(terminal.side());
    Session(command.spawn().expect("it should start"))
}

fn has_sessions(check: &str) -> bool {
    has(check, "setsid", &["--version"]) && has(check, "env", &["--default-signal", "true"])
}

#[test]
fn a_wait_ended_by_a_signal_leaves_no_line() {
    if !has_sessions("a_wait_ended_by_a_signal_leaves_no_line") {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _holder = Running::holder(&path);
    for options in [&[][..], &["-o"], &["-w", "1h"]] {
        let mut terminal = Terminal::new();
        let mut session = at(&terminal, "--default-signal", options, &path);
        terminal.until_shown("locket: waiting ");
        terminal.press("\x03");
        assert_eq!(session.ended().signal(), Some(Signal::SIGINT as i32));
        assert_eq!(left(&terminal.all()), [""; 0]);
    }
    // By a signal of another process.
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let mut terminal = Terminal::new();
        let mut waiter = Running::start(&mut waiter(&terminal, "xterm", &[], &path));
        terminal.until_shown("locket: waiting ");
        waiter.signal(signal);
        assert_eq!(waiter.wait().signal(), Some(signal as i32));
        assert_eq!(left(&terminal.all()), [""; 0]);
    }
}

#[test]
fn a_waiter_that_ignores_interrupts_waits_on() {
    if !has_sessions("a_waiter_that_ignores_interrupts_waits_on") {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    let mut terminal = Terminal::new();
    let mut session = at(&terminal, "--ignore-signal=INT", &[], &path);
    terminal.until_shown("locket: waiting ");
    for _ in 0..3 {
        terminal.press("\x03");
    }
    terminal.until_shown("^C");
    terminal.until_seen("a line drawn anew", |seen| {
        let after = seen.rsplit("^C").next().unwrap_or_default();
        after.contains(DRAWN)
    });
    holder.end();
    terminal.until_shown("ran\r\n");
    terminal.press("end\n");
    assert_eq!(session.ended().code(), Some(0));
}

/// The command has the signal mask and the actions of the caller.
#[test]
fn a_wait_at_a_terminal_leaves_the_signals_unchanged() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let signals = |after_a_wait: bool| {
        let holder = after_a_wait.then(|| Running::holder(&path));
        let mut terminal = Terminal::new();
        let mut command = Command::new(LOCKET);
        command.arg("run").arg(&path).args(["grep", "^Sig[BCI]", "/proc/self/status"]);
        let mut run = Running::start(command.env("TERM", "xterm").stderr(terminal.side()));
        drop(command);
        if let Some(holder) = holder {
            terminal.until_shown("locket: waiting ");
            holder.end();
        }
        assert_eq!(run.wait().code(), Some(0));
        run.rest().iter().map(|line| mask(line)).collect::<Vec<_>>()
    };
    let plain = Command::new("grep").args(["^Sig[BCI]", "/proc/self/status"]).output();
    let plain =
        String::from_utf8(plain.expect("it should run").stdout).expect("it should be UTF-8");
    let plain: Vec<u64> = plain.lines().map(mask).collect();
    assert_eq!(plain.len(), 3);
    assert_eq!(signals(false), plain);
    assert_eq!(signals(true), plain);
}

/// Returns what a wait shows in a job of a shell: in the background, or in the foreground.
#[track_caller]
fn shown_by_a_job(in_background: bool) -> String {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    let mut terminal = Terminal::new();
    let script = r#""$0" run "$1" echo ran."#;
    let script = if in_background { format!("{script} & wait $!") } else { format!("{script}; :") };
    let mut command = Command::new("setsid");
    command.args(["--ctty", "sh", "-m", "-c", &script, LOCKET]).arg(&path).env("TERM", "xterm");
    command.stdin(terminal.side()).stdout(terminal.side()).stderr(terminal.side());
    let mut session = Session(command.spawn().expect("it should start"));
    drop(command);
    let lock = locket::lock_file(&path);
    until("the call waits", || lock.status().is_ok_and(|it| it.waiters.len() == 1));
    terminal.until_shown("locket: waiting ");
    holder.end();
    terminal.until_shown("ran.");
    session.ended();
    terminal.all()
}

/// Another job may write to the screen. Erasing the line would erase its text.
#[test]
fn a_wait_in_the_background_shows_lasting_lines() {
    if has_sessions("a_wait_in_the_background_shows_lasting_lines") {
        let shown = shown_by_a_job(true);
        assert!(shown.contains("locket: waiting for ") && !shown.contains('\x1b'), "{shown:?}");
        // In the foreground the line changes.
        assert!(shown_by_a_job(false).contains(DRAWN));
    }
}

/// A terminal is a device, and locket does not open it. The first process of a session without a terminal would get it as its
/// controlling terminal by the open, and would get SIGINT at its Ctrl-C from then on.
#[test]
fn a_terminal_cannot_be_locked() {
    const HAS_NONE: i32 = 33;
    const NO_INPUT: i32 = 66;
    if !has_sessions("a_terminal_cannot_be_locked") {
        return;
    }
    let terminal = Terminal::new();
    let ask = format!("(: </dev/tty) 2>/dev/null || exit {HAS_NONE}");
    let code = |program: &[&str]| {
        let mut command = Command::new("setsid");
        command.args(program).stdin(Stdio::null());
        command.status().expect("it should start").code()
    };
    let lock = [LOCKET, "run", terminal.path(), "true"];
    assert_eq!(code(&lock), Some(NO_INPUT));
    let lock = format!("\"$0\" run \"$1\" true; {ask}");
    assert_eq!(code(&["sh", "-c", &lock, LOCKET, terminal.path()]), Some(HAS_NONE));
    // A program that opens the terminal gets it.
    assert_eq!(code(&["sh", "-c", &format!("exec 9<>$0; {ask}"), terminal.path()]), Some(0));
}

/// Counts the interrupts. Ends with their number as its exit code.
const COUNT: &str = "n=0; trap 'n=$((n + 1)); echo interrupt $n.' INT
    echo ready.
    while :; do read line; [ x$line = xend ] && exit $n; done";

const TURNS: u16 = if cfg!(feature = "stress") { 500 } else { 21 };

/// The first process of a session at a terminal. When it is dropped, it ends the others too.
struct Session(Child);

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Session {
    /// Waits until it has ended by itself. Returns its status.
    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        until("the command should end", || {
            self.0.try_wait().expect("it is a child of the test").is_some()
        });
        self.0.wait().expect("it is a child of the test")
    }
}

/// Presses Ctrl-C, or signals locket alone or the group. Each time the command gets one interrupt.
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
    for turn in 1..=TURNS {
        // The shell may be about to read when the signal comes. Then it runs the trap only after the read.
        match turn % 3 {
            0 => terminal.press("\x03\n"),
            way => {
                // A standard signal that is sent while the same one is pending is lost.
                until("the last signal has been handled", || pending(run.0.id()) == 0);
                let locket = pid(run.0.id());
                let sent = if way == 1 {
                    kill(locket, Signal::SIGINT)
                } else {
                    killpg(locket, Signal::SIGINT)
                };
                sent.expect("it should exist");
                // The next key is pressed only after it has been passed on.
                until("the command has got the signal", || {
                    terminal.press("\n");
                    terminal.has_shown(&format!("interrupt {turn}."))
                });
            }
        }
        terminal.until_shown(&format!("interrupt {turn}."));
        assert!(!is_free(&path));
    }
    terminal.press("end\n");
    assert_eq!(run.ended().code(), Some(i32::from(TURNS % 256)));
    assert!(is_free(&path));
}

#[test]
fn an_interrupt_reaches_the_command_once() {
    let check = "an_interrupt_reaches_the_command_once";
    if has_sessions(check) {
        interrupt(&[]);
        interrupt(&["-o"]);
    }
}
