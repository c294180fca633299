//! flock(1) and locket exclude each other, share the lock with each other, and wait for each other.

use std::path::Path;
use std::process::Command;

use crate::running::{HOLD, LOCKET, Running, has, locket_run};
use crate::support::{Scratch, until_waiting};

/// How a program acquires the lock, with a wait and without, and its exit code for contention.
struct Program {
    waiting: &'static [&'static str],
    trying: &'static [&'static str],
    contended: i32,
}

const FLOCK: Program =
    Program { waiting: &["flock", "-F"], trying: &["flock", "-n"], contended: 1 };
const OURS: Program =
    Program { waiting: &[LOCKET, "run"], trying: &[LOCKET, "run", "-n"], contended: 75 };

impl Program {
    #[track_caller]
    fn start(&self, mode: &str, path: &Path) -> Running {
        let mut command = Command::new(self.waiting[0]);
        command.args(&self.waiting[1..]).arg(mode).arg(path).args(["sh", "-c", HOLD]);
        Running::start(&mut command)
    }

    /// Returns whether one attempt finds the lock held.
    #[track_caller]
    fn is_held(&self, mode: &str, path: &Path) -> bool {
        let mut command = Command::new(self.trying[0]);
        let output = command.args(&self.trying[1..]).arg(mode).arg(path).arg("true").output();
        match output.expect("it should run").status.code() {
            Some(0) => false,
            code if code == Some(self.contended) => true,
            code => panic!("an error of another kind: {code:?}"),
        }
    }
}

#[track_caller]
fn meet(one: &Program, other: &Program) {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for (held, wanted, excluded) in
        [("-x", "-x", true), ("-x", "-s", true), ("-s", "-x", true), ("-s", "-s", false)]
    {
        let holder = one.start(held, &path);
        holder.line();
        assert_eq!(other.is_held(wanted, &path), excluded, "{held} {wanted}");
        if excluded {
            let waiter = other.start(wanted, &path);
            until_waiting(waiter.pid(), &path, 1);
            holder.end();
            waiter.line();
            assert!(one.is_held("-x", &path));
            waiter.end();
        } else {
            holder.end();
        }
        assert!(!one.is_held("-x", &path));
    }
}

#[test]
fn flock_excludes_locket() {
    if has("flock_excludes_locket", "flock", &["--version"]) {
        meet(&FLOCK, &OURS);
    }
}

#[test]
fn locket_excludes_flock() {
    if has("locket_excludes_flock", "flock", &["--version"]) {
        meet(&OURS, &FLOCK);
    }
}

/// Two runs of the same program give the same results as the two different programs.
#[test]
fn each_program_excludes_itself() {
    meet(&OURS, &OURS);
    if has("each_program_excludes_itself", "flock", &["--version"]) {
        meet(&FLOCK, &FLOCK);
    }
}

/// A script can test whether it runs under the lock by another attempt.
#[test]
fn a_command_under_locket_sees_the_lock_held() {
    if !has("a_command_under_locket_sees_the_lock_held", "flock", &["--version"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for options in [&[][..], &["-o"]] {
        let mut run = locket_run();
        run.args(options).arg(&path).args(["flock", "-n", "-E", "9"]).arg(&path).arg("true");
        run.assert().code(9);
    }
}
