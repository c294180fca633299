//! Tests of the harness itself: it must detect locks that do not lock, and print a report that a person can read.

use std::process::Command;
use std::time::{Duration, Instant};

use super::free_running::{first_seed, say};
use super::round::{Round, Shape};
use super::subject::Subject;
use super::support::skip;

const SHAPE: Shape =
    Shape { lasts: Duration::from_millis(500), inject_faults: false, ..Shape::DEFAULT };

/// Upper bound of a detection. Without other load one or two rounds are enough.
const LONGEST: Duration = Duration::from_secs(60);

/// Runs rounds until the judge reports a violation of `law`, and, if `by_witness`, the evidence shows one too.
#[track_caller]
fn assert_detected(name: &str, shape: &Shape, law: &str, by_witness: bool) {
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

/// Tests that a lock that does not lock is detected.
macro_rules! detected {
    ($($name:ident: $subject:ident, $processes:literal processes of $threads:literal threads;)*) => {$(
        #[test]
        fn $name() {
            let (processes, threads) = ($processes, $threads);
            let shape = Shape { subject: Subject::$subject, processes, threads, ..SHAPE };
            assert_detected(stringify!($name), &shape, "L1 Exclusion", true);
        }
    )*};
}

detected! {
    harness_detects_a_lock_that_never_locks: Nothing, 3 processes of 1 threads;
    harness_detects_a_lock_that_unlinks_its_file: Unlinking, 3 processes of 1 threads;
    harness_detects_a_posix_lock_among_threads: Posix, 1 processes of 3 threads;
    harness_detects_a_child_that_unlocks_its_parents_lock: Freeing, 3 processes of 1 threads;
}

#[test]
fn harness_detects_a_kernel_that_grants_everything() {
    let name = "harness_detects_a_kernel_that_grants_everything";
    if !Command::new("strace").args(["-qq", "true"]).output().is_ok_and(|it| it.status.success()) {
        return skip(name, "strace: not installed, or not allowed to trace");
    }
    let wrapper = &["strace", "-fqqo/dev/null", "-etrace=flock", "-einject=flock:retval=0"];
    let shape = Shape { subject: Subject::Locket, lasts: Duration::from_secs(2), wrapper, ..SHAPE };
    assert_detected(name, &shape, "L1 Exclusion", true);
}

/// The subject reports contention although the lock is free. No witness can see this; only the judge can.
#[test]
fn harness_detects_contention_without_a_holder() {
    let shape = Shape { subject: Subject::Refusing, processes: 1, ..SHAPE };
    assert_detected("contention without a holder", &shape, "L2 Try, L3 Deadline", false);
}
