//! Tools that run commands, over locket and under it: their commands exclude each other, the lock is held while they run,
//! and their exit status is passed on.

use std::process::Command;

use crate::lock_file::{LOCKET, LockFile, has, is_free};
use crate::running::Running;
use crate::support::until;

/// Each command creates and removes a directory. Two commands at the same time collide there.
const ALONE: &str = "mkdir inside && sleep 0.002 && rmdir inside";

#[test]
fn l1_commands_of_xargs_exclude_each_other() {
    needs!("xargs --version");
    let lock = LockFile::new();
    let turns = |run: &str| lock.sh(&format!("seq 40 | xargs -P 8 -n 1 {run} sh -c '{ALONE}'"));
    turns("$L run f").code(0).stdout("").stderr("");
    turns("$L run -o f").code(0).stdout("").stderr("");
    // Without locket they collide.
    turns("env").code(123);
}

#[test]
fn l1_recipes_of_make_exclude_each_other() {
    needs!("make --version");
    let lock = LockFile::new();
    let goals: Vec<String> = (0..30).map(|number| format!("t{number}")).collect();
    let made = |run: &str| {
        let makefile = format!("all: {}\nt%:\n\t@{run} sh -c '{ALONE}'\n", goals.join(" "));
        std::fs::write(lock.beside("Makefile"), makefile).expect("it should be writable");
        lock.sh("make -j6")
    };
    made(&format!("{LOCKET} run f")).code(0).stdout("").stderr("");
    // Without locket they collide.
    made("env").code(2);
}

/// How tools run a script of a shell, and in place of SCRIPT, `true`.
const TOOLS: [&str; 9] = [
    "env sh -c SCRIPT",
    "setsid -w sh -c SCRIPT",
    "script -qec SCRIPT /dev/null",
    "ssh-agent sh -c SCRIPT",
    "su -s /bin/sh root -c SCRIPT",
    "sudo -n sh -c SCRIPT",
    "timeout 100 sh -c SCRIPT",
    "nohup sh -c SCRIPT",
    "unshare --pid --fork sh -c SCRIPT",
];

#[test]
fn l15_the_lock_is_held_under_and_over_a_tool() {
    let lock = LockFile::new();
    let script = "echo ready; read x; exit 7";
    for tool in TOOLS {
        let check = format!("l15_the_lock_is_held_under_and_over_a_tool ({tool})");
        if !has(&check, &tool.replace("SCRIPT", "true")) {
            continue;
        }
        let words = |script: &str| {
            tool.split(' ').map(|it| it.replace("SCRIPT", script)).collect::<Vec<_>>()
        };
        // The agent runs for some seconds after its command, and would keep the lock.
        let options = if tool.starts_with("ssh-agent") { &["-o"][..] } else { &[] };
        let mut under = Command::new(LOCKET);
        under.arg("run").args(options).arg(&lock).args(words(script));
        let over = words(&format!("exec {LOCKET} run {lock} sh -c '{script}'"));
        let mut over_it = Command::new(&over[0]);
        over_it.args(&over[1..]);
        for command in [&mut under, &mut over_it] {
            let mut run = Running::start(command);
            // script(1) shows the output as a terminal does.
            assert_eq!(run.line().trim_end(), "ready", "{tool}");
            assert!(!is_free(&lock), "{tool}");
            run.tell("word");
            assert_eq!(run.wait().code(), Some(7), "{tool}");
            assert!(is_free(&lock), "{tool}");
        }
    }
}

/// A tmux server outlives the command that started it. It keeps the lock that it inherited, but not with `-o`.
#[test]
fn a_server_keeps_the_inherited_lock() {
    needs!("tmux -V");
    let lock = LockFile::new();
    for (options, keeps) in [("", true), ("-o", false)] {
        let tmux = "TERM=xterm tmux -S ./tmux -f /dev/null";
        let run = tmux.replace("tmux -S", &format!("$L run {options} f tmux -S"));
        lock.sh(&format!("{run} new-session -d 'sleep 1000'")).code(0);
        assert_eq!(is_free(&lock), !keeps, "{options}");
        lock.sh(&format!("{tmux} kill-server")).code(0);
        until("the lock is free", || is_free(&lock));
    }
}
