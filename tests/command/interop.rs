//! flock(1) and locket exclude each other, share the lock with each other, and wait for each other.

use std::process::Command;

use crate::lock_file::{LOCKET, LockFile};
use crate::running::{HOLD, Running};

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
    fn start(&self, mode: &str, path: &str) -> Running {
        let words = [self.waiting, &[mode, path, "sh", "-c", HOLD]].concat();
        Running::start(Command::new(words[0]).args(&words[1..]))
    }

    /// Returns whether one attempt finds the lock held.
    #[track_caller]
    fn is_held(&self, mode: &str, path: &str) -> bool {
        let words = [self.trying, &[mode, path, "true"]].concat();
        let output = Command::new(words[0]).args(&words[1..]).output();
        let code = output.expect("it should run").status.code();
        assert!(code == Some(0) || code == Some(self.contended), "another error: {code:?}");
        code == Some(self.contended)
    }
}

#[track_caller]
fn meet(one: &Program, other: &Program) {
    let lock = LockFile::new();
    for (held, wanted, excluded) in
        [("-x", "-x", true), ("-x", "-s", true), ("-s", "-x", true), ("-s", "-s", false)]
    {
        let holder = one.start(held, &lock);
        holder.line();
        assert_eq!(other.is_held(wanted, &lock), excluded, "{held} {wanted}");
        let waiter = excluded.then(|| other.start(wanted, &lock).waiting(&lock));
        holder.end();
        if let Some(waiter) = waiter {
            waiter.line();
            assert!(one.is_held("-x", &lock));
            waiter.end();
        }
        assert!(!one.is_held("-x", &lock));
    }
}

/// Two runs of the same program give the same results as the two different programs.
#[test]
fn flock_and_locket_exclude_each_other() {
    needs!("flock --version");
    meet(&FLOCK, &OURS);
    meet(&OURS, &FLOCK);
    meet(&FLOCK, &FLOCK);
    meet(&OURS, &OURS);
}
