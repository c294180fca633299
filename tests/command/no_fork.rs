//! - With `-F` locket replaces itself by the command: the process is the same, and the lock belongs to its descriptor.
//! - The lock is held while the command runs, and is free when it has ended in any way.

use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use crate::running::{HOLD, Running, has, is_free};
use crate::support::{Scratch, until};

/// Returns whether the command has the process id of the process that was started.
fn becomes(command: &mut Command) -> bool {
    let run = Running::start(command);
    run.line() == run.pid().to_string()
}

#[test]
fn the_command_has_the_process_id_of_locket() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let locket = || {
        let mut command = Command::new(crate::running::LOCKET);
        command.arg("run");
        command
    };
    assert!(becomes(locket().arg("-F").arg(&path).args(["--", "sh", "-c", HOLD])));
    assert!(becomes(locket().arg("-F").arg(&path).args(["-c", HOLD]).env("SHELL", "/bin/sh")));
    // Without `-F` the check must fail.
    assert!(!becomes(locket().arg(&path).args(["--", "sh", "-c", HOLD])));
    assert!(!becomes(locket().arg("-o").arg(&path).args(["--", "sh", "-c", HOLD])));
}

#[test]
fn the_lock_is_held_until_the_command_ends() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for options in [&[][..], &["-F"]] {
        let holder = Running::holder_with(&path, options);
        assert!(!is_free(&path));
        holder.end();
        assert!(is_free(&path));
    }
}

#[test]
fn killing_the_command_frees_the_lock() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGHUP] {
        for options in [&[][..], &["-o"], &["-F"]] {
            let mut holder = Running::holder_with(&path, options);
            assert!(!is_free(&path));
            holder.signal_all(signal);
            assert_eq!(holder.wait().signal(), Some(signal as i32));
            until("the lock is free", || is_free(&path));
        }
    }
}

#[test]
fn a_killed_waiter_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    for options in [&[][..], &["-w", "1h"], &["-F"]] {
        let arguments = [options, &[path.to_str().expect("it should be UTF-8"), "true"]].concat();
        let mut waiter = Running::locket(arguments);
        crate::support::until_waiting(waiter.pid(), &path, 1);
        waiter.signal(Signal::SIGTERM);
        assert_eq!(waiter.wait().signal(), Some(Signal::SIGTERM as i32));
    }
    assert!(!is_free(&path));
    holder.end();
    assert!(is_free(&path));
}

/// The command can be stopped and continued like any other.
#[test]
fn a_stopped_command_holds_the_lock() {
    if !has("a_stopped_command_holds_the_lock", "ps", &["-o", "state=", "-p", "1"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder_with(&path, &["-F"]);
    holder.signal(Signal::SIGSTOP);
    until("the command is stopped", || {
        let ps =
            Command::new("ps").args(["-o", "state=", "-p", &holder.pid().to_string()]).output();
        ps.expect("ps works here").stdout.starts_with(b"T")
    });
    assert!(!is_free(&path));
    holder.signal(Signal::SIGCONT);
    holder.end();
    assert!(is_free(&path));
}
