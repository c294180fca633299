//! The checkers of the protocol are checked: each planted bug is convicted, by the law it breaks.
#![allow(clippy::panic, reason = "that is how a test fails")]

use crate::worlds::world;
use locket_model::explorer::{Broken, Conviction, System, always_can, explore};
use locket_model::protocol::{Protocol, Step};
use locket_model::state::{Bug, State};

/// The law that convicts each bug, in which world.
const BUGS: [(Bug, &str, &str, (usize, usize)); 18] = [
    (Bug::LosesWakeUp, "always can", "faults", (2, 1)),
    (Bug::IgnoresReaders, "L1 exclusion", "modes", (2, 1)),
    (Bug::PeeksBeforeTaking, "L5 one release wins", "pair", (1, 2)),
    (Bug::UnlocksBeforeTaking, "ledger within kernel", "plain", (2, 1)),
    (Bug::StealsGuards, "ledger within kernel", "pair", (1, 2)),
    (Bug::SkipsCheck, "L9 identity", "faults", (2, 1)),
    (Bug::TrustsSpare, "L9 identity", "faults", (2, 1)),
    (Bug::SleepsWithoutLooking, "L9 no sleep in vain", "faults", (2, 1)),
    (Bug::NoLastAttempt, "L3 last attempt", "timed", (2, 1)),
    (Bug::DeadlinePerFile, "L3 one deadline", "timed + rename", (2, 1)),
    (Bug::SwallowsRefusal, "L13 nothing left behind", "pair + faults", (1, 1)),
    (Bug::CountsSharedAsExclusive, "ledger within kernel", "modes", (2, 1)),
    (Bug::LeaksOnTimeout, "L13 nothing left behind", "timed", (2, 1)),
    (Bug::LeaksOnReopen, "L13 nothing left behind", "faults", (2, 1)),
    (Bug::DropsKept, "L5 one release wins", "pair", (1, 1)),
    (Bug::ErrorWhileHeld, "L6 released-error", "pair", (1, 2)),
    (Bug::ConvertsBeforeLowering, "ledger within kernel", "downgrades", (2, 1)),
    (Bug::ConvertsByUnlocking, "ledger within kernel", "downgrades", (2, 1)),
];

fn search(system: &Protocol) -> Result<(), Box<Conviction>> {
    explore(system)?;
    always_can(system, Protocol::waits, Protocol::is_expected, Protocol::has_arrived)?;
    Ok(())
}

#[test]
fn each_planted_bug_is_convicted_by_the_law_it_breaks() {
    for (bug, law, name, (processes, threads)) in BUGS {
        let sound = Protocol { watch: Some(0), ..world(name, processes, threads) };
        assert_eq!(search(&sound), Ok(()), "without the bug nothing is broken");
        let buggy = Protocol { bug: Some(bug), ..sound };
        let by_invariant = search(&Protocol { refinement: false, ..buggy.clone() });
        let by_invariant = by_invariant.expect_err(&format!("{bug:?} was not noticed"));
        let first = search(&buggy).expect_err("what the invariants notice is noticed with more");
        println!("{bug:?} ({name}, {processes}x{threads}): {by_invariant}");
        println!("with the refinement: {}, after {} states\n", first.broken.law, first.states);
        assert_eq!(by_invariant.broken.law, law, "{bug:?}");
    }
}

/// Without its own law too: who sleeps without looking may wait for ever for somebody who holds a
/// file that is no longer anybody's business.
#[test]
fn who_sleeps_without_looking_may_wait_for_ever() {
    let sound = Protocol { watch: Some(0), refinement: false, ..world("faults", 2, 1) };
    let live = |system: &Protocol| {
        let (waits, allowed) = (Protocol::waits_undisturbed, Protocol::is_expected_at_the_path);
        always_can(&Lawless(system), waits, allowed, Protocol::has_arrived)
    };
    assert!(live(&sound).is_ok());
    let conviction = live(&Protocol { bug: Some(Bug::SleepsWithoutLooking), ..sound });
    let conviction = conviction.expect_err("it was not noticed");
    println!("{conviction}");
    assert_eq!(conviction.broken.law, "always can");
}

/// The protocol without its invariants.
struct Lawless<'a>(&'a Protocol);

impl System for Lawless<'_> {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        self.0.start()
    }

    fn steps(&self, state: &State) -> Vec<(Step, State)> {
        self.0.steps(state)
    }

    fn canonical(&self, state: State) -> State {
        self.0.canonical(state)
    }

    fn check(&self, _: &State) -> Result<(), Broken> {
        Ok(())
    }

    fn check_step(&self, _: &State, _: &Step, _: &State) -> Result<(), Broken> {
        Ok(())
    }
}
