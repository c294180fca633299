//! The line of a wait at a terminal that others use too:
//! - where other processes may write to the terminal (locket is not in the foreground, or the holder has the same
//!   terminal), lines are not erased;
//! - if the window is too narrow, the path is shortened in the middle, and the holder is still shown;
//! - if the window was made narrower, nothing of the line remains.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::running::{HOLD, LOCKET, Running, has};
use crate::screen::{Terminal, left};
use crate::support::{Scratch, until, until_waiting};

/// Runs a script of a shell in a session at the terminal. Returns what is shown until the word "over.".
#[track_caller]
fn shown_in_session(path: &Path, shell: &[&str], script: &str) -> String {
    let mut terminal = Terminal::new();
    let mut command = Command::new("setsid");
    command.args(["--ctty"]).args(shell).args(["-c", script, LOCKET]).arg(path);
    command.env("TERM", "xterm");
    command.stdin(terminal.side()).stdout(terminal.side()).stderr(terminal.side());
    let mut session = command.spawn().expect("it should start");
    drop(command);
    terminal.until_shown("locket: waiting for ");
    terminal.press("\n");
    terminal.until_shown("over.");
    session.wait().expect("it is a child of the test");
    terminal.all()
}

/// The recipes of `make -j` share a terminal like this.
#[test]
fn lines_stay_if_the_holder_has_the_same_terminal() {
    let check = "lines_stay_if_the_holder_has_the_same_terminal";
    if !has(check, "setsid", &["--version"]) || !has(check, "mkfifo", &["--version"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let script = r#"
        mkfifo "$1.in" "$1.go"
        "$0" run "$1" sh -c 'printf "a recipe prints"; echo >"$0.in"; read x <"$0.go"' "$1" &
        read x <"$1.in"
        "$0" run "$1" echo ran. &
        read x; echo >"$1.go"
        wait; echo over."#;
    let shown = shown_in_session(&path, &["sh"], script);
    assert!(shown.contains("a recipe prints"), "{shown:?}");
    assert!(shown.contains("locket: waiting for ") && !shown.contains('\x1b'), "{shown:?}");
}

/// timeout(1) moves itself and its command to the background (`setpgid`).
#[test]
fn lines_stay_under_timeout() {
    let check = "lines_stay_under_timeout";
    if !has(check, "setsid", &["--version"]) || !has(check, "timeout", &["1", "true"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _holder = Running::holder(&path);
    let script = r#"timeout 1 "$0" run "$1" true; echo over."#;
    let shown = shown_in_session(&path, &["sh"], script);
    assert!(shown.contains("locket: waiting for ") && !shown.contains('\x1b'), "{shown:?}");
}

#[test]
fn a_shortened_line_keeps_the_holder() {
    if !has("a_shortened_line_keeps_the_holder", "stty", &["--version"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.join(&("long".repeat(40) + ".lock"));
    let holder = Running::holder(&path);
    let mut terminal = Terminal::new();
    let sized = Command::new("stty").args(["cols", "100"]).stdin(terminal.side()).status();
    assert!(sized.expect("it should run").success());
    let mut command = Command::new(LOCKET);
    command.arg("run").arg(&path).arg("true").env("TERM", "xterm").stderr(terminal.side());
    let mut waiter = Running::start(&mut command);
    drop(command);
    let end = format!(".lock: held by {}\x1b[?7h\r", holder.display_name());
    terminal.until_shown(&end);
    holder.end();
    assert_eq!(waiter.wait().code(), Some(0));
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
    let check = "a_narrowed_window_has_no_remains_of_the_line";
    if !has(check, "tmux", &["-V"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    let socket = scratch.join("tmux");
    let tmux = |arguments: &[&str]| {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&socket).args(["-f", "/dev/null"]).args(arguments);
        let output = command.env("TERM", "xterm").stderr(Stdio::inherit()).output();
        String::from_utf8_lossy(&output.expect("it should run").stdout).into_owned()
    };
    let script = format!(
        "seq 1 20; echo before; {LOCKET} run {} sh -c 'echo ran; {HOLD}'; sleep 1000",
        path.display()
    );
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

/// At a terminal whose foreground group the kernel does not report, no other process is assumed to write.
#[test]
fn the_line_changes_if_locket_is_alone_at_the_terminal() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    let mut terminal = Terminal::new();
    let mut command = Command::new(LOCKET);
    command.arg("run").arg(&path).arg("true").env("TERM", "xterm").stderr(terminal.side());
    let mut waiter = Running::start(&mut command);
    drop(command);
    until_waiting(waiter.pid(), &path, 1);
    terminal.until_shown("\x1b[?7l");
    holder.end();
    assert_eq!(waiter.wait().code(), Some(0));
}
