//! At a terminal:
//! - a wait is shown in a line with the path, the time and the holder, and the line is erased when the wait ends in any way;
//! - a terminal that cannot erase gets lines that stay, and so does one to which other processes may write: locket is not in
//!   the foreground, or the holder has the same terminal;
//! - if the window is too narrow, the path is shortened in the middle, and the holder is still shown; if the window was made
//!   narrower, nothing of the line remains;
//! - a terminal is not opened as a lock file;
//! - Ctrl-C reaches the command once, and ends locket only together with the command.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use crate::inheritance::{TELL_SIGNALS, masks};
use crate::lock_file::{LOCKET, LockFile, answer, is_free};
use crate::running::{HOLD, Running, holder};
use crate::screen::{Session, Terminal, left};
use crate::support::{until, until_waiting};

/// The beginning of a line that changes.
const DRAWN: &str = "\r\x1b[J\x1b[?7llocket: ";

#[test]
fn a_wait_shows_a_changing_line_and_erases_it() {
    let lock = LockFile::new();
    for options in [&[][..], &["-w", "1h"], &["-o"], &["--verbose"]] {
        let holder = holder(&[], &lock);
        let mut terminal = Terminal::new();
        let waiter = terminal.waiter("xterm", options, &lock);
        let end = format!("for {lock}: held by {}\x1b[?7h\r", holder.display_name());
        terminal.until_seen("a line that changes", |seen| {
            let texts = seen.split(DRAWN).filter(|text| text.ends_with(&end));
            texts.collect::<BTreeSet<_>>().len() >= 3
        });
        until_waiting(waiter.pid(), lock.as_ref(), 1);
        holder.end();
        waiter.line();
        waiter.end();
        let left = terminal.left();
        match options {
            ["--verbose"] => assert!(left.concat().starts_with("locket: locked "), "{left:?}"),
            _ => assert_eq!(left, [""; 0]),
        }
    }
}

#[test]
fn the_line_shows_the_path_as_given_and_escaped() {
    let lock = LockFile::named("a\n\x1b[2Jb");
    let _holder = holder(&[], &lock);
    let mut terminal = Terminal::new();
    let mut command = Command::new(LOCKET);
    command.args(["run", "a\n\x1b[2Jb", "true"]).current_dir(lock.directory());
    let _waiter = Running::start(command.env("TERM", "xterm").stderr(terminal.side()));
    terminal.until_shown(r"waiting for a\n\u{1b}[2Jb: held by ");
}

#[test]
fn the_message_of_a_failed_wait_stays() {
    let lock = LockFile::new();
    let holder = holder(&[], &lock);
    let by = format!("by {}", holder.display_name());
    for (options, expected) in [
        (&["-n"][..], Some(format!("locket: {lock} is held {by}"))),
        (&["-w", "200ms"], Some(format!("locket: cannot lock {lock} within 200ms: held {by}"))),
        (&["-w", "200ms", "--quiet"], None),
    ] {
        let mut terminal = Terminal::new();
        assert_eq!(terminal.waiter("xterm", options, &lock).wait().code(), Some(75));
        assert_eq!(terminal.left(), Vec::from_iter(expected));
    }
}

#[test]
fn a_terminal_that_cannot_erase_gets_lasting_lines() {
    let lock = LockFile::new();
    for kind in ["dumb", ""] {
        let holder = holder(&[], &lock);
        let by = format!(" for {lock}: held by {}\r\n", holder.display_name());
        let mut terminal = Terminal::new();
        let waiter = terminal.waiter(kind, &[], &lock);
        terminal.until_shown(&by);
        holder.end();
        waiter.end();
        let shown = terminal.all();
        assert!(shown.starts_with("locket: waiting") && shown.ends_with(&by), "{shown:?}");
        assert_eq!(shown.lines().count(), 1, "{shown:?}");
    }
}

#[test]
fn without_a_wait_nothing_is_shown() {
    let lock = LockFile::new();
    let mut terminal = Terminal::new();
    terminal.waiter("xterm", &["-w", "1h"], &lock).end();
    assert_eq!(terminal.all(), "");
}

#[test]
fn a_wait_ended_by_a_signal_leaves_no_line() {
    needs!("setsid --version", "env --default-signal true");
    let lock = LockFile::new();
    let _holder = holder(&[], &lock);
    for options in [&[][..], &["-o"], &["-w", "1h"]] {
        let mut session = Session::start(&[&[LOCKET, "run"], options, &[&lock, "true"]].concat());
        session.terminal.until_shown("locket: waiting ");
        session.terminal.press("\x03");
        assert_eq!(session.wait().signal(), Some(Signal::SIGINT as i32));
        assert_eq!(session.terminal.left(), [""; 0]);
    }
    // By a signal of another process.
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let mut terminal = Terminal::new();
        let mut waiter = terminal.waiter("xterm", &[], &lock);
        terminal.until_shown("locket: waiting ");
        waiter.signal(signal);
        waiter.assert_ended_by(signal);
        assert_eq!(terminal.left(), [""; 0]);
    }
}

#[test]
fn a_waiter_that_ignores_interrupts_waits_on() {
    needs!("setsid --version", "env --default-signal true");
    let lock = LockFile::new();
    let holder = holder(&[], &lock);
    let command = ["sh", "-c", "echo ran; read _"];
    let words = [&["env", "--ignore-signal=INT", LOCKET, "run", &lock], &command[..]].concat();
    let mut session = Session::start(&words);
    session.terminal.until_shown("locket: waiting ");
    for _ in 0..3 {
        session.terminal.press("\x03");
    }
    session.terminal.until_shown("^C");
    session.terminal.until_seen("a line drawn anew", |seen| {
        seen.rsplit("^C").next().unwrap_or_default().contains(DRAWN)
    });
    holder.end();
    session.terminal.until_shown("ran\r\n");
    session.terminal.press("end\n");
    assert_eq!(session.wait().code(), Some(0));
}

/// The command has the signal mask and the actions of the caller.
#[test]
fn a_wait_at_a_terminal_leaves_the_signals_unchanged() {
    let lock = LockFile::new();
    let signals = |holder: Option<Running>| {
        let mut terminal = Terminal::new();
        let mut command = Command::new(LOCKET);
        command.args(["run", &lock]).args(TELL_SIGNALS);
        let mut run = Running::start(command.env("TERM", "xterm").stderr(terminal.side()));
        if let Some(holder) = holder {
            terminal.until_shown("locket: waiting ");
            holder.end();
        }
        assert_eq!(run.wait().code(), Some(0));
        masks(&run.rest().join("\n"))
    };
    let plain = masks(&answer(&lock.command(TELL_SIGNALS[0], &TELL_SIGNALS[1..]).assert()));
    assert_eq!(signals(None), plain);
    assert_eq!(signals(Some(holder(&[], &lock))), plain);
}

/// Returns what is shown in a session whose first process is a shell, until the word "over.". `$0` is locket, and `$1` the
/// lock. When a wait is shown, `end` is called, and a line is typed.
#[track_caller]
fn shown_in_session(lock: &LockFile, shell: &[&str], script: &str, end: impl FnOnce()) -> String {
    let script = format!("{script}; echo over.");
    let mut session = Session::start(&[shell, &["-c", &script, LOCKET, lock]].concat());
    session.terminal.until_shown("locket: waiting for ");
    let handle = locket::lock_file(lock);
    until("the call waits", || handle.status().is_ok_and(|it| it.waiters.len() == 1));
    end();
    session.terminal.press("\n");
    session.terminal.until_shown("over.");
    session.wait();
    session.terminal.all()
}

/// Another process may write to the screen. Erasing the line would erase its text.
#[test]
fn lines_stay_where_others_may_write() {
    needs!("setsid --version", "mkfifo --version", "timeout 1 true", "env --default-signal true");
    let run = r#""$0" run "$1" echo ran."#;
    // The recipes of `make -j` share a terminal like this: the holder has the same one.
    let lock = LockFile::new();
    let recipes = format!(
        r#"mkfifo "$1.in" "$1.go"
        "$0" run "$1" sh -c 'printf "a recipe prints"; echo >"$0.in"; read x <"$0.go"' "$1" &
        read x <"$1.in"; {run} & read x; echo >"$1.go"; wait"#
    );
    let shown = shown_in_session(&lock, &["sh"], &recipes, || ());
    let stays = |shown: &str| shown.contains("locket: waiting for ") && !shown.contains('\x1b');
    assert!(shown.contains("a recipe prints") && stays(&shown), "{shown:?}");

    for (shell, script, lasts) in [
        // timeout(1) moves itself and its command to the background (`setpgid`).
        (&["sh"][..], format!("timeout 60 {run}"), true),
        // A job of a shell, in the background, and in the foreground.
        (&["sh", "-m"], format!("{run} & wait $!"), true),
        (&["sh", "-m"], run.into(), false),
    ] {
        let lock = LockFile::new();
        let holder = holder(&[], &lock);
        let shown = shown_in_session(&lock, shell, &script, || {
            holder.end();
        });
        assert_eq!((stays(&shown), shown.contains(DRAWN)), (lasts, !lasts), "{script}: {shown:?}");
    }
}

#[test]
fn a_shortened_line_keeps_the_holder() {
    needs!("stty --version");
    let lock = LockFile::named(&("long".repeat(40) + ".lock"));
    let holder = holder(&[], &lock);
    let mut terminal = Terminal::new();
    let sized = Command::new("stty").args(["cols", "100"]).stdin(terminal.side()).status();
    assert!(sized.expect("it should run").success());
    let waiter = terminal.waiter("xterm", &[], &lock);
    terminal.until_shown(&format!(".lock: held by {}\x1b[?7h\r", holder.display_name()));
    holder.end();
    waiter.line();
    waiter.end();
    let shown = terminal.all();
    let drawn = shown.split("\x1b[?7l").nth(1).and_then(|it| it.split('\x1b').next());
    let drawn = drawn.expect("a line was drawn");
    assert!(drawn.chars().count() < 100 && drawn.contains('…'), "{drawn}");
    assert_eq!(left(&shown), [""; 0]);
}

/// tmux re-wraps lines when its window is narrowed. (If there is room on the screen, it also scrolls the line off, out of
/// reach. Here there is none.)
#[test]
fn a_narrowed_window_has_no_remains_of_the_line() {
    needs!("tmux -V");
    let lock = LockFile::new();
    let holder = holder(&[], &lock);
    let tmux = |arguments: &[&str]| {
        let words = [&["-S", "./tmux", "-f", "/dev/null"], arguments].concat();
        answer(&lock.command("tmux", &words).env("TERM", "xterm").assert())
    };
    let script =
        format!("seq 1 20; echo before; {LOCKET} run {lock} sh -c 'echo ran; {HOLD}'; sleep 1000");
    tmux(&["new-session", "-d", "-x", "100", "-y", "10", "sh", "-c", &script]);
    let shown = || tmux(&["capture-pane", "-p"]);
    until("the wait is shown", || shown().contains("locket: waiting "));
    tmux(&["resize-window", "-x", "30", "-y", "10"]);
    until("the window is narrow", || shown().lines().all(|line| line.chars().count() <= 30));
    holder.end();
    until("the command runs", || shown().contains("ran"));
    let screen = shown();
    tmux(&["kill-server"]);
    assert!(screen.contains("20\nbefore\nran\n"), "{screen}");
}

/// A terminal is a device, and locket does not open it. The first process of a session without a terminal would get it as its
/// controlling terminal by the open, and would get SIGINT at its Ctrl-C from then on.
#[test]
fn a_terminal_cannot_be_locked() {
    const HAS_NONE: i32 = 33;
    needs!("setsid --version");
    let terminal = Terminal::new();
    let ask = format!("(: </dev/tty) 2>/dev/null || exit {HAS_NONE}");
    let code = |script: &str| {
        let mut command = Command::new("setsid");
        command.args(["sh", "-c", script, LOCKET, terminal.path()]).stdin(Stdio::null());
        command.status().expect("it should start").code()
    };
    assert_eq!(code(r#""$0" run "$1" true"#), Some(66));
    assert_eq!(code(&format!(r#""$0" run "$1" true; {ask}"#)), Some(HAS_NONE));
    // A program that opens the terminal gets it.
    assert_eq!(code(&format!("exec 9<>$1; {ask}")), Some(0));
}

/// Counts the interrupts. Ends with their number as its exit code.
const COUNT: &str = "n=0; trap 'n=$((n + 1)); echo interrupt $n.' INT
    echo ready.
    while :; do read line; [ x$line = xend ] && exit $n; done";

const TURNS: u16 = if cfg!(feature = "stress") { 500 } else { 21 };

/// `signals` checks those that other processes send.
#[test]
fn an_interrupt_reaches_the_command_once() {
    needs!("setsid --version", "env --default-signal true");
    for options in [&[][..], &["-o"]] {
        let lock = LockFile::new();
        let words = [&[LOCKET, "run"], options, &[&lock, "sh", "-c", COUNT]].concat();
        let mut session = Session::start(&words);
        session.terminal.until_shown("ready.");
        for turn in 1..=TURNS {
            // The shell may be about to read when the signal comes. Then it runs the trap only after the read.
            session.terminal.press("\x03\n");
            session.terminal.until_shown(&format!("interrupt {turn}."));
            assert!(!is_free(&lock));
        }
        session.terminal.press("end\n");
        assert_eq!(session.wait().code(), Some(i32::from(TURNS % 256)));
        assert!(is_free(&lock));
    }
}
