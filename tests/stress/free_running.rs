//! The lock under random programs, kills and stops; and under a lock file that is moved all the time.

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::layout::Layout;
use super::round::{Round, Shape};
use super::support::PATIENCE;
use super::totals::Totals;

/// The least number of calls of a run without `LOCKET_STRESS`.
const CALLS: usize = 100_000;

/// Upper bound of the additional time until each random event has happened at least once.
const LONGEST_MORE: Duration = Duration::from_secs(60);

/// Returns the value of `LOCKET_STRESS`, if it is set.
fn seconds() -> Option<Duration> {
    let seconds = env::var("LOCKET_STRESS").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("LOCKET_STRESS in seconds")))
}

/// Returns the seed of the first round. Each round adds one.
pub(crate) fn first_seed() -> u64 {
    let seed = env::var("LOCKET_STRESS_SEED").map(|it| it.parse().expect("a number for a seed"));
    seed.unwrap_or_else(|_| rand::rng().random_range(0..1 << 48))
}

/// Writes to standard error directly, because the test harness captures `eprintln!`.
pub(crate) fn say(text: impl Display) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

#[track_caller]
pub(crate) fn assert_clean(round: &Round, seed: u64) {
    assert!(round.is_clean(), "\nLOCKET_STRESS_SEED={seed}\n{}", round.report());
}

/// The events that the random programs and the fault injection have to produce.
const EVENTS: [&str; 11] = [
    "timeouts",
    "shared holds",
    "holds counted alone",
    "killed",
    "holders killed",
    "waiters killed",
    "witnesses of killed holders",
    "stopped",
    "forked",
    "children killed",
    "parents killed before their children",
];

/// The events of files that move.
const MOVES: [&str; 6] =
    ["moves", "files", "guards current", "guards replaced", "killed", "forked"];

/// Plays rounds for that time, and for longer until there were so many calls and each event has happened.
fn play(
    name: &str,
    (lasts, calls): (Duration, usize),
    events: &[&str],
    shape: impl Fn(&mut SmallRng) -> Shape,
) {
    let (first, start) = (first_seed(), Instant::now());
    say(format_args!("{name}: LOCKET_STRESS_SEED={first}"));
    let mut totals = Totals::default();
    for seed in first.. {
        let round = Round::play(seed, &shape(&mut SmallRng::seed_from_u64(seed)));
        assert_clean(&round, seed);
        totals.add(&round);
        let is_enough =
            totals.count("calls") >= calls && events.iter().all(|event| totals.count(event) > 0);
        if start.elapsed() >= lasts && is_enough || start.elapsed() >= lasts + LONGEST_MORE {
            break;
        }
    }
    say(format_args!("{name}: {totals}"));
    let missing: Vec<_> = events.iter().filter(|event| totals.count(event) == 0).collect();
    assert!(missing.is_empty(), "did not happen: {missing:?}");
    // A waiter with a deadline returns in time (L3), and one without a deadline gets the lock in the end (L4).
    assert!(totals.worst_delay() < PATIENCE, "{totals}");
}

#[test]
fn l1_l2_l3_l5_l7_l11_free_running() {
    let least = seconds().map_or((Duration::from_secs(25), CALLS), |lasts| (lasts, 0));
    play("free running", least, &EVENTS, |random| Shape {
        processes: random.random_range(2..=6),
        threads: random.random_range(1..=4),
        ..Shape::DEFAULT
    });
}

#[test]
fn l9_the_file_never_stays() {
    let least = (seconds().unwrap_or(Duration::from_secs(6)), 0);
    // With one thread a process has one hold, and the kernel's table shows its file.
    let shape = Shape { processes: 4, threads: 1, layout: Layout::Moving, ..Shape::DEFAULT };
    play("moving file", least, &MOVES, |_| shape);
}
