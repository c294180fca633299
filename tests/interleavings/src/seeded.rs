//! Tests of the checkers: each seeded bug, in the model kernel or in the shipped code, is caught by the law that it breaks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::options::Mode::{Exclusive, Shared};
use crate::os::Kernel;
use crate::program::Step::{
    self, Acquire, CloseIdle, Downgrade, DropGuard, DropHandle, Guard, Release,
};
use crate::program::Wait::{Forever, Try, Until};
use crate::scenario::{Actor, Scenario};
use crate::subject::Subject;
use crate::subjects;

const TURN: [Step; 2] = [Acquire(Exclusive, Forever), Release];
const GUARDED: [Step; 2] = [Guard(Exclusive, Forever), DropGuard];

fn threads(programs: &[(u32, &[Step])]) -> Vec<Actor> {
    programs.iter().map(|(process, steps)| Actor::Thread(*process, steps.to_vec())).collect()
}

fn with(mut actors: Vec<Actor>, other: Actor) -> Vec<Actor> {
    actors.push(other);
    actors
}

/// Explores until a violation, which must contain `verdict`.
fn assert_caught<S: Subject>(name: &str, scenario: &Scenario, verdict: &str) {
    let executions = Arc::new(AtomicUsize::new(0));
    let exploration =
        catch_unwind(AssertUnwindSafe(|| scenario.explore_counting::<S>(&executions)));
    let count = executions.load(Ordering::Relaxed);
    let Err(panic) = exploration else { panic!("{name} was not caught in {count} executions") };
    let report = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_default();
    assert!(report.contains(verdict), "{name} was caught, but not by {verdict:?}: {report}");
    println!("{name}: {verdict:?} after {count} executions");
}

/// One test for each bug: the code, the scenario, and the violation that must be reported.
macro_rules! seeded {
    ($($name:ident on $kernel:ident: $actors:expr => $verdict:literal;)*) => {$(
        #[test]
        fn $name() {
            let scenario = Scenario::new($actors).on(Kernel::$kernel);
            assert_caught::<seeded!(@code $kernel $name)>(stringify!($name), &scenario, $verdict);
        }
    )*};
    (@code Sound $name:ident) => { subjects::$name::Code };
    (@code FailsUnlock $name:ident) => { subjects::$name::Code };
    (@code $kernel:ident $name:ident) => { subjects::shipped::Code };
}

seeded! {
    kernel_loses_a_wake_up on LosesWakeUp:
        threads(&[(1, &TURN), (2, &TURN)])
        => "deadlock";
    kernel_grants_a_held_lock on GrantsHeldLocks:
        threads(&[(1, &TURN), (2, &TURN)])
        => "the code answered Granted, the model Contended";
    kernel_ignores_an_unlock on IgnoresUnlock:
        threads(&[(1, &[Acquire(Exclusive, Forever), Release, Acquire(Exclusive, Try)])])
        => "the code answered Granted, the model Contended";
    kernel_treats_shared_as_exclusive on NoSharedLocks:
        threads(&[(1, &[Guard(Shared, Forever)]), (2, &[Guard(Shared, Try)])])
        => "the code answered Contended, the model Granted";

    identity_not_checked on Sound:
        with(threads(&[(1, &GUARDED)]), Actor::Replace)
        => "records a hold on a file that the path does not name";
    timed_out_on_a_replaced_file on Sound:
        with(threads(&[(1, &[Guard(Exclusive, Try)]), (2, &[Guard(Exclusive, Try)])]), Actor::Unlink)
        => "timed out on a file that the path may not name";
    waits_without_checking_identity on Sound:
        with(threads(&[(1, &[Guard(Exclusive, Until(3)), DropGuard]), (2, &GUARDED)]), Actor::Replace)
        => "waits without having checked whether the path names the file";
    identity_not_checked_after_a_wait on Sound:
        with(threads(&[(1, &GUARDED), (2, &GUARDED)]), Actor::Replace)
        => "records a hold on a file that the path does not name";
    no_attempt_at_the_deadline on Sound:
        threads(&[(1, &[Guard(Exclusive, Until(2)), DropGuard]), (2, &GUARDED)])
        => "timed out without an attempt at the deadline";
    woken_waiter_counts_as_granted on Sound:
        threads(&[(1, &[Guard(Exclusive, Until(3)), DropGuard]), (2, &GUARDED)])
        => "records a hold that the kernel has not granted";
    deadline_restarts_for_each_file on Sound:
        threads(&[(1, &[Guard(Exclusive, Until(2)), DropGuard]), (2, &GUARDED)])
        => "waits on although its deadline has passed";

    unlocked_before_removed_from_the_ledger on Sound:
        threads(&[(1, &GUARDED)])
        => "unlocks a hold that is in the ledger or does not exist";
    failed_unlock_not_recorded on FailsUnlock:
        threads(&[(1, &TURN)])
        => "a release ended with Refused";
    file_reused_after_a_failed_unlock on FailsUnlock:
        threads(&[(1, &[Acquire(Exclusive, Forever), Release, Acquire(Exclusive, Try)])])
        => "the code answered Granted, the model Contended";
    unlock_skipped on Sound:
        threads(&[(1, &[Acquire(Exclusive, Forever), Release, Acquire(Exclusive, Try)])])
        => "the code answered Granted, the model Contended";

    guard_released_by_release on Sound:
        threads(&[(1, &[Guard(Exclusive, Forever)]), (1, &[Release])])
        => "the ledger says ReleasedError, the model HeldExclusive";
    released_error_not_set on Sound:
        threads(&[(1, &[Release])])
        => "the ledger says Unlocked, the model ReleasedError";
    released_error_not_cleared on Sound:
        threads(&[(1, &[Release, Acquire(Exclusive, Forever), Release])])
        => "the ledger says ReleasedError, the model Unlocked";
    shared_counted_as_exclusive on Sound:
        threads(&[(1, &[Guard(Shared, Forever)])])
        => "the ledger says HeldExclusive, the model HeldShared(1)";
    release_ends_the_newest_hold on Sound:
        threads(&[(1, &[Acquire(Shared, Forever), Acquire(Shared, Forever), Release])])
        => "unlocks a hold that is in the ledger or does not exist";
    hold_added_in_two_steps on Sound:
        threads(&[(1, &TURN), (1, &[Release])])
        => "a release ended with NotLocked after Some(Taken";
    hold_removed_in_two_steps on Sound:
        threads(&[(1, &[Guard(Shared, Forever), DropGuard]), (1, &[Guard(Shared, Forever), DropGuard])])
        => "the ledger says HeldShared(1), the model Unlocked";
    surplus_file_leaked on Sound:
        threads(&[(1, &[Guard(Shared, Forever), Guard(Shared, Forever), DropGuard, DropGuard])])
        => "2 descriptors are open for 0 holds";
    downgraded_before_the_ledger_records_it on Sound:
        threads(&[(1, &[Guard(Exclusive, Forever), Downgrade])])
        => "converts a lock that the ledger records as exclusive";
    failed_downgrade_removes_the_hold on FailsUnlock:
        threads(&[(1, &[Guard(Exclusive, Forever), Downgrade])])
        => "the ledger says Unlocked, the model HeldExclusive";
    idle_file_kept_after_revocation on Sound:
        threads(&[(1, &GUARDED), (1, &[CloseIdle])])
        => "idle files were not closed";
    unguarded_hold_ends_with_the_last_handle on Sound:
        threads(&[(1, &[Acquire(Exclusive, Forever), DropHandle, Release])])
        => "unlocks a hold that is in the ledger or does not exist";
    two_ledgers_of_one_path on Sound:
        threads(&[(1, &[Acquire(Exclusive, Forever), DropHandle, Release])])
        => "a release ended with NotLocked after Some(Taken";
}

/// Each mutation is named by a test. Otherwise it would check nothing.
#[test]
fn every_mutation_has_a_test() {
    let (tests, of_forks) = (include_str!("seeded.rs"), include_str!("forks.rs"));
    for mutation in crate::mutations::MUTATIONS {
        let test = match mutation.file {
            "fork_count" => of_forks.contains(&format!("    {}\n", mutation.name)),
            _ => tests.contains(&format!("    {} on ", mutation.name)),
        };
        assert!(test, "no test catches {}", mutation.name);
    }
}
