//! Many processes that use locks at random, are killed and stopped at random, and leave evidence.
//!
//! - L1, L2, L3, L5, L7: the calls of all processes, with their times, are the history of a correct
//!   lock, as `locket-model` judges it.
//! - L1, by no clock: whoever is in the critical section finds nobody's witness there, and its count
//!   is nobody else's.
//! - L11: a child that is forked in the middle of it holds nothing, ends no hold of its parent's,
//!   and uses the lock as any other process does.
//! - L9: exclusion is per file, whatever happens to its name, and a guard tells what happened.
//! - The harness itself: locks that are none are convicted.
//!
//! `LOCKET_STRESS=SECONDS` is how long it lasts at least, `LOCKET_STRESS_SEED=NUMBER` begins with
//! the round of that seed: the same processes doing the same turns, though never at the same
//! instants.
#![cfg(target_os = "linux")]
#![allow(clippy::panic, reason = "that is how a test fails")]

#[path = "../bin/clock.rs"]
mod clock;
#[path = "../support/mod.rs"]
mod support;

mod children;
mod controls;
mod evidence;
mod free_running;
mod held;
mod log;
mod mistreatment;
mod moving;
mod orders;
mod program;
mod round;
mod subject;
mod tally;
mod terrain;
mod work;

use std::process::exit;

/// The process that the tests start many of; by hand it does nothing.
#[test]
#[ignore = "no test, but the process that the tests start"]
fn worker() {
    if let Some(orders) = orders::Orders::received() {
        work::work(&orders);
        // The harness has nothing to say about it.
        exit(0);
    }
}
