//! Fairness: what the queue promises, and what it does not. Each story is found by the search.
#![allow(clippy::panic, reason = "that is how a test fails")]

use crate::worlds::world;
use locket_model::explorer::{Lasso, endless, explore, reachable};
use locket_model::protocol::{Action, Protocol, Step};
use locket_model::spec::Mode;
use locket_model::state::{Place, Process, State};

fn queued(state: &State) -> bool {
    Protocol::watched(state).is_some_and(|it| it.place == Place::Queued)
}

/// The same world with a queue that lets nobody past. That is not how a correct lock behaves: a try
/// is then refused although nobody holds the lock, which the refinement finds at once.
fn polite(system: &Protocol) -> Protocol {
    let polite = Protocol { barging: false, ..system.clone() };
    let conviction = explore(&polite).expect_err("a refusal with nobody holding");
    assert_eq!(conviction.broken.law, "refinement", "{conviction}");
    assert!(conviction.story.last().is_some_and(|it| it.ends_with("which is locked")));
    Protocol { refinement: false, ..polite }
}

/// How often others are granted the lock while one thread is queued, at most.
fn most_overtaken(system: &Protocol) -> u8 {
    let states = reachable(system).unwrap_or_else(|it| panic!("{it}"));
    let overtaken = |state: &State| Protocol::watched(state).map_or(0, |it| it.ghost.overtaken);
    states.iter().map(overtaken).max().unwrap_or(0)
}

/// If nobody barges, who is in the queue is overtaken by those ahead of it alone.
#[test]
fn without_barging_nobody_is_overtaken_by_who_came_later() {
    for (name, size) in [("plain", (2, 1)), ("plain", (2, 2)), ("plain", (3, 2)), ("modes", (2, 2))]
    {
        let system = Protocol { watch: Some(9), ..polite(&world(name, size.0, size.1)) };
        let others = size.0 * size.1 - 1;
        let most = usize::from(most_overtaken(&system));
        println!("{name} {size:?} without barging: overtaken at most {most} times by {others}");
        assert_eq!(most, others, "{name} {size:?}");
    }
}

/// With barging, as `flock` is, there is no bound.
#[test]
fn with_barging_there_is_no_bound() {
    for bound in [3, 6, 9] {
        let system = Protocol { watch: Some(bound), ..world("plain", 2, 1) };
        assert_eq!(most_overtaken(&system), bound);
    }
}

fn starvation(system: &Protocol, stays: impl Fn(&State) -> bool) -> Option<Lasso> {
    let system = Protocol { watch: Some(0), symmetry: false, ..system.clone() };
    let others_get_in = |state: &State, step: &Step| {
        matches!(step.action, Action::Gets(..))
            && !state.processes[step.process].threads[step.thread].ghost.watched
    };
    endless(&system, stays, others_get_in).unwrap_or_else(|it| panic!("{it}"))
}

/// A process that locks again at once can do so for ever before a waiter that was woken runs: the
/// lock is free for an instant each time, so a waiter that is quick enough once gets in.
#[test]
fn who_locks_again_at_once_may_overtake_for_ever() {
    let lasso = starvation(&world("plain", 2, 1), queued).expect("a way to starve");
    println!("{lasso}");
    assert!(lasso.cycle.iter().any(|line| line == "process 2 thread 1: locks file A (exclusive)"));
    assert!(lasso.cycle.iter().all(|line| line.starts_with("process 2")), "the other only waits");

    assert_eq!(starvation(&polite(&world("plain", 2, 1)), queued), None, "not without barging");
}

/// Readers whose holds overlap keep a writer out for ever, and the lock is never free meanwhile: no
/// speed helps the writer.
#[test]
fn overlapping_readers_may_starve_a_writer() {
    let never_free = |state: &State| {
        let waits = Protocol::watched(state)
            .is_some_and(|it| it.place == Place::Queued && it.call.mode == Mode::Exclusive);
        let mut descriptors = state.processes.iter().flat_map(Process::descriptors);
        waits && descriptors.any(|it| it.lock == Some(Mode::Shared))
    };
    let lasso = starvation(&world("modes", 3, 1), never_free).expect("a way to starve");
    println!("{lasso}");
    let gets = |line: &&String| line.ends_with("locks file A (shared)");
    assert!(lasso.cycle.iter().filter(gets).count() > 0);

    assert_eq!(starvation(&polite(&world("modes", 3, 1)), never_free), None, "not without barging");
}

/// The bound is not true because nothing happens.
#[test]
fn without_barging_the_lock_is_still_handed_on() {
    let system = polite(&world("plain", 2, 2));
    let report = explore(&system).unwrap_or_else(|it| panic!("{it}"));
    let states = reachable(&system).unwrap_or_else(|it| panic!("{it}"));
    let three_wait = |state: &&State| {
        let threads = state.processes.iter().flat_map(|process| process.threads.iter());
        threads.filter(|it| it.place == Place::Queued).count() == 3
    };
    let full = states.iter().filter(three_wait).count();
    println!("{report}, {full} of the states with three in the queue");
    assert!(full > 0);
}
