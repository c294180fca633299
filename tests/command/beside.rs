//! With `-o`, locket stays beside the command:
//! - the lock is held until the command has ended, and then free before locket ends;
//! - signals that are sent to locket reach the command, and locket lives on until it has ended;
//! - a KILL to locket frees the lock although the command goes on, as the documentation says;
//! - the command is reaped, and its status told, and where the caller has made that impossible, an error.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::running::{LOCKET, Running, has, is_free, is_there};
use crate::support::{Scratch, until};

/// Says which signals come until one ends it, or locket is gone. (A signal ends `read` as the end of
/// the input does.)
const LISTEN: &str = "for s in HUP INT QUIT USR1 USR2 ALRM; do trap \"echo $s\" $s; done
    trap 'echo TERM; exit 3' TERM
    echo $$
    while read _ || kill -0 $PPID; do :; done";

/// A shell started in the background ignores INT and QUIT and cannot be talked out of it.
fn listener(path: &std::path::Path) -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal", LOCKET, "run", "-o"]).arg(path).args(["sh", "-c", LISTEN]);
    command
}

#[test]
fn the_lock_is_held_until_the_command_has_ended() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder_with(&path, &["-o"]);
    assert!(!is_free(&path));
    assert_eq!(holder.end(), Some(1));
    assert!(is_free(&path));
}

#[test]
fn signals_are_passed_on() {
    if !has("signals_are_passed_on", "env", &["--default-signal", "true"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut run = Running::start(&mut listener(&path));
    let command: u32 = run.line().parse().expect("it is a number");
    assert_ne!(command, run.pid());
    for signal in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
    ] {
        run.signal(signal);
        assert_eq!(format!("SIG{}", run.line_when_nudged()), signal.as_str());
        assert!(!is_free(&path));
    }
    run.signal(Signal::SIGTERM);
    assert_eq!(run.line_when_nudged(), "TERM");
    assert_eq!(run.wait().code(), Some(3));
    assert!(is_free(&path));
}

/// From the first moment on: the signal is sent as soon as locket has the lock, whether there is a
/// command already or not.
#[test]
fn an_early_signal_ends_both_or_reaches_the_command() {
    if !has("an_early_signal_ends_both", "env", &["--default-signal", "true"]) {
        return;
    }
    for _ in 0..50 {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        let mut command = Command::new("env");
        command.args(["--default-signal", LOCKET, "run", "-o"]).arg(&path);
        let mut run = Running::start(command.args(["sh", "-c", "echo $$; read _"]));
        until("locket has the lock", || path.exists() && !is_free(&path));
        run.signal(Signal::SIGTERM);
        let status = run.wait();
        // 143: passed on. By the signal itself: the command had not been started.
        assert!(status.code().is_none_or(|code| code == 143), "{status}");
        run.hang_up();
        let said = run.rest();
        assert!(status.code().is_some() || said.is_empty(), "the command goes on: {said:?}");
        assert!(is_free(&path));
    }
}

#[test]
fn a_killed_locket_leaves_the_command_without_the_lock() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut run = Running::locket(
        [
            &["-o", path.to_str().expect("it is text")][..],
            &["sh", "-c", "echo $$; read _; echo end"],
        ]
        .concat(),
    );
    let command = run.line().parse().expect("it is a number");
    assert!(!is_free(&path));
    run.kill();
    assert!(is_free(&path));
    assert!(is_there(command));
    run.tell("");
    assert_eq!(run.line(), "end");
}

/// With SIGCHLD ignored, the system keeps no status of a child.
#[test]
fn a_status_that_is_lost_is_an_error() {
    let ignore = ["--ignore-signal=CHLD", LOCKET, "run", "-o"];
    if !has("a_status_that_is_lost_is_an_error", "env", &["--ignore-signal=CHLD", "true"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut run = assert_cmd::Command::new("env");
    let output = run.args(ignore).arg(&path).args(["sh", "-c", "exit 3"]).output();
    let output = output.expect("it should run");
    let text = String::from_utf8(output.stderr).expect("it is text");
    assert_eq!(output.status.code(), Some(71));
    assert!(text.starts_with("locket: couldn't learn how the command ended: "), "{text}");
    assert!(is_free(&path));
    // Who becomes the command has no child to lose.
    let mut run = assert_cmd::Command::new("env");
    run.args(&ignore[..3]).arg(&path).args(["sh", "-c", "exit 3"]).assert().code(3);
}

/// Not every first process of a container buries the orphans that it gets.
#[test]
#[cfg(target_os = "linux")]
fn the_command_is_reaped() {
    if !has("the_command_is_reaped", "strace", &["-qq", "true"]) {
        return;
    }
    let scratch = Scratch::new();
    let log = scratch.join("log");
    let mut run = Command::new("strace");
    run.args(["-qq", "-e", "trace=waitid", "-e", "signal=none", "-o"]).arg(&log);
    run.args([LOCKET, "run", "-o"]).arg(scratch.lock_path()).arg("true");
    assert_eq!(run.status().expect("strace should run").code(), Some(0));
    let log = std::fs::read_to_string(log).expect("strace should have written it");
    let reaped = log.lines().filter(|line| line.ends_with("= 0") && !line.contains("WNOWAIT"));
    assert_eq!(reaped.count(), 1, "{log}");
}
