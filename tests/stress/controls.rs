//! The harness itself: locks that are none must be convicted, with a story that can be read.

use std::process::Command;
use std::time::{Duration, Instant};

use super::free_running::{first_seed, say};
use super::round::{Round, Shape};
use super::subject::Subject;
use super::support::skip;
use super::terrain::Terrain;

const SHAPE: Shape = Shape {
    processes: 3,
    threads: 1,
    lasts: Duration::from_millis(500),
    subject: Subject::Nothing,
    terrain: Terrain::Still,
    mistreated: false,
    wrapper: &[],
};

/// It takes one round, or two, unless the machine is busy with other things.
const LONGEST: Duration = Duration::from_secs(60);

/// Rounds until the judge has convicted it, and the evidence that needs no clock has too.
#[track_caller]
fn convict(name: &str, law: &str, shape: &Shape, by_witness: bool) {
    let (first, start) = (first_seed(), Instant::now());
    let (mut by_judge, mut by_evidence) = (false, !by_witness);
    for seed in first.. {
        let round = Round::play(seed, shape);
        by_judge |= round.verdict.anomalies.iter().any(|fault| fault.law() == law);
        by_evidence |= !round.evidence.problems.is_empty();
        if by_judge && by_evidence {
            let story = round.headline();
            say(format_args!("convicted: {name}, in round {}\n{story}\n", seed - first + 1));
            assert!(story.contains(law) && story.contains("> process "), "no story: {story}");
            return;
        }
        let so_far = format!("by the judge {by_judge}, by evidence {by_evidence}");
        assert!(start.elapsed() < LONGEST, "{name} was not convicted: {so_far}");
    }
}

#[test]
fn a_lock_that_never_locks_is_convicted() {
    convict("a lock that never locks", "L1 Exclusion", &SHAPE, true);
}

#[test]
fn a_lock_that_unlinks_its_file_is_convicted() {
    let shape = Shape { subject: Subject::Unlinking, ..SHAPE };
    convict("a lock that unlinks its file on release", "L1 Exclusion", &shape, true);
}

#[test]
fn a_posix_lock_is_convicted_in_one_process() {
    let shape = Shape { subject: Subject::Posix, processes: 1, threads: 3, ..SHAPE };
    convict("a POSIX lock among threads", "L1 Exclusion", &shape, true);
}

#[test]
fn a_child_that_unlocks_its_parent_is_convicted() {
    let shape = Shape { subject: Subject::Freeing, ..SHAPE };
    convict("a lock that a child takes from its parent", "L1 Exclusion", &shape, true);
}

#[test]
fn a_kernel_that_lies_is_convicted() {
    if !Command::new("strace").args(["-qq", "true"]).output().is_ok_and(|it| it.status.success()) {
        return skip(
            "a_kernel_that_lies_is_convicted",
            "strace: not installed, or not allowed to trace",
        );
    }
    let wrapper = &[
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=flock",
        "-e",
        "inject=flock:retval=0",
    ];
    let shape = Shape { subject: Subject::Locket, lasts: Duration::from_secs(2), wrapper, ..SHAPE };
    convict("Locket on a kernel whose flock does nothing", "L1 Exclusion", &shape, true);
}

/// The other lie: held, it says, and nobody is there. No witness can see that, but the judge does.
#[test]
fn a_lock_that_refuses_for_no_reason_is_convicted() {
    let shape = Shape { subject: Subject::Refusing, processes: 1, ..SHAPE };
    convict("a lock that refuses for no reason", "L2 Try, L3 Deadline", &shape, false);
}

/// The same shapes around the lock: what convicts the others is not the harness.
#[test]
fn the_lock_is_acquitted_where_the_others_are_not() {
    let seed = first_seed();
    for (processes, threads) in [(3, 1), (1, 3)] {
        let shape = Shape { subject: Subject::Locket, processes, threads, ..SHAPE };
        super::free_running::assert_clean(&Round::play(seed, &shape), seed);
    }
}
