//! The checkers are checked: each seeded bug, in the model kernel or in the shipped code, is
//! caught, by the law that it breaks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::options::Mode::{Exclusive, Shared};
use crate::os::Kernel;
use crate::program::Patience::{ForEver, Try, Until};
use crate::program::Step::{
    self, Acquire, Downgrade, DropGuard, DropHandle, GiveBack, Guard, Release,
};
use crate::scenario::{Actor, Scenario};
use crate::subject::Subject;
use crate::subjects;

const TURN: [Step; 2] = [Acquire(Exclusive, ForEver), Release];
const GUARDED: [Step; 2] = [Guard(Exclusive, ForEver), DropGuard];

fn threads(programs: &[(u32, &[Step])]) -> Vec<Actor> {
    programs.iter().map(|(process, steps)| Actor::Thread(*process, steps.to_vec())).collect()
}

fn with(mut actors: Vec<Actor>, other: Actor) -> Vec<Actor> {
    actors.push(other);
    actors
}

/// Explores until something goes wrong, which must be this.
fn caught<S: Subject>(name: &str, scenario: &Scenario, verdict: &str) {
    let executions = Arc::new(AtomicUsize::new(0));
    let exploration =
        catch_unwind(AssertUnwindSafe(|| scenario.explore_counting::<S>(&executions)));
    let count = executions.load(Ordering::Relaxed);
    let Err(panic) = exploration else { panic!("{name} went unnoticed in {count} executions") };
    let story = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap_or_default();
    assert!(story.contains(verdict), "{name} was caught, but not by {verdict:?}: {story}");
    println!("{name}: {verdict:?} after {count} executions");
}

/// A test for each bug: in which code, in which scenario, and what catches it.
macro_rules! seeded {
    ($($name:ident on $kernel:ident: $actors:expr => $verdict:literal;)*) => {$(
        #[test]
        fn $name() {
            let scenario = Scenario::new($actors).on(Kernel::$kernel);
            caught::<seeded!(@code $kernel $name)>(stringify!($name), &scenario, $verdict);
        }
    )*};
    (@code Sound $name:ident) => { subjects::$name::Code };
    (@code RefusesUnlock $name:ident) => { subjects::$name::Code };
    (@code $kernel:ident $name:ident) => { subjects::shipped::Code };
}

seeded! {
    kernel_loses_a_wake_up on LosesWakeUp:
        threads(&[(1, &TURN), (2, &TURN)])
        => "deadlock";
    kernel_lies on Lies:
        threads(&[(1, &TURN), (2, &TURN)])
        => "the code answered Granted, the model Contended";
    kernel_keeps_the_lock_on_unlock on KeepsOnUnlock:
        threads(&[(1, &[Acquire(Exclusive, ForEver), Release, Acquire(Exclusive, Try)])])
        => "the code answered Granted, the model Contended";
    kernel_knows_no_shared on KnowsNoShared:
        threads(&[(1, &[Guard(Shared, ForEver)]), (2, &[Guard(Shared, Try)])])
        => "the code answered Contended, the model Granted";

    identity_not_checked on Sound:
        with(threads(&[(1, &GUARDED)]), Actor::Replace)
        => "records a hold on a file that the path does not name";
    timed_out_on_a_replaced_file on Sound:
        with(threads(&[(1, &[Guard(Exclusive, Try)]), (2, &[Guard(Exclusive, Try)])]), Actor::Unlink)
        => "timed out on a file that the path may not name";
    sleeps_without_looking on Sound:
        with(threads(&[(1, &[Guard(Exclusive, Until(3)), DropGuard]), (2, &GUARDED)]), Actor::Replace)
        => "sleeps without having looked whether the path names the file";
    identity_not_checked_after_a_wait on Sound:
        with(threads(&[(1, &GUARDED), (2, &GUARDED)]), Actor::Replace)
        => "records a hold on a file that the path does not name";
    no_last_attempt on Sound:
        threads(&[(1, &[Guard(Exclusive, Until(2)), DropGuard]), (2, &GUARDED)])
        => "timed out without an attempt at the deadline";
    wait_taken_for_granted on Sound:
        threads(&[(1, &[Guard(Exclusive, Until(3)), DropGuard]), (2, &GUARDED)])
        => "records a hold that the kernel has not granted";
    deadline_anew_for_each_file on Sound:
        threads(&[(1, &[Guard(Exclusive, Until(2)), DropGuard]), (2, &GUARDED)])
        => "waits on although its deadline has passed";

    released_before_it_is_taken on Sound:
        threads(&[(1, &GUARDED)])
        => "unlocks a hold that is in the ledger or does not exist";
    refusal_not_recorded on RefusesUnlock:
        threads(&[(1, &TURN)])
        => "a release ended with Refused";
    refused_descriptor_reused on RefusesUnlock:
        threads(&[(1, &[Acquire(Exclusive, ForEver), Release, Acquire(Exclusive, Try)])])
        => "the code answered Granted, the model Contended";
    unlock_forgotten on Sound:
        threads(&[(1, &[Acquire(Exclusive, ForEver), Release, Acquire(Exclusive, Try)])])
        => "the code answered Granted, the model Contended";

    guard_released_by_release on Sound:
        threads(&[(1, &[Guard(Exclusive, ForEver)]), (1, &[Release])])
        => "the ledger says ReleasedError, the model HeldExclusive";
    error_forgotten on Sound:
        threads(&[(1, &[Release])])
        => "the ledger says Unlocked, the model ReleasedError";
    error_remembered_too_long on Sound:
        threads(&[(1, &[Release, Acquire(Exclusive, ForEver), Release])])
        => "the ledger says ReleasedError, the model Unlocked";
    shared_counted_as_exclusive on Sound:
        threads(&[(1, &[Guard(Shared, ForEver)])])
        => "the ledger says HeldExclusive, the model HeldShared(1)";
    newest_kept_hold_first on Sound:
        threads(&[(1, &[Acquire(Shared, ForEver), Acquire(Shared, ForEver), Release])])
        => "unlocks a hold that is in the ledger or does not exist";
    entered_in_two_steps on Sound:
        threads(&[(1, &TURN), (1, &[Release])])
        => "a release ended with NotLocked after Some(Taken";
    left_in_two_steps on Sound:
        threads(&[(1, &[Guard(Shared, ForEver), DropGuard]), (1, &[Guard(Shared, ForEver), DropGuard])])
        => "the ledger says HeldShared(1), the model Unlocked";
    surplus_descriptor_left_open on Sound:
        threads(&[(1, &[Guard(Shared, ForEver), Guard(Shared, ForEver), DropGuard, DropGuard])])
        => "2 descriptors are open for 0 holds";
    downgraded_before_it_is_lowered on Sound:
        threads(&[(1, &[Guard(Exclusive, ForEver), Downgrade])])
        => "converts a lock that the ledger records as exclusive";
    refused_downgrade_forgets_the_hold on RefusesUnlock:
        threads(&[(1, &[Guard(Exclusive, ForEver), Downgrade])])
        => "the ledger says Unlocked, the model HeldExclusive";
    idle_descriptor_left_to_a_dismissed_ledger on Sound:
        threads(&[(1, &GUARDED), (1, &[GiveBack])])
        => "descriptors are not given back";
    kept_hold_dies_with_the_last_handle on Sound:
        threads(&[(1, &[Acquire(Exclusive, ForEver), DropHandle, Release])])
        => "unlocks a hold that is in the ledger or does not exist";
    two_ledgers_of_one_path on Sound:
        threads(&[(1, &[Acquire(Exclusive, ForEver), DropHandle, Release])])
        => "a release ended with NotLocked after Some(Taken";
}

/// A bug that no test names would be seeded in vain.
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
