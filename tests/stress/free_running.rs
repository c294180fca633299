//! The lock under random programs, kills and stops; and under a lock file that is moved all the time.

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::fault_injection::longest_delay;
use super::layout::Layout;
use super::round::{Round, Shape};
use super::subject::Subject;
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

#[test]
fn l1_l2_l3_l5_l7_l11_free_running() {
    let first = first_seed();
    say(format_args!("free running: LOCKET_STRESS_SEED={first}"));
    let (lasts, calls) = seconds().map_or((Duration::from_secs(25), CALLS), |lasts| (lasts, 0));
    let start = Instant::now();
    let mut totals = Totals::default();
    for seed in first.. {
        let mut random = SmallRng::seed_from_u64(seed);
        let shape = Shape {
            processes: random.random_range(2..=6),
            threads: random.random_range(1..=4),
            lasts: Duration::from_secs(3),
            subject: Subject::Locket,
            layout: Layout::Fixed,
            inject_faults: true,
            wrapper: &[],
        };
        let round = Round::play(seed, &shape);
        assert_clean(&round, seed);
        totals.add(&round);
        let is_enough = totals.calls >= calls && totals.is_complete();
        if start.elapsed() >= lasts && is_enough || start.elapsed() >= lasts + LONGEST_MORE {
            break;
        }
    }
    say(format_args!("free running: {totals}"));
    assert!(totals.is_complete(), "an event did not happen: {totals}");
    // A waiter with a deadline returns in time (L3), and one without a deadline gets the lock in the end (L4).
    assert!(totals.worst_lateness.max(totals.worst_wait) < longest_delay(), "{totals}");
}

#[test]
fn l9_the_file_never_stays() {
    let first = first_seed();
    say(format_args!("moving file: LOCKET_STRESS_SEED={first}"));
    let (start, lasts) = (Instant::now(), seconds().unwrap_or(Duration::from_secs(6)));
    let (mut totals, mut moves) = (Totals::default(), 0);
    let (mut files, mut current, mut replaced, mut missed) = (0, 0, 0, 0);
    for seed in first.. {
        let shape = Shape {
            processes: 4,
            // With one thread a process has one hold, and the kernel's table shows its file.
            threads: 1,
            lasts: Duration::from_secs(3),
            subject: Subject::Locket,
            layout: Layout::Moving,
            inject_faults: true,
            wrapper: &[],
        };
        let round = Round::play(seed, &shape);
        assert_clean(&round, seed);
        totals.add(&round);
        moves += round.moves;
        files += round.evidence.files;
        current += round.evidence.current;
        replaced += round.evidence.replaced;
        missed += round.evidence.missed;
        if start.elapsed() >= lasts {
            break;
        }
    }
    say(format_args!(
        "moving file: {moves} moves, {files} files, {current} guards current, {replaced} replaced, \
         {missed} without a directory; {totals}"
    ));
    assert!([moves, files, current, replaced, totals.kills, totals.forks].iter().all(|&it| it > 0));
    assert!(totals.worst_lateness.max(totals.worst_wait) < longest_delay(), "{totals}");
}
