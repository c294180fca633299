//! L15: locket never waits for its output to be read. Standard error is a full pipe that no process reads, or a terminal
//! that Ctrl-S has stopped:
//! - a deadline is kept, an acquired lock is used immediately, the command starts, locket ends;
//! - a signal ends the wait;
//! - and the line on the screen is erased when the terminal goes on.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use nix::unistd::pipe2;

use crate::running::{HOLD, LOCKET, Running, is_free};
use crate::screen::{Terminal, left};
use crate::support::{Scratch, until_waiting};

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

#[track_caller]
fn locket(options: &[&str], path: &Path, stderr: OwnedFd) -> Running {
    let mut command = Command::new(LOCKET);
    command.arg("run").args(options).arg(path).args(["sh", "-c", HOLD]).stderr(stderr);
    Running::start(&mut command)
}

#[test]
fn l15_a_full_pipe_delays_no_deadline() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _holder = Running::holder(&path);
    let (_read, write) = full_pipe();
    assert_eq!(locket(&["-w", "200ms", "--verbose"], &path, write).wait().code(), Some(75));
    let (_read, write) = full_pipe();
    assert_eq!(locket(&["-n"], &path, write).wait().code(), Some(75));
}

#[test]
fn l15_a_full_pipe_delays_no_command() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for options in [&["--verbose"][..], &["--verbose", "-F"], &["--hold-warning", "1ms"]] {
        let (_read, write) = full_pipe();
        let free = locket(options, &path, write);
        free.line();
        free.end();

        let holder = Running::holder(&path);
        let (_read, write) = full_pipe();
        let waiter = locket(options, &path, write);
        until_waiting(waiter.pid(), &path, 1);
        holder.end();
        waiter.line();
        waiter.end();
        assert!(is_free(&path));
    }
}

#[test]
fn l15_a_full_pipe_delays_no_end() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let (_read, write) = full_pipe();
    let mut command = Command::new(LOCKET);
    command.arg("run").arg(&path).arg("/no/such/command").stderr(write);
    assert_eq!(Running::start(&mut command).wait().code(), Some(127));
}

/// Errors about the arguments, and errors of the commands that print an answer.
#[test]
fn l15_a_full_pipe_delays_no_error() {
    let scratch = Scratch::new();
    for (words, code) in [
        (&[][..], 64),
        (&["nosuch"], 64),
        (&["run"], 64),
        (&["run", "f"], 64),
        (&["run", "--nosuch", "f", "true"], 64),
        (&["run", "-w", "soon", "f", "true"], 64),
        (&["wait"], 64),
        (&["status"], 64),
        (&["status", "f/g/h"], 66),
        (&["lock", "99"], 66),
        (&["man", "nosuch"], 64),
        (&["completions", "nosuch"], 64),
        (&["flock"], 64),
        (&["flock", "--nosuch"], 64),
    ] {
        std::fs::write(scratch.join("f"), "").expect("the directory should be writable");
        let (_read, write) = full_pipe();
        let mut command = Command::new(LOCKET);
        command.args(words).current_dir(scratch.path()).stderr(write);
        assert_eq!(Running::start(&mut command).wait().code(), Some(code), "{words:?}");
    }
}

#[test]
fn l15_a_full_pipe_delays_no_signal() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _holder = Running::holder(&path);
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let (_read, write) = full_pipe();
        let mut waiter = locket(&["--verbose"], &path, write);
        until_waiting(waiter.pid(), &path, 1);
        waiter.signal(signal);
        assert_eq!(waiter.wait().signal(), Some(signal as i32));
    }
}

/// Starts a waiter whose line is on the screen, and stops the terminal.
#[track_caller]
fn waiter_at_stopped(terminal: &mut Terminal, options: &[&str], path: &Path) -> Running {
    let mut command = Command::new(LOCKET);
    command.arg("run").args(options).arg(path).args(["sh", "-c", HOLD]);
    command.env("TERM", "xterm").stderr(terminal.side());
    let waiter = Running::start(&mut command);
    drop(command);
    terminal.until_shown("locket: waiting ");
    terminal.press("\x13");
    waiter
}

#[test]
fn l15_a_stopped_terminal_delays_no_command() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for options in [&[][..], &["-o"], &["-F"], &["--verbose"]] {
        let holder = Running::holder(&path);
        let mut terminal = Terminal::new();
        let waiter = waiter_at_stopped(&mut terminal, options, &path);
        holder.end();
        waiter.line();
        terminal.press("\x11");
        if options == ["-F"] {
            // The line is lost with the process that drew it.
            waiter.end();
            continue;
        }
        terminal.until_seen("the end of the line", |shown| shown.ends_with("\r\x1b[J"));
        waiter.end();
        assert_eq!(left(&terminal.all()), [""; 0]);
    }
}

#[test]
fn l15_a_stopped_terminal_delays_no_deadline() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _holder = Running::holder(&path);
    let mut terminal = Terminal::new();
    let mut waiter = waiter_at_stopped(&mut terminal, &["-w", "3s"], &path);
    assert_eq!(waiter.wait().code(), Some(75));
}

#[test]
fn l15_a_stopped_terminal_delays_no_signal() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _holder = Running::holder(&path);
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let mut terminal = Terminal::new();
        let mut waiter = waiter_at_stopped(&mut terminal, &[], &path);
        waiter.signal(signal);
        assert_eq!(waiter.wait().signal(), Some(signal as i32));
    }
}

/// The checks themselves: an ordinary write to the full pipe blocks.
#[test]
fn an_ordinary_write_blocks() {
    let (read, write) = full_pipe();
    let mut command = Command::new("sh");
    command.args(["-c", "echo before; echo text >&2; echo after"]).stderr(write);
    let run = Running::start(&mut command);
    drop(command);
    assert_eq!(run.line(), "before");
    // It goes on only when the reading end is closed.
    drop(read);
    let _ = run.maybe_line();
}
