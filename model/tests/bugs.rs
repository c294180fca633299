//! Seeded bugs of the protocol: each is caught by the law that it breaks.
#![allow(clippy::panic, reason = "that is how a test fails")]

use crate::worlds::world;
use locket_model::explorer::{BrokenLaw, System, Violation, always_reachable, explore};
use locket_model::protocol::{Protocol, Step};
use locket_model::state::{Bug, State};

/// Each bug with the law that catches it, the world and its size.
const BUGS: [(Bug, &str, &str, (usize, usize)); 18] = [
    (Bug::LosesWakeup, "always reachable", "faults", (2, 1)),
    (Bug::IgnoresReaders, "L1 exclusion", "modes", (2, 1)),
    (Bug::PeeksBeforeTaking, "L5 release once", "unguarded", (1, 2)),
    (Bug::UnlocksBeforeTaking, "ledger within kernel", "plain", (2, 1)),
    (Bug::ReleasesGuards, "ledger within kernel", "unguarded", (1, 2)),
    (Bug::SkipsVerify, "L9 identity", "faults", (2, 1)),
    (Bug::TrustsIdle, "L9 identity", "faults", (2, 1)),
    (Bug::WaitsWithoutVerifying, "L9 no wait on a replaced file", "faults", (2, 1)),
    (Bug::NoLastAttempt, "L3 last attempt", "timed", (2, 1)),
    (Bug::DeadlinePerFile, "L3 one deadline", "timed + rename", (2, 1)),
    (Bug::ReusesAfterRefusedUnlock, "L13 nothing left behind", "unguarded + faults", (1, 1)),
    (Bug::CountsSharedAsExclusive, "ledger within kernel", "modes", (2, 1)),
    (Bug::LeaksOnTimeout, "L13 nothing left behind", "timed", (2, 1)),
    (Bug::LeaksOnReopen, "L13 nothing left behind", "faults", (2, 1)),
    (Bug::DropsUnguarded, "L5 release once", "unguarded", (1, 1)),
    (Bug::ErrorWhileHeld, "L6 released-error", "unguarded", (1, 2)),
    (Bug::ConvertsBeforeLowering, "ledger within kernel", "downgrades", (2, 1)),
    (Bug::ConvertsByUnlocking, "ledger within kernel", "downgrades", (2, 1)),
];

fn search(system: &Protocol) -> Result<(), Box<Violation>> {
    explore(system)?;
    always_reachable(system, Protocol::waits, Protocol::is_continuation, Protocol::has_hold)?;
    Ok(())
}

#[test]
fn each_seeded_bug_is_caught_by_the_law_that_it_breaks() {
    for (bug, law, name, (processes, threads)) in BUGS {
        let sound = Protocol { track: Some(0), ..world(name, processes, threads) };
        assert_eq!(search(&sound), Ok(()), "without the bug no law is broken");
        let buggy = Protocol { bug: Some(bug), ..sound };
        let by_invariant = search(&Protocol { refinement: false, ..buggy.clone() });
        let by_invariant = by_invariant.expect_err(&format!("{bug:?} was not caught"));
        let first = search(&buggy).expect_err("the refinement adds laws to the invariants");
        println!("{bug:?} ({name}, {processes}x{threads}): {by_invariant}");
        println!("with the refinement: {}, after {} states\n", first.broken.law, first.states);
        assert_eq!(by_invariant.broken.law, law, "{bug:?}");
    }
}

/// Checks the liveness law alone: a thread that waits without verifying the path may wait forever for
/// a holder of a file that the path no longer names.
#[test]
fn a_waiter_that_does_not_verify_the_path_may_wait_forever() {
    let sound = Protocol { track: Some(0), refinement: false, ..world("faults", 2, 1) };
    let live = |system: &Protocol| {
        let (waits, allowed) =
            (Protocol::waits_with_path_unchanged, Protocol::is_continuation_on_current_file);
        always_reachable(&WithoutLaws(system), waits, allowed, Protocol::has_hold)
    };
    assert!(live(&sound).is_ok());
    let violation = live(&Protocol { bug: Some(Bug::WaitsWithoutVerifying), ..sound });
    let violation = violation.expect_err("the bug was not caught");
    println!("{violation}");
    assert_eq!(violation.broken.law, "always reachable");
}

/// The protocol without its laws.
struct WithoutLaws<'a>(&'a Protocol);

impl System for WithoutLaws<'_> {
    type State = State;
    type Step = Step;

    fn initial(&self) -> State {
        self.0.initial()
    }

    fn successors(&self, state: &State) -> Vec<(Step, State)> {
        self.0.successors(state)
    }

    fn canonical(&self, state: State) -> State {
        self.0.canonical(state)
    }

    fn check(&self, _: &State) -> Result<(), BrokenLaw> {
        Ok(())
    }

    fn check_step(&self, _: &State, _: &Step, _: &State) -> Result<(), BrokenLaw> {
        Ok(())
    }
}
