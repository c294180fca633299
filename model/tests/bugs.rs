//! The checkers of the protocol are checked: each planted bug is convicted, by the law it breaks.
#![allow(clippy::panic, reason = "that is how a test fails")]

mod worlds;

use locket_model::explorer::{Conviction, always_can, explore};
use locket_model::protocol::Protocol;
use locket_model::state::Bug;
use worlds::world;

/// The law that convicts each bug, in which world.
const BUGS: [(Bug, &str, &str, (usize, usize)); 15] = [
    (Bug::LosesWakeUp, "always can", "faults", (2, 1)),
    (Bug::IgnoresReaders, "L1 exclusion", "modes", (2, 1)),
    (Bug::PeeksBeforeTaking, "L5 one release wins", "pair", (1, 2)),
    (Bug::UnlocksBeforeTaking, "ledger within kernel", "plain", (2, 1)),
    (Bug::StealsGuards, "ledger within kernel", "pair", (1, 2)),
    (Bug::SkipsCheck, "L9 identity", "faults", (2, 1)),
    (Bug::TrustsSpare, "L9 identity", "faults", (2, 1)),
    (Bug::NoLastAttempt, "L3 last attempt", "timed", (2, 1)),
    (Bug::DeadlinePerFile, "L3 one deadline", "timed + rename", (2, 1)),
    (Bug::SwallowsRefusal, "L13 nothing left behind", "pair + faults", (1, 1)),
    (Bug::CountsSharedAsExclusive, "ledger within kernel", "modes", (2, 1)),
    (Bug::LeaksOnTimeout, "L13 nothing left behind", "timed", (2, 1)),
    (Bug::LeaksOnReopen, "L13 nothing left behind", "faults", (2, 1)),
    (Bug::DropsKept, "L5 one release wins", "pair", (1, 1)),
    (Bug::ErrorWhileHeld, "L6 released-error", "pair", (1, 2)),
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
