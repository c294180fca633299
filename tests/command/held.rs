//! L15: the lock is held while the command runs,
//! - whatever the command does to its descriptors;
//! - whatever signal ends locket, SIGKILL included, because the canary has a copy of the descriptor;
//! - and it is free when the command has ended. Then the canary has ended too.
//!
//! The canary has no stream open, and is not named locket.

#[cfg(target_os = "linux")]
use std::collections::BTreeSet;
#[cfg(target_os = "linux")]
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

#[cfg(target_os = "linux")]
use crate::running::children;
use crate::running::{LOCKET, Running, has, is_free, is_there, make_script};
use crate::support::{Scratch, until};

/// Commands that run on after they have closed the descriptors that they inherited.
const CLOSERS: [(&str, &str, &str); 3] = [
    ("sh", "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; echo; read _", "-c"),
    // Of the shells, bash can name descriptors above 9.
    ("bash", "exec 10>/dev/null 11>/dev/null; echo; read _", "-c"),
    (
        "python3",
        "import os, sys; os.closerange(3, 1000); print(flush=True); sys.stdin.readline()",
        "-c",
    ),
];

#[test]
fn l15_the_lock_is_held_after_the_command_closes_its_descriptors() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for (program, script, option) in CLOSERS {
        let check =
            format!("l15_the_lock_is_held_after_the_command_closes_its_descriptors ({program})");
        if !has(&check, program, &[option, ""]) {
            continue;
        }
        for options in [&[][..], &["-o"], &["-s"]] {
            let mut command = Command::new(LOCKET);
            command.arg("run").args(options).arg(&path).args([program, option, script]);
            let run = Running::start(&mut command);
            run.line();
            assert!(!is_free(&path), "{program} {options:?}");
            run.end();
            assert!(is_free(&path), "{program} {options:?}");
        }
    }
}

/// ssh closes the descriptors that it inherits before it does anything else. No server is needed for that.
#[test]
fn l15_the_lock_is_held_while_ssh_runs() {
    if !has("l15_the_lock_is_held_while_ssh_runs", "ssh", &["-V"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let proxy = scratch.join("proxy");
    make_script(&proxy, "#!/bin/sh\ntouch \"$1\"\nexec sleep 1000\n");
    for (options, is_held) in [(&[][..], true), (&["-o"], true), (&["-F"], false)] {
        let started = scratch.join("started");
        let _ = std::fs::remove_file(&started);
        // The shell of ssh replaces itself by the proxy with `exec`, so it must be one command.
        let proxy = format!("ProxyCommand={} {}", proxy.display(), started.display());
        let mut command = Command::new(LOCKET);
        command.arg("run").args(options).arg(&path);
        command.args(["ssh", "-F", "/dev/null", "-o", &proxy, "nowhere"]);
        let mut run = Running::start(&mut command);
        until("ssh has started its proxy", || started.exists());
        assert_eq!(is_free(&path), !is_held, "{options:?}");
        run.signal_all(Signal::SIGTERM);
        run.wait();
        until("the lock is free", || is_free(&path));
    }
}

/// The checks of this file must fail for a command that alone has the lock.
#[test]
fn l15_with_no_fork_closing_the_descriptors_frees_the_lock() {
    let check = "l15_with_no_fork_closing_the_descriptors_frees_the_lock";
    let (program, script, option) = CLOSERS[1];
    if !has(check, program, &[option, ""]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut command = Command::new(LOCKET);
    command.args(["run", "-F"]).arg(&path).args([program, option, script]);
    let run = Running::start(&mut command);
    run.line();
    assert!(is_free(&path));
    run.end();
}

#[test]
fn l15_the_lock_is_held_until_the_command_ends_if_locket_is_killed() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let close = "exec 3>&- 10>&-; echo $$; read _; echo end; read _";
    for options in [&[][..], &["-o"]] {
        let mut command = Command::new(LOCKET);
        let shell =
            if Command::new("bash").arg("--version").output().is_ok() { "bash" } else { "sh" };
        command.arg("run").args(options).arg(&path).args([shell, "-c", close]);
        let mut run = Running::start(&mut command);
        let command: u32 = run.line().parse().expect("it is a number");
        run.kill();
        assert!(!is_free(&path), "{options:?}");
        run.tell("");
        assert_eq!(run.line(), "end");
        assert!(!is_free(&path), "{options:?}");
        run.hang_up();
        until("the lock is free", || is_free(&path));
        until("the command has ended", || !is_there(command));
    }
}

/// The canary keeps no descriptor open: neither an output that another process reads to its end, nor any other.
#[test]
fn the_canary_has_no_stream_open() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut command = Command::new(LOCKET);
    command.args(["run", "-o"]).arg(&path).args(["sh", "-c", "echo $$; exec >&-; read _"]);
    let mut run = Running::start(&mut command);
    run.line();
    run.kill();
    // The command has closed its output, and locket has ended.
    assert_eq!(run.rest(), [""; 0]);
    assert!(!is_free(&path));
}

#[test]
#[cfg(target_os = "linux")]
fn the_canary_is_not_called_locket() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut command = Command::new(LOCKET);
    command.arg("run").arg(&path).args(["sh", "-c", "echo $$; read _; :", "some words"]);
    let run = Running::start(&mut command);
    let command: u32 = run.line().parse().expect("it is a number");
    let canary = children(run.pid()).into_iter().find(|&child| child != command);
    let canary = canary.expect("there is a canary");
    let read = |what: &str| {
        let text = fs::read(format!("/proc/{canary}/{what}")).expect("it should exist");
        String::from_utf8_lossy(&text).replace('\0', " ").trim_end().to_string()
    };
    until("the canary has its name", || read("comm") == "canary");
    until("the canary has its command line", || {
        let words = read("cmdline");
        words.starts_with("canary ") && words.ends_with("some words") && !words.contains("locket")
    });
    until("the canary has closed other descriptors", || {
        let open = fs::read_dir(format!("/proc/{canary}/fd")).expect("it should exist").count();
        open <= 4
    });
    assert_eq!(
        fs::read_link(format!("/proc/{canary}/cwd")).expect("it should exist"),
        std::path::Path::new("/")
    );
    if has("the_canary_is_not_called_locket", "pgrep", &["--version"]) {
        let found = |arguments: &[&str]| {
            let group = run.pid().to_string();
            let output = Command::new("pgrep").args(["-g", &group]).args(arguments).output();
            let text = output.expect("it should run").stdout;
            let text = String::from_utf8_lossy(&text).into_owned();
            let found = text.lines().map(|line| line.parse::<u32>().expect("it is a number"));
            found.collect::<BTreeSet<_>>()
        };
        assert_eq!(found(&["locket"]), [run.pid()].into());
        assert_eq!(found(&["-f", "locket-command run"]), [run.pid()].into());
        // A pattern that finds locket and the command finds the canary too.
        assert_eq!(found(&["-f", "some words"]), [run.pid(), command, canary].into());
    }
    run.end();
    assert!(!is_there(canary));

    // The canary's command line has the string of `-c`, wherever that stands in locket's, and not the shell.
    let mut command = Command::new(LOCKET);
    command.arg("run").arg(&path).args(["-c", "echo $$; read some_word; :", "-w", "1h"]);
    let run = Running::start(command.env("SHELL", "/bin/sh"));
    let command: u32 = run.line().parse().expect("it is a number");
    let canary = children(run.pid()).into_iter().find(|&child| child != command);
    let words = || {
        let words = fs::read(format!("/proc/{}/cmdline", canary.expect("there is one")));
        let words = String::from_utf8_lossy(&words.expect("it should exist")).into_owned();
        words.split('\0').filter(|word| !word.is_empty()).map(String::from).collect::<Vec<_>>()
    };
    until("the canary has its command line", || {
        words() == ["canary", "echo $$; read some_word; :"]
    });
}

/// If no process can be created for the canary, the command runs nevertheless.
#[test]
#[cfg(target_os = "linux")]
fn without_a_canary_the_command_runs() {
    let check = "without_a_canary_the_command_runs";
    if !has(check, "strace", &["-qq", "true"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut command = Command::new("strace");
    // strace stops threads at each signal, so it traces only the calls that matter.
    command.args(["-qq", "-o", "/dev/null", "-e", "trace=clone,fork", "-e", "signal=none"]);
    command.args(["-e", "inject=clone,fork:error=EAGAIN:when=2+", LOCKET, "run", "-o"]).arg(&path);
    command.args(["sh", "-c", "trap 'echo term; exit 3' TERM; echo $$; while read _; do :; done"]);
    let mut run = Running::start(&mut command);
    let command: u32 = run.line().parse().expect("it is a number");
    let locket = children(run.pid())[0];
    assert_eq!(children(locket), [command]);
    assert!(!is_free(&path));
    // A signal of another process is passed on.
    nix::sys::signal::kill(crate::running::pid(locket), Signal::SIGTERM).expect("it should exist");
    assert_eq!(run.line_when_nudged(), "term");
    assert_eq!(run.wait().code(), Some(3));
    assert!(is_free(&path));
}

#[test]
fn the_lock_is_free_before_locket_ends() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let start = Instant::now();
    let mut turns = 0;
    while turns < 20 || start.elapsed() < Duration::from_millis(200) {
        let mut command = Command::new(LOCKET);
        command.arg("run").args(["-o"].iter().take(turns % 2)).arg(&path).arg("true");
        assert_eq!(command.status().expect("it should run").code(), Some(0));
        assert!(is_free(&path));
        turns += 1;
    }
}
