//! Many processes use locks at random, are killed and stopped at random, and record evidence.
//!
//! - L1, L2, L3, L5, L7: the calls of all processes, with their times, are the history of a correct
//!   lock, as `locket-model` judges it.
//! - L1, without a clock: a thread in the critical section finds no witness of another there, and no other thread counts
//!   from the same number.
//! - L11: a child that is forked during holds and waits holds nothing, ends no hold of its parent's, and uses the lock as
//!   any other process does.
//! - L9: exclusion is per file, whatever happens to its name, and a guard reports whether its file is current.
//! - The harness itself: it detects locks that do not lock.
//!
//! `LOCKET_STRESS=SECONDS` is the least time of a run. `LOCKET_STRESS_SEED=NUMBER` starts with the round of that seed: the
//! same processes do the same turns, but not at the same instants.
#![cfg(target_os = "linux")]
#![allow(clippy::panic, reason = "that is how a test fails")]

#[path = "../bin/clock.rs"]
mod clock;
#[path = "../support/mod.rs"]
mod support;

mod children;
mod config;
mod controls;
mod critical_section;
mod evidence;
mod fault_injection;
mod free_running;
mod layout;
mod log;
mod moving;
mod program;
mod round;
mod subject;
mod totals;
mod work;

use std::process::exit;

/// The program of a worker process, which the tests start many times. Without the worker's environment it does nothing.
#[test]
#[ignore = "not a test: the program of the worker processes"]
fn worker() {
    if let Some(config) = config::WorkerConfig::received() {
        work::work(&config);
        // The line that the harness prints about this test is not wanted.
        exit(0);
    }
}
