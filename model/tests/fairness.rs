//! Fairness: what the queue promises and what it does not. The explorer finds each trace.
#![allow(clippy::panic, reason = "that is how a test fails")]

use crate::worlds::world;
use locket_model::explorer::{Lasso, explore, find_lasso, reachable};
use locket_model::protocol::{Action, Protocol, Step};
use locket_model::spec::Mode;
use locket_model::state::{Pc, Process, State};

fn queued(state: &State) -> bool {
    Protocol::tracked(state).is_some_and(|it| it.pc == Pc::Queued)
}

/// Returns the same world without barging. The lock is then not correct: a try fails although no hold
/// exists. This function checks that the refinement finds that.
fn without_barging(system: &Protocol) -> Protocol {
    let fifo = Protocol { barging: false, ..system.clone() };
    let violation = explore(&fifo).expect_err("a try that fails without a holder");
    assert_eq!(violation.broken.law, "refinement", "{violation}");
    assert!(violation.trace.last().is_some_and(|it| it.ends_with("which is locked")));
    Protocol { refinement: false, ..fifo }
}

/// Returns the largest number of conflicting grants to other threads while one thread is queued.
fn most_overtaken(system: &Protocol) -> u8 {
    let states = reachable(system).unwrap_or_else(|it| panic!("{it}"));
    let overtaken = |state: &State| Protocol::tracked(state).map_or(0, |it| it.ghost.overtaken);
    states.iter().map(overtaken).max().unwrap_or(0)
}

/// Without barging, only the threads ahead of a queued thread are granted the lock before it.
#[test]
fn without_barging_only_threads_ahead_in_the_queue_overtake() {
    for (name, size) in [("plain", (2, 1)), ("plain", (2, 2)), ("plain", (3, 2)), ("modes", (2, 2))]
    {
        let system = Protocol { track: Some(9), ..without_barging(&world(name, size.0, size.1)) };
        let others = size.0 * size.1 - 1;
        let most = usize::from(most_overtaken(&system));
        println!("{name} {size:?} without barging: overtaken at most {most} times by {others}");
        assert_eq!(most, others, "{name} {size:?}");
    }
}

/// With barging, as in `flock`, overtaking has no bound.
#[test]
fn with_barging_overtaking_has_no_bound() {
    for bound in [3, 6, 9] {
        let system = Protocol { track: Some(bound), ..world("plain", 2, 1) };
        assert_eq!(most_overtaken(&system), bound);
    }
}

fn starvation(system: &Protocol, stays: impl Fn(&State) -> bool) -> Option<Lasso> {
    let system = Protocol { track: Some(0), symmetry: false, ..system.clone() };
    let others_are_granted = |state: &State, step: &Step| {
        matches!(step.action, Action::Locks(..))
            && !state.processes[step.process].threads[step.thread].ghost.tracked
    };
    find_lasso(&system, stays, others_are_granted).unwrap_or_else(|it| panic!("{it}"))
}

/// A process that re-acquires in a loop can do so forever before a woken waiter runs. The lock is free
/// for an instant each time, so a waiter that runs in such an instant gets it.
#[test]
fn a_process_that_reacquires_in_a_loop_may_overtake_forever() {
    let lasso = starvation(&world("plain", 2, 1), queued).expect("a lasso");
    println!("{lasso}");
    assert!(lasso.cycle.iter().any(|line| line == "process 2 thread 1: locks file A (exclusive)"));
    assert!(
        lasso.cycle.iter().all(|line| line.starts_with("process 2")),
        "the tracked thread only waits"
    );

    assert_eq!(
        starvation(&without_barging(&world("plain", 2, 1)), queued),
        None,
        "not without barging"
    );
}

/// Readers with overlapping holds exclude a writer forever. The lock is never free in the meantime, so a
/// fast writer is excluded too.
#[test]
fn overlapping_readers_may_starve_a_writer() {
    let never_free = |state: &State| {
        let waits = Protocol::tracked(state)
            .is_some_and(|it| it.pc == Pc::Queued && it.call.mode == Mode::Exclusive);
        let mut open_files = state.processes.iter().flat_map(Process::open_files);
        waits && open_files.any(|it| it.lock == Some(Mode::Shared))
    };
    let lasso = starvation(&world("modes", 3, 1), never_free).expect("a lasso");
    println!("{lasso}");
    let locks = |line: &&String| line.ends_with("locks file A (shared)");
    assert!(lasso.cycle.iter().filter(locks).count() > 0);

    assert_eq!(
        starvation(&without_barging(&world("modes", 3, 1)), never_free),
        None,
        "not without barging"
    );
}

/// Checks that the bound on overtaking is not vacuous: the queue does fill up.
#[test]
fn without_barging_the_queue_still_fills_up() {
    let system = without_barging(&world("plain", 2, 2));
    let report = explore(&system).unwrap_or_else(|it| panic!("{it}"));
    let states = reachable(&system).unwrap_or_else(|it| panic!("{it}"));
    let three_wait = |state: &&State| {
        let threads = state.processes.iter().flat_map(|process| process.threads.iter());
        threads.filter(|it| it.pc == Pc::Queued).count() == 3
    };
    let full = states.iter().filter(three_wait).count();
    println!("{report}, {full} of the states with three in the queue");
    assert!(full > 0);
}
