//! The shipped code, in every interleaving.
//!
//! L1 exclusion, L2 try, L3 deadline (as plans of the clock), L5 release once, L6 released-error, L7 crash, L9 identity,
//! L10 one state for all handles of a path, L13 nothing left behind.

use crate::allowed;
use crate::options::Mode::{Exclusive, Shared};
use crate::os::Kernel;
use crate::program::Step::{
    self, Acquire, CloseIdle, Downgrade, DropGuard, DropHandle, Guard, Release,
};
use crate::program::Wait::{Forever, Try, Until};
use crate::scenario::{Actor, History, Scenario};
use crate::subjects::shipped::Code;

use std::collections::BTreeSet;

/// The reads of the clock at which the deadline can pass: before the wait begins, or during it.
const READS: [u32; 2] = [2, 3];

fn thread(process: u32, steps: &[Step]) -> Actor {
    Actor::Thread(process, steps.to_vec())
}

/// Explores the scenarios, which differ in their timing only. Together they must produce exactly the histories that the
/// model allows.
fn check(name: &str, scenarios: &[Scenario]) {
    let (mut seen, mut executions) = (BTreeSet::<History>::new(), 0);
    for scenario in scenarios {
        let explored = scenario.explore::<Code>();
        executions += explored.executions;
        seen.extend(explored.histories);
    }
    let allowed: BTreeSet<History> = scenarios.iter().flat_map(allowed::histories).collect();
    println!("{name}: {executions} executions, {} histories", seen.len());
    let wrong: Vec<_> = seen.difference(&allowed).collect();
    assert!(wrong.is_empty(), "{name}: the model does not allow {wrong:#?}");
    let missed: Vec<_> = allowed.difference(&seen).collect();
    assert!(missed.is_empty(), "{name}: allowed but never seen: {missed:#?}");
}

fn one(actors: Vec<Actor>) -> Vec<Scenario> {
    vec![Scenario::new(actors)]
}

#[test]
fn l1_two_processes_exclude_each_other() {
    let steps = [Acquire(Exclusive, Forever), Release];
    check("two processes", &one(vec![thread(1, &steps), thread(2, &steps)]));
}

#[test]
fn l1_threads_of_one_process_exclude_each_other() {
    let steps = [Guard(Exclusive, Forever), DropGuard];
    check("two threads", &one(vec![thread(1, &steps), thread(1, &steps)]));
}

#[test]
fn l1_three_processes_take_turns() {
    let steps = [Acquire(Exclusive, Forever), Release];
    let threads = [1, 2, 3].map(|process| thread(process, &steps)).to_vec();
    check("three processes", &one(threads));
}

#[test]
fn l1_readers_share_and_keep_a_writer_out() {
    let read = [Guard(Shared, Forever), DropGuard];
    let write = [Guard(Exclusive, Forever), DropGuard];
    check(
        "readers and a writer",
        &one(vec![thread(1, &read), thread(1, &read), thread(2, &write)]),
    );
}

#[test]
fn l2_a_try_does_not_wait() {
    let try_once = [Acquire(Exclusive, Try), Release];
    let hold = [Guard(Exclusive, Forever), DropGuard];
    check("try", &one(vec![thread(1, &try_once), thread(2, &hold)]));
}

#[test]
fn l3_a_deadline_may_pass_before_or_during_the_wait() {
    let hold = [Acquire(Exclusive, Forever), Release];
    let scenarios = READS.map(|reads| {
        let timed = [Guard(Exclusive, Until(reads)), DropGuard];
        Scenario::new(vec![thread(1, &timed), thread(2, &hold)])
    });
    check("deadline", &scenarios);
}

#[test]
fn l3_a_replacement_does_not_restart_the_deadline() {
    let hold = [Acquire(Exclusive, Forever)];
    let scenarios = READS.map(|reads| {
        let timed = [Guard(Exclusive, Until(reads)), DropGuard];
        Scenario::new(vec![thread(1, &timed), thread(2, &hold), Actor::Replace])
    });
    check("deadline and replacement", &scenarios);
}

#[test]
fn l5_one_of_several_releases_succeeds() {
    let first = [Acquire(Exclusive, Forever), Release];
    check(
        "three releases of one hold",
        &one(vec![thread(1, &first), thread(1, &[Release]), thread(1, &[Release])]),
    );
}

#[test]
fn l5_release_does_not_end_a_guard() {
    let guard = [Guard(Exclusive, Forever), DropGuard];
    check(
        "release beside a guard",
        &one(vec![thread(1, &guard), thread(1, &[Release]), thread(2, &guard)]),
    );
}

#[test]
fn l5_shared_holds_are_released_one_by_one() {
    let steps = [Acquire(Shared, Forever), Release, Release];
    check("shared unguarded holds", &one(vec![thread(1, &steps), thread(1, &steps)]));
}

#[test]
fn l6_a_failed_unlock_ends_the_hold() {
    let steps = [Acquire(Exclusive, Forever), Release, Release];
    let other = [Guard(Exclusive, Forever), DropGuard];
    let scenario = Scenario::new(vec![thread(1, &steps), thread(1, &other), thread(2, &other)]);
    check("refused unlock", &[scenario.on(Kernel::FailsUnlock)]);
}

#[test]
fn l7_a_killed_holder_frees_the_lock() {
    let hold = [Acquire(Exclusive, Forever), Release];
    check("killed holder", &one(vec![thread(1, &hold), thread(2, &hold), Actor::Crash(1)]));
}

#[test]
#[ignore = "hundreds of thousands of executions: run by ci/deep.sh"]
fn deep_a_killed_process_of_two_threads() {
    let hold = [Guard(Exclusive, Forever), DropGuard];
    check(
        "killed process of two threads",
        &one(vec![thread(1, &hold), thread(1, &hold), thread(2, &hold), Actor::Crash(1)]),
    );
}

#[test]
fn l9_a_waiter_moves_to_the_replacement_file() {
    let steps = [Acquire(Exclusive, Forever), Release];
    check("replaced", &one(vec![thread(1, &steps), thread(2, &steps), Actor::Replace]));
}

#[test]
fn l9_a_waiter_recreates_an_unlinked_file() {
    let steps = [Acquire(Exclusive, Forever), Release];
    check("unlinked", &one(vec![thread(1, &steps), thread(2, &steps), Actor::Unlink]));
}

#[test]
fn l9_an_idle_file_is_verified_before_reuse() {
    let twice = [Guard(Exclusive, Forever), DropGuard, Guard(Exclusive, Forever), DropGuard];
    let once = [Guard(Exclusive, Forever), DropGuard];
    check(
        "idle file and replacement",
        &one(vec![thread(1, &twice), thread(2, &once), Actor::Replace]),
    );
}

/// A downgrade admits readers. A writer gets the lock after the last of them.
#[test]
fn l1_a_downgrade_admits_readers_and_no_writer() {
    let writer = [Guard(Exclusive, Forever), Downgrade, DropGuard];
    let reader = [Guard(Shared, Forever), DropGuard];
    check("downgrade and reader", &one(vec![thread(1, &writer), thread(2, &reader)]));
    let two = [thread(1, &writer), thread(1, &reader)];
    check("downgrade and reader in one process", &one(two.to_vec()));
    let three =
        [thread(1, &writer), thread(2, &reader), thread(3, &[Guard(Exclusive, Try), DropGuard])];
    check("downgrade, reader and writer", &one(three.to_vec()));
    let scenario = Scenario::new(vec![thread(1, &writer), thread(2, &reader)]);
    check("refused downgrade", &[scenario.on(Kernel::FailsUnlock)]);
}

#[test]
fn l13_idle_files_can_be_closed() {
    let twice = [Guard(Exclusive, Forever), DropGuard, Guard(Exclusive, Forever), DropGuard];
    check("idle files", &one(vec![thread(1, &twice), thread(1, &[CloseIdle, CloseIdle])]));
    let once = [Guard(Exclusive, Forever), DropGuard];
    let threads = [&once[..], &once, &[CloseIdle]].map(|steps| thread(1, steps));
    check("idle files of two threads", &one(threads.to_vec()));
}

#[test]
fn l10_an_unguarded_hold_outlives_every_handle() {
    let acquire = [Acquire(Exclusive, Forever), DropHandle];
    let release = [Release, DropHandle, Acquire(Exclusive, Try), Release];
    check("last handle and acquire", &one(vec![thread(1, &acquire), thread(1, &release)]));
}

#[test]
fn l12_an_interrupted_wait_goes_on() {
    let steps = [Acquire(Exclusive, Forever), Release];
    let scenario = Scenario::new(vec![thread(1, &steps), thread(2, &steps)]);
    check("interrupted", &[scenario.on(Kernel::Interrupts)]);
}

#[test]
#[ignore = "hundreds of thousands of executions: run by ci/deep.sh"]
fn deep_four_processes_take_turns() {
    let steps = [Acquire(Exclusive, Forever), Release];
    check("four processes", &one([1, 2, 3, 4].map(|process| thread(process, &steps)).to_vec()));
}

#[test]
#[ignore = "hundreds of thousands of executions: run by ci/deep.sh"]
fn deep_two_processes_of_three_threads_with_replacement() {
    let steps = [Acquire(Exclusive, Forever), Release];
    let mut actors: Vec<_> = [1, 1, 2].map(|process| thread(process, &steps)).to_vec();
    actors.push(Actor::Replace);
    check("2 + 1 threads and a replacement", &one(actors));
}
