//! The lock under random programs, kills and stops; and under a file that never stays.

use std::env;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::mistreatment::patience;
use super::round::{Round, Shape};
use super::subject::Subject;
use super::tally::Tally;
use super::terrain::Terrain;

/// What a run is worth at least, if nobody said how long it is to be.
const CALLS: usize = 100_000;

/// Whatever is drawn at random has happened by then.
const LONGEST_MORE: Duration = Duration::from_secs(60);

/// How long, if somebody said it.
fn seconds() -> Option<Duration> {
    let seconds = env::var("LOCKET_STRESS").ok()?;
    Some(Duration::from_secs(seconds.parse().expect("LOCKET_STRESS in seconds")))
}

/// The next round's is one more.
pub(crate) fn first_seed() -> u64 {
    let seed = env::var("LOCKET_STRESS_SEED").map(|it| it.parse().expect("a number for a seed"));
    seed.unwrap_or_else(|_| rand::rng().random_range(0..1 << 48))
}

/// Past the harness, which would keep it to itself.
pub(crate) fn say(text: impl Display) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

#[track_caller]
pub(crate) fn assert_clean(round: &Round, seed: u64) {
    assert!(round.is_clean(), "\nLOCKET_STRESS_SEED={seed}\n{}", round.story());
}

#[test]
fn l1_l2_l3_l5_l7_l11_free_running() {
    let first = first_seed();
    say(format_args!("free running: LOCKET_STRESS_SEED={first}"));
    let (lasts, calls) = seconds().map_or((Duration::from_secs(25), CALLS), |lasts| (lasts, 0));
    let start = Instant::now();
    let mut tally = Tally::default();
    for seed in first.. {
        let mut random = SmallRng::seed_from_u64(seed);
        let shape = Shape {
            processes: random.random_range(2..=6),
            threads: random.random_range(1..=4),
            lasts: Duration::from_secs(3),
            subject: Subject::Locket,
            terrain: Terrain::Still,
            mistreated: true,
            wrapper: &[],
        };
        let round = Round::play(seed, &shape);
        assert_clean(&round, seed);
        tally.add(&round);
        let is_enough = tally.calls >= calls && tally.has_everything();
        if start.elapsed() >= lasts && is_enough || start.elapsed() >= lasts + LONGEST_MORE {
            break;
        }
    }
    say(format_args!("free running: {tally}"));
    assert!(tally.has_everything(), "something did not happen: {tally}");
    // Who has a deadline keeps it, and who has none is not forgotten.
    assert!(tally.worst_lateness.max(tally.worst_wait) < patience(), "{tally}");
}

#[test]
fn l9_the_file_never_stays() {
    let first = first_seed();
    say(format_args!("moving file: LOCKET_STRESS_SEED={first}"));
    let (start, lasts) = (Instant::now(), seconds().unwrap_or(Duration::from_secs(6)));
    let (mut tally, mut moves) = (Tally::default(), 0);
    let (mut files, mut current, mut replaced, mut missed) = (0, 0, 0, 0);
    for seed in first.. {
        let shape = Shape {
            processes: 4,
            // So that a process has one hold, whose file the kernel tells.
            threads: 1,
            lasts: Duration::from_secs(3),
            subject: Subject::Locket,
            terrain: Terrain::Moving,
            mistreated: true,
            wrapper: &[],
        };
        let round = Round::play(seed, &shape);
        assert_clean(&round, seed);
        tally.add(&round);
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
         {missed} without a directory; {tally}"
    ));
    assert!([moves, files, current, replaced, tally.kills, tally.forks].iter().all(|&it| it > 0));
    assert!(tally.worst_lateness.max(tally.worst_wait) < patience(), "{tally}");
}
