//! The protocol, searched exhaustively: every law in every state and step of the worlds below, the
//! refinement to the specification, and that who waits can always still get in.
//!
//! The numbers of states and edges are asserted, so that README.md tells the truth, and so that a
//! search that sees less than before is noticed.
#![allow(clippy::panic, reason = "that is how a test fails")]

mod worlds;

use std::collections::BTreeSet;
use std::time::Instant;

use locket_model::explorer::{System, always_can, explore, reachable};
use locket_model::protocol::Protocol;
use worlds::world;

type Size = (&'static str, (usize, usize), (usize, usize));

fn safe(sizes: &[Size]) {
    for &(name, (processes, threads), expected) in sizes {
        let start = Instant::now();
        let report = explore(&world(name, processes, threads)).unwrap_or_else(|it| panic!("{it}"));
        println!("safe | {name} | {processes}x{threads} | {report} | {:.1?}", start.elapsed());
        assert_eq!((report.states, report.edges), expected, "{name} {processes}x{threads}");
    }
}

fn live(sizes: &[Size]) {
    for &(name, (processes, threads), expected) in sizes {
        let start = Instant::now();
        let system = Protocol { watch: Some(0), ..world(name, processes, threads) };
        let report =
            always_can(&system, Protocol::waits, Protocol::is_expected, Protocol::has_arrived)
                .unwrap_or_else(|it| panic!("{it}"));
        println!("live | {name} | {processes}x{threads} | {report} | {:.1?}", start.elapsed());
        assert_eq!((report.states, report.edges), expected, "{name} {processes}x{threads}");
    }
}

#[test]
fn safe_with_few_threads_and_everything() {
    safe(&[
        ("everything", (1, 2), (452_610, 1_444_313)),
        ("everything", (2, 1), (888_322, 3_442_222)),
        ("replaced", (2, 1), (85_959, 269_648)),
        ("spares", (1, 3), (4_470, 16_259)),
    ]);
}

#[test]
fn safe_with_2x2() {
    safe(&[
        ("plain", (2, 2), (1_537, 5_584)),
        ("modes", (2, 2), (18_702, 76_427)),
        ("timed + rename", (2, 2), (208_760, 894_482)),
        ("faults", (2, 2), (60_089, 289_725)),
        ("pair", (2, 2), (172_073, 836_795)),
    ]);
}

#[test]
fn safe_with_2x3_3x2_and_4x2() {
    safe(&[
        ("plain", (2, 3), (22_473, 117_751)),
        ("timed", (2, 3), (210_266, 1_350_812)),
        ("plain", (3, 2), (26_479, 136_161)),
        ("timed", (3, 2), (245_227, 1_579_958)),
        ("plain", (4, 2), (361_001, 2_308_739)),
    ]);
}

/// From every state the marked thread, if it waits, can get in by what the others are about to do:
/// no new call, no crash, no deadline.
#[test]
fn who_waits_can_always_get_in() {
    live(&[
        ("plain", (2, 2), (5_754, 20_787)),
        ("modes", (2, 2), (71_921, 292_929)),
        ("timed", (2, 2), (26_404, 112_816)),
        ("faults", (2, 2), (262_388, 1_232_719)),
        ("pair + faults", (2, 1), (89_878, 332_737)),
        ("plain", (2, 3), (118_179, 612_184)),
        ("plain", (3, 2), (146_432, 746_092)),
    ]);
}

#[test]
#[ignore = "a minute or two, and 2 GB of memory"]
fn safe_with_more_of_everything() {
    safe(&[
        ("modes", (2, 3), (956_935, 5_639_065)),
        ("modes", (3, 2), (1_178_706, 6_881_822)),
        ("faults", (2, 3), (2_503_910, 16_169_267)),
        ("faults", (3, 2), (3_183_882, 21_998_228)),
    ]);
}

#[test]
#[ignore = "half a minute, and 1 GB of memory"]
fn who_waits_can_always_get_in_with_more_of_everything() {
    live(&[("timed", (3, 2), (1_392_680, 8_974_575))]);
}

/// Taking states that differ only in names for one loses nothing: the same states are found, and
/// from each state the same states follow, whatever the names.
#[test]
fn symmetry_is_harmless() {
    for (name, size) in [("faults", (2, 1)), ("modes", (2, 2)), ("pair", (1, 3)), ("timed", (3, 1))]
    {
        let reduced = world(name, size.0, size.1);
        let full = Protocol { symmetry: false, ..reduced.clone() };
        let concrete = reachable(&full).unwrap_or_else(|it| panic!("{it}"));
        let classes: BTreeSet<_> = concrete.iter().map(|&it| reduced.canonical(it)).collect();
        let found: BTreeSet<_> =
            reachable(&reduced).unwrap_or_else(|it| panic!("{it}")).into_iter().collect();
        println!("{name} {size:?}: {} states, {} up to names", concrete.len(), found.len());
        assert!(found.len() < concrete.len());
        assert!(found == classes, "{name}: other states are found");

        let after = |state| -> BTreeSet<_> {
            let steps = full.steps(&state).into_iter();
            steps.map(|(_, next)| reduced.canonical(next)).collect()
        };
        for state in concrete {
            assert!(after(state) == after(reduced.canonical(state)), "{name}: names matter");
        }
    }
}
