//! The protocol, model-checked within bounds: every law in every state and step of the worlds below,
//! the refinement to the specification, and that a waiter can always still get the lock.
//!
//! The tests assert the numbers of states and transitions. So `README.md` has the right numbers, and a
//! search that visits less than before fails.
#![allow(clippy::panic, reason = "that is how a test fails")]

use std::collections::BTreeSet;
use std::time::Instant;

use crate::worlds::world;
use locket_model::explorer::{System, always_reachable, explore, reachable};
use locket_model::protocol::{Protocol, Step};
use locket_model::state::State;

type Size = (&'static str, (usize, usize), (usize, usize));

fn safe(sizes: &[Size]) {
    for &(name, (processes, threads), expected) in sizes {
        let start = Instant::now();
        let report = explore(&world(name, processes, threads)).unwrap_or_else(|it| panic!("{it}"));
        println!("safe | {name} | {processes}x{threads} | {report} | {:.1?}", start.elapsed());
        assert_eq!((report.states, report.transitions), expected, "{name} {processes}x{threads}");
    }
}

fn live(sizes: &[Size], waits: impl Fn(&State) -> bool, allowed: impl Fn(&State, &Step) -> bool) {
    for &(name, (processes, threads), expected) in sizes {
        let start = Instant::now();
        let system = Protocol { track: Some(0), ..world(name, processes, threads) };
        let report = always_reachable(&system, &waits, &allowed, Protocol::has_hold)
            .unwrap_or_else(|it| panic!("{it}"));
        println!("live | {name} | {processes}x{threads} | {report} | {:.1?}", start.elapsed());
        assert_eq!((report.states, report.transitions), expected, "{name} {processes}x{threads}");
    }
}

#[test]
fn laws_hold_with_few_threads_and_all_faults() {
    safe(&[
        ("everything", (1, 2), (505_178, 1_595_173)),
        ("everything", (2, 1), (1_006_178, 3_863_694)),
        ("replaced", (2, 1), (101_719, 314_556)),
        ("idle", (1, 3), (5_522, 19_783)),
        ("downgrades", (2, 1), (2_714, 8_840)),
        ("downgrades", (1, 2), (2_624, 7_298)),
    ]);
}

#[test]
fn laws_hold_with_2x2() {
    safe(&[
        ("plain", (2, 2), (2_236, 8_255)),
        ("modes", (2, 2), (27_648, 113_377)),
        ("timed + rename", (2, 2), (282_889, 1_203_998)),
        ("faults", (2, 2), (101_060, 492_615)),
        ("unguarded", (2, 2), (236_451, 1_133_113)),
        ("downgrades", (2, 2), (883_540, 4_819_090)),
    ]);
}

#[test]
fn laws_hold_with_2x3_3x2_and_4x2() {
    safe(&[
        ("plain", (2, 3), (39_747, 213_360)),
        ("timed", (2, 3), (312_090, 1_994_227)),
        ("plain", (3, 2), (47_756, 252_802)),
        ("timed", (3, 2), (372_043, 2_383_231)),
        ("plain", (4, 2), (777_147, 5_200_782)),
    ]);
}

/// From every state, if the tracked thread waits, steps that continue calls and end holds lead to its
/// hold: without a new call, a crash or a deadline.
#[test]
fn a_waiter_can_always_get_the_lock() {
    let sizes = [
        ("plain", (2, 2), (8_425, 30_975)),
        ("modes", (2, 2), (106_734, 436_605)),
        ("timed", (2, 2), (34_210, 145_356)),
        ("faults", (2, 2), (599_830, 2_857_328)),
        ("unguarded + faults", (2, 1), (139_070, 498_109)),
        ("downgrades", (2, 1), (6_688, 20_521)),
        ("plain", (2, 3), (210_781, 1_121_826)),
        ("plain", (3, 2), (265_775, 1_397_593)),
    ];
    live(&sizes, Protocol::waits, Protocol::is_continuation);
}

/// The same without the release of holds of files that the path does not name, as long as the path has
/// not changed since the call.
#[test]
fn a_waiter_depends_only_on_holders_of_the_named_file() {
    let sizes = [
        ("faults", (2, 2), (599_830, 2_857_328)),
        ("timed + rename", (2, 2), (1_606_610, 6_816_743)),
        ("faults", (3, 1), (26_388, 112_935)),
    ];
    live(&sizes, Protocol::waits_with_path_unchanged, Protocol::is_continuation_on_current_file);
}

#[test]
#[ignore = "takes some minutes and 4 GB of memory"]
fn deep_laws_hold_in_larger_worlds() {
    safe(&[
        ("modes", (2, 3), (1_710_390, 10_194_858)),
        ("modes", (3, 2), (2_151_065, 12_738_790)),
        ("faults", (2, 3), (5_884_039, 38_838_888)),
        ("faults", (3, 2), (7_592_175, 53_671_611)),
    ]);
}

#[test]
#[ignore = "takes half a minute and 2 GB of memory"]
fn deep_a_waiter_can_always_get_the_lock_in_larger_worlds() {
    let sizes = [("timed", (3, 2), (2_120_626, 13_587_069))];
    live(&sizes, Protocol::waits, Protocol::is_continuation);
}

/// Compares the search with symmetry reduction to the full search: the same states are reachable up to
/// names, and the successors of a state do not depend on names.
#[test]
fn symmetry_reduction_loses_no_state() {
    for (name, size) in
        [("faults", (2, 1)), ("modes", (2, 2)), ("unguarded", (1, 3)), ("timed", (3, 1))]
    {
        let reduced = world(name, size.0, size.1);
        let full = Protocol { symmetry: false, ..reduced.clone() };
        let concrete = reachable(&full).unwrap_or_else(|it| panic!("{it}"));
        let classes: BTreeSet<_> = concrete.iter().map(|&it| reduced.canonical(it)).collect();
        let visited: BTreeSet<_> =
            reachable(&reduced).unwrap_or_else(|it| panic!("{it}")).into_iter().collect();
        println!("{name} {size:?}: {} states, {} up to names", concrete.len(), visited.len());
        assert!(visited.len() < concrete.len());
        assert!(visited == classes, "{name}: the reduced search visits other states");

        let after = |state| -> BTreeSet<_> {
            let steps = full.successors(&state).into_iter();
            steps.map(|(_, next)| reduced.canonical(next)).collect()
        };
        for state in concrete {
            assert!(
                after(state) == after(reduced.canonical(state)),
                "{name}: the successors depend on names"
            );
        }
    }
}
