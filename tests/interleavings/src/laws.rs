//! The shipped code, in every interleaving.
//!
//! L1 exclusion, L2 try, L3 deadline (as plans of the clock), L5 release once, L6 released-error, L7 crash, L9 identity,
//! L10 one state for all handles of a path, L13 nothing left behind.

use std::collections::BTreeSet;

use crate::allowed;
use crate::options::Mode::{Exclusive, Shared};
use crate::os::Kernel;
use crate::program::Step::{
    self, Acquire, CloseIdle, Downgrade, DropGuard, DropHandle, Guard, Release,
};
use crate::program::Wait::{Forever, Try};
use crate::scenario::{
    Actor, GUARDED, History, READ, Scenario, TURN, guarded, guarded_until, threads, with,
};
use crate::subjects::shipped::Code;

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

/// Explores a scenario for each read of the clock at which the deadline can pass: before the wait begins, or during it.
fn check_deadlines(name: &str, actors: impl Fn([Step; 2]) -> Vec<Actor>) {
    check(name, &[2, 3].map(|read| Scenario::new(actors(guarded_until(read)))));
}

/// One test for each law, with its scenarios: the kernel and the threads.
macro_rules! laws {
    ($($(#[$attribute:meta])* $name:ident: $($kernel:ident($actors:expr)),+;)*) => {$(
        #[test]
        $(#[$attribute])*
        fn $name() {
            $(check(stringify!($name), &[Scenario::new($actors).on(Kernel::$kernel)]);)+
        }
    )*};
}

const TWICE: [Step; 4] =
    [Guard(Exclusive, Forever), DropGuard, Guard(Exclusive, Forever), DropGuard];
const TURN_AND_RELEASE: [Step; 3] = [Acquire(Exclusive, Forever), Release, Release];
const SHARED_TURN_AND_RELEASE: [Step; 3] = [Acquire(Shared, Forever), Release, Release];
const DOWNGRADED: [Step; 3] = [Guard(Exclusive, Forever), Downgrade, DropGuard];

laws! {
    l1_two_processes_exclude_each_other:
        Sound(threads(&[(1, &TURN), (2, &TURN)]));
    l1_threads_of_one_process_exclude_each_other:
        Sound(threads(&[(1, &GUARDED), (1, &GUARDED)]));
    l1_three_processes_take_turns:
        Sound(threads(&[(1, &TURN), (2, &TURN), (3, &TURN)]));
    l1_readers_share_and_keep_a_writer_out:
        Sound(threads(&[(1, &READ), (1, &READ), (2, &GUARDED)]));

    // A downgrade admits readers. A writer gets the lock after the last of them.
    l1_a_downgrade_admits_readers_and_no_writer:
        Sound(threads(&[(1, &DOWNGRADED), (2, &READ)])),
        Sound(threads(&[(1, &DOWNGRADED), (1, &READ)])),
        Sound(threads(&[(1, &DOWNGRADED), (2, &READ), (3, &guarded(Exclusive, Try))])),
        FailsUnlock(threads(&[(1, &DOWNGRADED), (2, &READ)]));

    l2_a_try_does_not_wait:
        Sound(threads(&[(1, &[Acquire(Exclusive, Try), Release]), (2, &GUARDED)]));

    l5_one_of_several_releases_succeeds:
        Sound(threads(&[(1, &TURN), (1, &[Release]), (1, &[Release])]));
    l5_release_does_not_end_a_guard:
        Sound(threads(&[(1, &GUARDED), (1, &[Release]), (2, &GUARDED)]));
    l5_shared_holds_are_released_one_by_one:
        Sound(threads(&[(1, &SHARED_TURN_AND_RELEASE), (1, &SHARED_TURN_AND_RELEASE)]));

    l6_a_failed_unlock_ends_the_hold:
        FailsUnlock(threads(&[(1, &TURN_AND_RELEASE), (1, &GUARDED), (2, &GUARDED)]));

    l7_a_killed_holder_frees_the_lock:
        Sound(with(threads(&[(1, &TURN), (2, &TURN)]), Actor::Crash(1)));

    l9_a_waiter_moves_to_the_replacement_file:
        Sound(with(threads(&[(1, &TURN), (2, &TURN)]), Actor::Replace));
    l9_a_waiter_recreates_an_unlinked_file:
        Sound(with(threads(&[(1, &TURN), (2, &TURN)]), Actor::Unlink));
    l9_an_idle_file_is_verified_before_reuse:
        Sound(with(threads(&[(1, &TWICE), (2, &GUARDED)]), Actor::Replace));

    l10_an_unguarded_hold_outlives_every_handle:
        Sound(threads(&[
            (1, &[Acquire(Exclusive, Forever), DropHandle]),
            (1, &[Release, DropHandle, Acquire(Exclusive, Try), Release]),
        ]));

    l12_an_interrupted_wait_goes_on:
        Interrupts(threads(&[(1, &TURN), (2, &TURN)]));

    l13_idle_files_can_be_closed:
        Sound(threads(&[(1, &TWICE), (1, &[CloseIdle, CloseIdle])])),
        Sound(threads(&[(1, &GUARDED), (1, &GUARDED), (1, &[CloseIdle])]));

    #[ignore = "hundreds of thousands of executions: run by ci/deep.sh"]
    deep_a_killed_process_of_two_threads:
        Sound(with(threads(&[(1, &GUARDED), (1, &GUARDED), (2, &GUARDED)]), Actor::Crash(1)));
    #[ignore = "hundreds of thousands of executions: run by ci/deep.sh"]
    deep_four_processes_take_turns:
        Sound(threads(&[(1, &TURN), (2, &TURN), (3, &TURN), (4, &TURN)]));
    #[ignore = "hundreds of thousands of executions: run by ci/deep.sh"]
    deep_two_processes_of_three_threads_with_replacement:
        Sound(with(threads(&[(1, &TURN), (1, &TURN), (2, &TURN)]), Actor::Replace));
}

#[test]
fn l3_a_deadline_may_pass_before_or_during_the_wait() {
    check_deadlines("deadline", |timed| threads(&[(1, &timed), (2, &TURN)]));
}

#[test]
fn l3_a_replacement_does_not_restart_the_deadline() {
    let hold = [Acquire(Exclusive, Forever)];
    check_deadlines("deadline and replacement", |timed| {
        with(threads(&[(1, &timed), (2, &hold)]), Actor::Replace)
    });
}
