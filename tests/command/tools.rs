//! Tools that run commands, over locket and under it: the lock is held while they run, and their exit status is passed on.

use std::process::Command;

use crate::lock_file::{LOCKET, LockFile, has, is_free};
use crate::running::Running;

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
