//! Tests of the checkers: each seeded bug, in the model kernel or in the shipped code, is caught by the law that it breaks.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::options::Mode::{Exclusive, Shared};
use crate::os::Kernel;
use crate::program::Step::{
    self, Acquire, CloseIdle, Downgrade, DropGuard, DropHandle, Guard, Release,
};
use crate::program::Wait::{Forever, Try};
use crate::scenario::{Actor, GUARDED, READ, Scenario, TURN, guarded_until, threads, with};
use crate::subject::Subject;
use crate::subjects;

const TRY: [Step; 1] = [Guard(Exclusive, Try)];
const AGAIN: [Step; 3] = [Acquire(Exclusive, Forever), Release, Acquire(Exclusive, Try)];

/// Explores until a violation, which must contain `verdict`.
fn assert_caught(name: &str, verdict: &str, explore: impl FnOnce(&Arc<AtomicUsize>)) {
    let executions = Arc::new(AtomicUsize::new(0));
    let exploration = catch_unwind(AssertUnwindSafe(|| explore(&executions)));
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

fn explore<S: Subject>(actors: Vec<Actor>, kernel: Kernel) -> impl FnOnce(&Arc<AtomicUsize>) {
    move |executions| drop(Scenario::new(actors).on(kernel).explore_counting::<S>(executions))
}

macro_rules! caught {
    ($name:ident: $subject:ident on Forks: $forkers:expr => $verdict:literal) => {
        assert_caught(stringify!($name), $verdict, |_| explore_forks!($subject, $forkers));
    };
    ($name:ident: $subject:ident on $kernel:ident: $actors:expr => $verdict:literal) => {
        let explore = explore::<subjects::$subject::Code>($actors, Kernel::$kernel);
        assert_caught(stringify!($name), $verdict, explore);
    };
}

/// One test for each bug in the shipped code.
macro_rules! mutations {
    ($($name:ident in $file:ident { $($from:literal => $to:literal,)* }
        $kernel:ident: $actors:expr => $verdict:literal;)*) => {$(
        #[test]
        fn $name() {
            caught!($name: $name on $kernel: $actors => $verdict);
        }
    )*};
}

include!("mutations.rs");

/// One test for each bug in the model kernel.
macro_rules! kernels {
    ($($name:ident: $kernel:ident: $actors:expr => $verdict:literal;)*) => {$(
        #[test]
        fn $name() {
            caught!($name: shipped on $kernel: $actors => $verdict);
        }
    )*};
}

kernels! {
    kernel_loses_a_wake_up: LosesWakeUp: threads(&[(1, &TURN), (2, &TURN)])
        => "deadlock";
    kernel_grants_a_held_lock: GrantsHeldLocks: threads(&[(1, &TURN), (2, &TURN)])
        => "the code answered Granted, the model Contended";
    kernel_ignores_an_unlock: IgnoresUnlock: threads(&[(1, &AGAIN)])
        => "the code answered Granted, the model Contended";
    kernel_treats_shared_as_exclusive: NoSharedLocks:
        threads(&[(1, &[Guard(Shared, Forever)]), (2, &[Guard(Shared, Try)])])
        => "the code answered Contended, the model Granted";
}
