//! L15: the lock is held while the command runs,
//! - whatever the command does to its descriptors;
//! - whatever signal ends locket, SIGKILL included, because the canary has a copy of the descriptor;
//! - while a process that the command left running has the lock, as under flock(1), but not with `-o`;
//! - and it is free when the command has ended in any way. Then the canary has ended too, and both are reaped.
//!
//! The canary has no stream open, and is not named locket.

#[cfg(target_os = "linux")]
use std::collections::BTreeSet;
#[cfg(target_os = "linux")]
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lock_file::{LOCKET, LockFile, WAYS, has, is_free, run};
#[cfg(target_os = "linux")]
use crate::running::children;
use crate::running::{HOLD, Running, holder, is_there, start, waiter};
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
    for options in [&[][..], &["-o"]] {
        let mut run = start(options, &lock, &[shell, "-c", close]);
        let command: u32 = run.line().parse().expect("it is a number");
        run.kill();
        assert!(!is_free(&lock), "{options:?}");
        run.tell("");
        assert_eq!(run.line(), "end");
        assert!(!is_free(&lock), "{options:?}");
        run.hang_up();
        until("the lock is free", || is_free(&lock));
        until("the command has ended", || !is_there(command));
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

/// Returns the command and the canary of a locket whose command prints its process id.
#[cfg(target_os = "linux")]
#[track_caller]
fn canary(run: &Running) -> (u32, u32) {
    let command: u32 = run.line().parse().expect("it is a number");
    let canary = children(run.pid()).into_iter().find(|&child| child != command);
    (command, canary.expect("there is a canary"))
}

#[test]
#[cfg(target_os = "linux")]
fn the_canary_is_not_called_locket() {
    let lock = LockFile::new();
    let run = start(&[], &lock, &["sh", "-c", "echo $$; read _; :", "some words"]);
    let (command, canary_id) = canary(&run);
    let read = |process: u32, what: &str| {
        let text = fs::read(format!("/proc/{process}/{what}")).expect("it should exist");
        let text = String::from_utf8_lossy(&text).into_owned();
        text.trim_end().split('\0').filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ")
    };
    until("the canary has its name", || read(canary_id, "comm") == "canary");
    until("the canary has its command line", || {
        let words = read(canary_id, "cmdline");
        words.starts_with("canary ") && words.ends_with("some words") && !words.contains("locket")
    });
    until("the canary has closed other descriptors", || {
        fs::read_dir(format!("/proc/{canary_id}/fd")).expect("it should exist").count() <= 4
    });
    let directory = fs::read_link(format!("/proc/{canary_id}/cwd")).expect("it should exist");
    assert_eq!(directory, std::path::Path::new("/"));
    if has("the_canary_is_not_called_locket", "pgrep --version") {
        let found = |arguments: &[&str]| {
            let group = run.pid().to_string();
            let output = Command::new("pgrep").args(["-g", &group]).args(arguments).output();
            let text = String::from_utf8_lossy(&output.expect("it should run").stdout).into_owned();
            let found = text.lines().map(|line| line.parse::<u32>().expect("it is a number"));
            found.collect::<BTreeSet<_>>()
        };
        assert_eq!(found(&["locket"]), [run.pid()].into());
        assert_eq!(found(&["-f", "locket-command run"]), [run.pid()].into());
        // A pattern that finds locket and the command finds the canary too.
        assert_eq!(found(&["-f", "some words"]), [run.pid(), command, canary_id].into());
    }
    run.end();
    assert!(!is_there(canary_id));

    // The canary's command line has the string of `-c`, wherever that stands in locket's, and not the shell.
    let mut command = Command::new(LOCKET);
    command.args(["run", &lock, "-c", "echo $$; read some_word; :", "-w", "1h"]);
    let run = Running::start(command.env("SHELL", "/bin/sh"));
    let (_, canary) = canary(&run);
    until("the canary has its command line", || {
        read(canary, "cmdline") == "canary echo $$; read some_word; :"
    });
}

/// If no process can be created for the canary, the command runs nevertheless.
#[test]
#[cfg(target_os = "linux")]
fn without_a_canary_the_command_runs() {
    needs!("strace -qq true");
    let lock = LockFile::new();
    let mut command = Command::new("strace");
    // strace stops threads at each signal, so it traces only the calls that matter.
    command.args(["-qq", "-o", "/dev/null", "-e", "trace=clone,fork", "-e", "signal=none"]);
    command.args(["-e", "inject=clone,fork:error=EAGAIN:when=2+", LOCKET, "run", "-o", &lock]);
    let listen = "trap 'echo term; exit 3' TERM; echo $$; while :; do sleep 0.01; done";
    command.args(["sh", "-c", listen]);
    let mut run = Running::start(&mut command);
    let command: u32 = run.line().parse().expect("it is a number");
    let locket = children(run.pid())[0];
    assert_eq!(children(locket), [command]);
    assert!(!is_free(&lock));
    // A signal of another process is passed on.
    nix::sys::signal::kill(crate::running::pid(locket), Signal::SIGTERM).expect("it should exist");
    assert_eq!(run.line(), "term");
    assert_eq!(run.wait().code(), Some(3));
    assert!(is_free(&lock));
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

/// The first process of a container need not reap the orphans that become its children.
#[test]
#[cfg(target_os = "linux")]
fn the_command_and_the_canary_are_reaped() {
    needs!("strace -qq true");
    let lock = LockFile::new();
    let options = ["-e", "trace=wait4", "-e", "signal=none"];
    let (run, log) = lock.strace(&options, &["run", &lock, "true"]);
    run.code(0);
    let reaped = |how: &str| log.lines().filter(|line| line.contains(how)).count();
    assert_eq!((reaped("WIFEXITED(s)"), reaped("WTERMSIG(s) == SIGKILL")), (1, 1), "{log}");
}
