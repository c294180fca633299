//! L15: locket never waits for its output to be read. Standard error is a full pipe that no process reads, or a terminal
//! that Ctrl-S has stopped:
//! - a deadline is kept, an acquired lock is used immediately, the command starts, locket ends;
//! - a signal ends the wait;
//! - and the line on the screen is erased when the terminal goes on.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::Command;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::unistd::pipe2;

use crate::lock_file::{LOCKET, LockFile, is_free};
use crate::running::{HOLD, Running, holder};
use crate::screen::Terminal;
use crate::support::until;

/// Returns a full pipe. The first end is not read, and must stay open so that writes do not fail with EPIPE.
#[track_caller]
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).expect("there should be room for descriptors");
    let mut write = File::from(write);
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("it is a pipe");
    while write.write(&[0; 4096]).is_ok() {}
    while write.write(&[0]).is_ok() {}
    // The flag is removed, so that a write to the full pipe blocks, as in an ordinary process.
    fcntl(&write, FcntlArg::F_SETFL(OFlag::empty())).expect("it is a pipe");
    (read, write.into())
}

/// Runs a script, whose standard error is a full pipe, in the directory of the lock. `$0` is locket.
#[track_caller]
fn unread(lock: &LockFile, script: &str) -> (Running, OwnedFd) {
    let (read, write) = full_pipe();
    let mut command = Command::new("sh");
    command.args(["-c", script, LOCKET]).current_dir(lock.directory()).stderr(write);
    (Running::start(&mut command), read)
}

#[test]
fn l15_a_full_pipe_delays_no_deadline() {
    let lock = LockFile::new();
    let _holder = holder(&[], &lock);
    for options in ["-w 200ms --verbose", "-n"] {
        let (mut run, _read) = unread(&lock, &format!("exec $0 run {options} f true"));
        assert_eq!(run.wait().code(), Some(75), "{options}");
    }
}

#[test]
fn l15_a_full_pipe_delays_no_command() {
    let lock = LockFile::new();
    for options in ["--verbose", "--verbose -F", "--hold-warning 1ms"] {
        let script = format!("exec $0 run {options} f sh -c '{HOLD}'");
        let (free, _read) = unread(&lock, &script);
        free.line();
        free.end();

        let holder = holder(&[], &lock);
        let (waiter, _read) = unread(&lock, &script);
        let waiter = waiter.waiting(&lock);
        holder.end();
        waiter.line();
        waiter.end();
        assert!(is_free(&lock));
    }
}

/// Errors about the command and the arguments, and errors of the commands that print an answer.
#[test]
fn l15_a_full_pipe_delays_no_error() {
    let lock = LockFile::new();
    std::fs::write(&lock, "").expect("the directory should be writable");
    for (words, code) in [
        ("run f /no/such/command", 127),
        // All errors of clap and of locket's own arguments are printed at one place.
        ("nosuch", 64),
        ("run f", 64),
        ("status f/g/h", 66),
        ("lock 99", 66),
        ("flock", 64),
        ("flock --nosuch", 64),
    ] {
        let (mut run, _read) = unread(&lock, &format!("exec $0 {words}"));
        assert_eq!(run.wait().code(), Some(code), "{words}");
    }
}

#[test]
fn l15_a_full_pipe_delays_no_signal() {
    let lock = LockFile::new();
    let _holder = holder(&[], &lock);
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (waiter, _read) = unread(&lock, "exec $0 run --verbose f true");
        let mut waiter = waiter.waiting(&lock);
        waiter.signal(signal);
        waiter.assert_ended_by(signal);
    }
}

/// Starts a waiter whose line is on the screen, and stops the terminal.
#[track_caller]
fn waiter_at_stopped(terminal: &mut Terminal, options: &[&str], path: &str) -> Running {
    let waiter = terminal.waiter("xterm", options, path);
    terminal.until_shown("locket: waiting ");
    terminal.press("\x13");
    waiter
}

#[test]
fn l15_a_stopped_terminal_delays_no_command() {
    let lock = LockFile::new();
    for options in [&[][..], &["-o"], &["-F"], &["--verbose"]] {
        let holder = holder(&[], &lock);
        let mut terminal = Terminal::new();
        let waiter = waiter_at_stopped(&mut terminal, options, &lock);
        holder.end();
        waiter.line();
        terminal.press("\x11");
        // With -F the line is lost with the process that drew it.
        if options != ["-F"] {
            terminal.until_seen("the end of the line", |shown| shown.ends_with("\r\x1b[J"));
        }
        waiter.end();
        if options != ["-F"] {
            assert_eq!(terminal.left(), [""; 0]);
        }
    }
}

#[test]
fn l15_a_stopped_terminal_delays_no_deadline_and_no_signal() {
    let lock = LockFile::new();
    let _holder = holder(&[], &lock);
    let mut terminal = Terminal::new();
    let mut waiter = waiter_at_stopped(&mut terminal, &["-w", "3s"], &lock);
    assert_eq!(waiter.wait().code(), Some(75));
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let mut terminal = Terminal::new();
        let mut waiter = waiter_at_stopped(&mut terminal, &[], &lock);
        waiter.signal(signal);
        waiter.assert_ended_by(signal);
    }
}

/// The checks themselves: an ordinary write to the full pipe blocks.
#[test]
fn an_ordinary_write_blocks() {
    let lock = LockFile::new();
    let (run, read) = unread(&lock, "echo before; echo text >&2; echo after");
    assert_eq!(run.line(), "before");
    let call = format!("/proc/{}/syscall", run.pid());
    let is_write = |call: String| call.starts_with(&format!("{} ", libc::SYS_write));
    until("it is in a write", || std::fs::read_to_string(&call).is_ok_and(is_write));
    // It ends only when the reading end is closed.
    drop(read);
    let _ = run.rest();
}
