//! L15: the lock is held while the command runs,
//! - whatever the command does to its descriptors;
//! - whatever signal ends locket, SIGKILL included, because the canary has a copy of the descriptor;
//! - while a process that the command left running has the lock, as under flock(1), but not with `-o`;
//! - and it is free when the command has ended in any way.
//!
//! The canary has no stream open. `canary` checks more about it.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lock_file::{LockFile, WAYS, has, is_free, run};
use crate::running::{HOLD, holder, is_there, start, waiter};
use crate::support::until;

/// Commands that hold the lock, and whether they close all descriptors that they inherited, as ssh does. Of the shells, only
/// bash can name descriptors above 9.
const COMMANDS: [(&str, &str, bool); 4] = [
    ("sh", HOLD, false),
    ("sh", "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; echo; read _", false),
    ("bash", "exec 10>/dev/null 11>/dev/null; echo; read _", true),
    (
        "python3",
        "import os, sys; os.closerange(3, 1000); print(flush=True); sys.stdin.readline()",
        true,
    ),
];

#[test]
fn l15_the_lock_is_held_until_the_command_ends() {
    let lock = LockFile::new();
    for (program, script, closes_all) in COMMANDS {
        let check = format!("l15_the_lock_is_held_until_the_command_ends ({program})");
        if program != "sh" && !has(&check, &format!("{program} --version")) {
            continue;
        }
        for options in [&[][..], &["-o"], &["-s"], &["-F"]] {
            let run = start(options, &lock, &[program, "-c", script]);
            run.line();
            // A command that replaces locket alone has the lock.
            let is_closed = closes_all && options == ["-F"];
            assert_eq!(is_free(&lock), is_closed, "{script} {options:?}");
            run.end();
            assert!(is_free(&lock), "{script} {options:?}");
        }
    }
}

#[test]
fn l15_the_lock_is_held_until_the_command_ends_if_locket_is_killed() {
    let lock = LockFile::new();
    let close = "exec 3>&- 10>&-; echo $$; read _; echo end; read _";
    let has_bash = Command::new("bash").arg("--version").output().is_ok();
    let shell = if has_bash { "bash" } else { "sh" };
    // A directory is locked in another way.
    for path in [&*lock, &lock.directory().to_string_lossy()] {
        let is_free = || run(&["-qn"], path, &["true"]).get_output().status.success();
        for options in [&[][..], &["-o"]] {
            let mut run = start(options, path, &[shell, "-c", close]);
            let command: u32 = run.line().parse().expect("it is a number");
            run.kill();
            assert!(!is_free(), "{path} {options:?}");
            run.tell("");
            assert_eq!(run.line(), "end");
            assert!(!is_free(), "{path} {options:?}");
            run.hang_up();
            until("the lock is free", is_free);
            until("the command has ended", || !is_there(command));
        }
    }
}

/// The canary keeps no descriptor open: neither an output that another process reads to its end, nor any other.
#[test]
fn the_canary_has_no_stream_open() {
    let lock = LockFile::new();
    let mut run = start(&["-o"], &lock, &["sh", "-c", "echo $$; exec >&-; read _"]);
    run.line();
    run.kill();
    // The command has closed its output, and locket has ended.
    assert_eq!(run.rest(), [""; 0]);
    assert!(!is_free(&lock));
}

#[test]
fn the_lock_is_free_before_locket_ends() {
    let lock = LockFile::new();
    let start = Instant::now();
    let mut turns = 0;
    while turns < 20 || start.elapsed() < Duration::from_millis(200) {
        run(&["-o"][..turns % 2], &lock, &["true"]).code(0);
        assert!(is_free(&lock));
        turns += 1;
    }
}

#[test]
fn killing_the_command_frees_the_lock() {
    let lock = LockFile::new();
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGHUP] {
        for options in WAYS {
            let mut holder = holder(options, &lock);
            assert!(!is_free(&lock));
            holder.signal_all(signal);
            holder.assert_ended_by(signal);
            until("the lock is free", || is_free(&lock));
        }
    }
}

#[test]
fn a_killed_waiter_leaves_nothing_behind() {
    let lock = LockFile::new();
    let holder = holder(&[], &lock);
    for options in [&[][..], &["-w", "1h"], &["-F"]] {
        let mut waiter = waiter(options, &lock);
        waiter.signal(Signal::SIGTERM);
        waiter.assert_ended_by(Signal::SIGTERM);
    }
    assert!(!is_free(&lock));
    holder.end();
    assert!(is_free(&lock));
}

#[test]
fn a_process_left_running_keeps_the_lock_but_not_with_close() {
    let lock = LockFile::new();
    for (options, keeps) in [(&[][..], true), (&["-o"], false)] {
        // The process that is left reads the command's input.
        let leave = "exec 9<&0; cat <&9 >/dev/null & echo $!";
        let mut run = start(options, &lock, &["--", "sh", "-c", leave]);
        let left = run.line().parse().expect("it is a number");
        assert_eq!(run.wait().code(), Some(0));
        assert_eq!(is_free(&lock), !keeps);
        assert!(is_there(left));
        run.hang_up();
        until("the lock is free", || is_free(&lock));
    }
}
