//! locket supervises the command, which inherits the lock, but not with `-o`:
//! - the lock is held until the command has ended, and is free before locket ends;
//! - signals that are sent to locket reach the command, and locket does not end before it;
//! - locket reaps the command and returns its status, even if the caller ignores SIGCHLD.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use nix::sys::signal::Signal;

use crate::running::{LOCKET, Running, has, is_free};
use crate::support::{Scratch, until};

/// Prints each signal that comes, until one ends the shell or locket has ended. (A signal ends `read` as the end of the input
/// does.)
const LISTEN: &str = "for s in HUP INT QUIT USR1 USR2 ALRM; do trap \"echo $s\" $s; done
    trap 'echo TERM; exit 3' TERM
    echo $$
    while read _ || kill -0 $PPID; do :; done";

/// A shell that is started in the background ignores INT and QUIT, and cannot change that (POSIX, `trap`). So the signals
/// are reset by `env --default-signal`.
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

/// The signal is sent as soon as locket has the lock, whether the command runs already or not.
#[test]
fn an_early_signal_reaches_the_command_or_ends_both() {
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
        assert_eq!(status.signal(), Some(Signal::SIGTERM as i32));
        // Either the command had not begun, or it has ended too: no process has its output open.
        run.rest();
        assert!(is_free(&path));
    }
}

/// With SIGCHLD ignored, the system keeps no status of a child (wait(2)).
#[test]
fn the_status_is_known_even_if_the_caller_ignores_sigchld() {
    let check = "the_status_is_known_even_if_the_caller_ignores_sigchld";
    if !has(check, "env", &["--ignore-signal=CHLD", "true"]) {
        return;
    }
    let scratch = Scratch::new();
    for options in [&[][..], &["-o"], &["-F"]] {
        let mut run = assert_cmd::Command::new("env");
        run.args(["--ignore-signal=CHLD", LOCKET, "run"]).args(options).arg(scratch.lock_path());
        run.args(["sh", "-c", "exit 3"]).assert().code(3);
    }
}

/// The first process of a container need not reap the orphans that become its children.
#[test]
#[cfg(target_os = "linux")]
fn the_command_and_the_canary_are_reaped() {
    if !has("the_command_and_the_canary_are_reaped", "strace", &["-qq", "true"]) {
        return;
    }
    let scratch = Scratch::new();
    let log = scratch.join("log");
    let mut run = Command::new("strace");
    run.args(["-qq", "-e", "trace=wait4", "-e", "signal=none", "-o"]).arg(&log);
    run.args([LOCKET, "run"]).arg(scratch.lock_path()).arg("true");
    assert_eq!(run.status().expect("strace should run").code(), Some(0));
    let log = std::fs::read_to_string(log).expect("strace should have written it");
    let reaped = |how: &str| log.lines().filter(|line| line.contains(how)).count();
    assert_eq!((reaped("WIFEXITED(s)"), reaped("WTERMSIG(s) == SIGKILL")), (1, 1), "{log}");
}
