//! Tests of the harness itself: it must detect locks that do not lock, and print a report that a person can read.

use std::process::Command;
use std::time::{Duration, Instant};

use super::free_running::{first_seed, say};
use super::layout::Layout;
use super::round::{Round, Shape};
use super::subject::Subject;
use super::support::skip;

const SHAPE: Shape = Shape {
    processes: 3,
    threads: 1,
    lasts: Duration::from_millis(500),
    subject: Subject::Nothing,
    layout: Layout::Fixed,
    inject_faults: false,
    wrapper: &[],
};

/// Upper bound of a detection. Without other load one or two rounds are enough.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs rounds until the judge reports a violation of `law`, and, if `by_witness`, the evidence shows one too.
#[track_caller]
fn assert_detected(name: &str, law: &str, shape: &Shape, by_witness: bool) {
    let (first, start) = (first_seed(), Instant::now());
    let (mut by_judge, mut by_evidence) = (false, !by_witness);
    for seed in first.. {
        let round = Round::play(seed, shape);
        by_judge |= round.verdict.anomalies.iter().any(|anomaly| anomaly.law() == law);
        by_evidence |= !round.evidence.problems.is_empty();
        if by_judge && by_evidence {
            let report = round.summary();
            say(format_args!("detected: {name}, in round {}\n{report}\n", seed - first + 1));
            assert!(report.contains(law) && report.contains("> process "), "no report: {report}");
            return;
        }
        let so_far = format!("by the judge: {by_judge}; by the evidence: {by_evidence}");
        assert!(start.elapsed() < LONGEST, "{name} was not detected: {so_far}");
    }
}

#[test]
fn harness_detects_a_lock_that_never_locks() {
    assert_detected("a lock that never locks", "L1 Exclusion", &SHAPE, true);
}

#[test]
fn harness_detects_a_lock_that_unlinks_its_file() {
    let shape = Shape { subject: Subject::Unlinking, ..SHAPE };
    assert_detected("a lock that unlinks its file on release", "L1 Exclusion", &shape, true);
}

#[test]
fn harness_detects_a_posix_lock_among_threads() {
    let shape = Shape { subject: Subject::Posix, processes: 1, threads: 3, ..SHAPE };
    assert_detected("a POSIX lock among threads", "L1 Exclusion", &shape, true);
}

#[test]
fn harness_detects_a_child_that_unlocks_its_parents_lock() {
    let shape = Shape { subject: Subject::Freeing, ..SHAPE };
    assert_detected("a lock that a child releases for its parent", "L1 Exclusion", &shape, true);
}

#[test]
fn harness_detects_a_kernel_that_grants_everything() {
    if !Command::new("strace").args(["-qq", "true"]).output().is_ok_and(|it| it.status.success()) {
        return skip(
            "harness_detects_a_kernel_that_grants_everything",
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
    assert_detected("Locket on a kernel whose flock does nothing", "L1 Exclusion", &shape, true);
}

/// The subject reports contention although the lock is free. No witness can see this; only the judge can.
#[test]
fn harness_detects_contention_without_a_holder() {
    let shape = Shape { subject: Subject::Refusing, processes: 1, ..SHAPE };
    assert_detected(
        "a lock that reports contention without a holder",
        "L2 Try, L3 Deadline",
        &shape,
        false,
    );
}

/// The same shapes with Locket are clean, so the harness alone does not cause the reports.
#[test]
fn harness_passes_locket_in_the_same_shapes() {
    let seed = first_seed();
    for (processes, threads) in [(3, 1), (1, 3)] {
        let shape = Shape { subject: Subject::Locket, processes, threads, ..SHAPE };
        super::free_running::assert_clean(&Round::play(seed, &shape), seed);
    }
}
