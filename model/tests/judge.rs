//! The judge: laws L1, L2, L3, L5 and L7 on histories of calls, against the exhaustive search.
#![allow(clippy::panic, reason = "that is how a test fails")]

use std::time::Instant;

use crate::random_history::{Defect, Shape, random_history};
use locket_model::judge::judge_with;
use locket_model::search::is_linearizable;
use locket_model::timeline::{draw_svg, explain};
use locket_model::{
    Anomaly, Attempt, Call, History, JudgeBug, Mode, Outcome, Return, Time, Wait, judge,
};

/// Combines shapes and defects, so that each shape meets each defect.
fn shape(seed: u64) -> Shape {
    Shape {
        processes: 2 + (seed % 2) as u32,
        threads: 1 + (seed / 2 % 2) as u32,
        files: 1 + seed / 4 % 2,
        calls: 8 + (seed % 5) as usize,
        shared: seed / 8 % 3 > 0,
        kills: seed % 5 == 4,
        // A defect does not show in every history.
        defect: (seed % 7 > 1).then(|| Defect::ALL[(seed / 7 % 7) as usize]),
    }
}

/// Returns whether the history is plain: every bound belongs to one hold. Every call has an end. No
/// unguarded hold is acquired or released while another one of its process is. No process is in a call
/// after its signal was sent; otherwise only the latest time of its death would be known.
fn is_plain(history: &History) -> bool {
    let ends = |call: &Call| call.returned.map_or(Time::MAX, |end| end.at);
    let changes = |call: &&Call| {
        let outcome = call.returned.map(|end| end.outcome);
        let changed = [Outcome::Held, Outcome::Released, Outcome::Refused];
        call.guard.is_none() && outcome.is_none_or(|outcome| changed.contains(&outcome))
    };
    let unguarded: Vec<&Call> = history.calls.iter().filter(changes).collect();
    let apart = |one: &Call, other: &Call| {
        one.process != other.process || ends(one) < other.called || ends(other) < one.called
    };
    let ended_before_signal = |call: &Call| {
        let mut kills = history.kills.iter().filter(|kill| kill.process == call.process);
        call.returned.is_some() && kills.all(|kill| ends(call) < kill.after)
    };
    history.calls.iter().all(ended_before_signal)
        && (0..unguarded.len())
            .all(|at| unguarded[..at].iter().all(|other| apart(unguarded[at], other)))
}

/// The judge accepts every correct history and, among plain ones, rejects every wrong one.
#[test]
fn the_judge_agrees_with_the_exact_search() {
    let (mut plain, mut plain_wrong, mut plain_killed) = (0, 0, 0);
    let (mut other, mut other_wrong, mut accepted) = (0, 0, 0);
    for seed in 0.. {
        let shape = shape(seed);
        let history = random_history(seed, shape);
        let correct = is_linearizable(&history);
        assert!(correct || shape.defect.is_some(), "seed {seed}: no defect, yet wrong\n{history}");
        let verdict = judge(&history);
        let accepts = verdict.anomalies.is_empty();
        assert!(accepts || !correct, "seed {seed}: {}\n{history}", explain(&history, &verdict));
        if is_plain(&history) {
            assert!(correct || !accepts, "seed {seed}: accepts a wrong history\n{history}");
            plain += 1;
            plain_wrong += usize::from(!correct);
            plain_killed += usize::from(!history.kills.is_empty());
        } else {
            other += 1;
            other_wrong += usize::from(!correct);
            accepted += usize::from(accepts && !correct);
        }
        if plain == 20_000 {
            break;
        }
    }
    println!("plain histories: {plain}, of them {plain_wrong} wrong, {plain_killed} with a kill");
    println!("others: {other}, of them {other_wrong} wrong, {accepted} of these accepted");
    assert!(plain_wrong * 3 >= plain && (plain - plain_wrong) * 3 >= plain);
    assert!(plain_killed > 500);
    assert!(accepted * 20 < other_wrong, "the judge accepts too many wrong histories");
}

/// The same comparison catches every bug seeded in the judge; the test prints after how many histories.
#[test]
fn bugs_seeded_in_the_judge_are_caught() {
    let bugs = [
        JudgeBug::IgnoresShared,
        JudgeBug::IgnoresKillBounds,
        JudgeBug::TouchingOverlaps,
        JudgeBug::ExcusesBeforeDeadline,
        JudgeBug::ExcusesAcrossHolds,
        JudgeBug::IgnoresUnreturned,
    ];
    for bug in bugs {
        let caught = (0..20_000).find(|&seed| {
            let history = random_history(seed, shape(seed));
            let accepts = judge_with(&history, Some(bug)).anomalies.is_empty();
            let correct = is_linearizable(&history);
            correct && !accepts || !correct && accepts && is_plain(&history)
        });
        let caught = caught.unwrap_or_else(|| panic!("{bug:?} was not caught"));
        println!("{bug:?}: caught by the search after {} histories", caught + 1);
    }
}

fn anomalies(text: &str) -> Vec<Anomaly> {
    let history = History::parse(text).expect("a history");
    let anomalies = judge(&history).anomalies;
    assert_eq!(anomalies.is_empty(), is_linearizable(&history), "{text}");
    anomalies
}

#[test]
fn l1_definite_holds_of_one_file_do_not_overlap() {
    let wrong = "acquire 1 0 0 unguarded 7 exclusive forever 10 20 held\n\
                 release 1 0 0 unguarded 50 60 released\n\
                 acquire 2 0 0 guard=0 7 shared forever 15 40 held\n\
                 release 2 0 0 guard=0 70 75 released\n";
    assert_eq!(anomalies(wrong), [Anomaly::Overlap { first: 0, second: 2, from: 40, to: 50 }]);
    let touching = wrong.replace("15 40 held", "15 50 held");
    assert_eq!(anomalies(&touching), []);
    let other_file = wrong.replace("guard=0 7 shared", "guard=0 8 shared");
    assert_eq!(anomalies(&other_file), []);
    let both_shared = wrong.replace("exclusive", "shared");
    assert_eq!(anomalies(&both_shared), []);
}

#[test]
fn l2_a_try_fails_only_while_a_conflicting_hold_is_possible() {
    let held = "acquire 1 0 0 unguarded 7 shared forever 10 20 held\n\
                release 1 0 0 unguarded 50 60 released\n";
    let refused = |at: &str| {
        anomalies(&format!("{held}acquire 2 0 0 unguarded 7 exclusive try {at} timed-out\n"))
    };
    assert_eq!(refused("5 10"), []);
    assert_eq!(refused("60 61"), []);
    assert_eq!(refused("61 62"), [Anomaly::NoConflictingHold { call: 2, from: 61, to: 62 }]);
    let shared = format!("{held}acquire 2 0 0 unguarded 7 shared try 30 31 timed-out\n");
    assert_eq!(anomalies(&shared), [Anomaly::NoConflictingHold { call: 2, from: 30, to: 31 }]);
}

#[test]
fn l3_a_timeout_is_never_early_and_needs_a_conflicting_hold() {
    let held = "acquire 1 0 0 unguarded 7 exclusive forever 10 20 held\n\
                release 1 0 0 unguarded 50 60 released\n";
    let timed = |wait: &str, at: &str| {
        anomalies(&format!("{held}acquire 2 0 0 unguarded 7 exclusive {wait} {at} timed-out\n"))
    };
    assert_eq!(timed("until=60", "30 70"), []);
    assert_eq!(
        timed("until=61", "30 70"),
        [Anomaly::NoConflictingHold { call: 2, from: 61, to: 70 }]
    );
    assert_eq!(timed("until=55", "30 54"), [Anomaly::EarlyTimeout { call: 2 }]);
    assert_eq!(timed("forever", "30 55"), [Anomaly::EarlyTimeout { call: 2 }]);
    assert_eq!(timed("until=5", "55 56"), [], "a deadline already past is one attempt");
}

#[test]
fn l5_one_release_wins() {
    let held = "acquire 1 0 0 unguarded 7 exclusive forever 10 20 held\n\
                release 1 0 0 unguarded 50 60 released\n";
    let both = format!("{held}release 1 1 0 unguarded 55 65 released\n");
    assert_eq!(anomalies(&both), [Anomaly::ReleaseWithoutHold { call: 2 }]);
    let guards = both.replace("unguarded", "guard=4");
    assert_eq!(anomalies(&guards), [Anomaly::DoubleRelease { first: 1, second: 2 }]);
    let one = format!("{held}release 1 1 0 unguarded 55 65 not-locked\n");
    assert_eq!(anomalies(&one), []);
    let denied = format!("{held}release 1 1 0 unguarded 30 40 not-locked\n");
    assert_eq!(anomalies(&denied), [Anomaly::FalseNotLocked { call: 2 }]);
    let elsewhere = format!("{held}release 2 1 0 unguarded 30 40 not-locked\n");
    assert_eq!(anomalies(&elsewhere), []);
}

#[test]
fn l7_a_hold_of_a_killed_process_ends_between_signal_and_reap() {
    let killed = "acquire 1 0 0 unguarded 7 exclusive forever 10 20 held\nkill 1 50 60 killed\n";
    let then = |call: &str| anomalies(&format!("{killed}{call}"));
    assert_eq!(then("acquire 2 0 0 unguarded 7 exclusive forever 45 50 held\n"), []);
    let early = then("acquire 2 0 0 unguarded 7 exclusive forever 45 49 held\n");
    assert_eq!(early, [Anomaly::Overlap { first: 0, second: 1, from: 49, to: 50 }]);
    assert_eq!(then("acquire 2 0 0 unguarded 7 exclusive try 60 65 timed-out\n"), []);
    let late = then("acquire 2 0 0 unguarded 7 exclusive try 61 65 timed-out\n");
    assert_eq!(late, [Anomaly::NoConflictingHold { call: 1, from: 61, to: 65 }]);

    // A process that returns from a call is alive, whatever the time of its signal.
    let in_call = killed.replace("10 20 held", "10 55 held");
    let then = |call: &str| anomalies(&format!("{in_call}{call}"));
    let overlap = then("acquire 2 0 0 unguarded 7 exclusive try 51 53 held\n");
    assert_eq!(overlap, [Anomaly::Overlap { first: 1, second: 0, from: 55, to: 55 }]);

    // A call without an end may have had its effect, or none.
    let begun = killed.replace("10 20 held", "10 - begun");
    let then = |call: &str| anomalies(&format!("{begun}{call}"));
    assert_eq!(then("acquire 2 0 0 unguarded 7 exclusive try 45 49 timed-out\n"), []);
    assert_eq!(then("acquire 2 0 0 unguarded 7 exclusive try 45 49 held\n"), []);

    // The same after other holds, and after a release without an end that may have ended the hold.
    let late = format!(
        "{begun}release 1 1 0 unguarded 20 - begun\n\
         acquire 2 0 0 unguarded 7 exclusive try 30 31 held\nrelease 2 0 0 unguarded 32 33 released\n\
         acquire 2 0 0 unguarded 7 exclusive try 59 60 timed-out\n"
    );
    assert_eq!(anomalies(&late), []);
}

/// A hold is one interval: it excuses nothing on the far side of another hold.
#[test]
fn a_hold_excuses_nothing_beyond_another_hold() {
    let text = "acquire 2 0 0 unguarded 7 exclusive forever 10 70 held\n\
                acquire 1 0 0 unguarded 7 exclusive forever 30 40 held\n\
                release 1 0 0 unguarded 50 60 released\n\
                acquire 3 0 0 unguarded 7 exclusive try 20 25 timed-out\n";
    assert_eq!(anomalies(text), [Anomaly::NoConflictingHold { call: 3, from: 20, to: 25 }]);
}

/// Judges a million calls of sixteen processes, then the same calls with one wrong grant.
#[test]
fn a_million_calls_are_judged_and_one_wrong_grant_is_found() {
    let mut history = History::default();
    let mut now = 0;
    let call = |process: u32, called: Time, at: Time, attempt, outcome| Call {
        process,
        thread: 0,
        path: 0,
        guard: None,
        attempt,
        called,
        returned: Some(Return { at, outcome }),
    };
    let mode = Mode::Exclusive;
    let acquire = |file, wait| Attempt::Acquire { file: Some(file), mode, wait };
    for turn in 0..250_000u32 {
        let (holder, other) = (turn % 16, (turn + 5) % 16);
        let file = u64::from(turn % 3);
        let end = [Outcome::Held, Outcome::Released];
        history.calls.extend([
            call(holder, now, now + 10, acquire(file, Wait::Forever), end[0]),
            call(other, now + 12, now + 14, acquire(file, Wait::Try), Outcome::TimedOut),
            call(
                other,
                now + 15,
                now + 19,
                acquire(file, Wait::Until(now + 17)),
                Outcome::TimedOut,
            ),
            call(holder, now + 20, now + 30, Attempt::Release, end[1]),
        ]);
        now += 28; // the next acquisition begins during this release
    }
    let text = history.to_string();
    let start = Instant::now();
    let parsed = History::parse(&text).expect("the printed history parses");
    println!("{} calls parsed in {:.1?}", parsed.calls.len(), start.elapsed());
    let start = Instant::now();
    let verdict = judge(&parsed);
    println!("and judged in {:.1?}", start.elapsed());
    assert_eq!((verdict.anomalies.len(), verdict.holds, verdict.timed_out), (0, 250_000, 500_000));

    let victim = parsed.calls[500_000];
    history.calls.push(Call { process: 99, ..victim });
    history.calls.push(Call { process: 99, ..parsed.calls[500_003] });
    let wrong = judge(&history);
    let planted = Anomaly::Overlap {
        first: 500_000,
        second: 1_000_000,
        from: victim.called + 10,
        to: victim.called + 20,
    };
    assert!(wrong.anomalies == [planted], "{:?}", &wrong.anomalies[..wrong.anomalies.len().min(3)]);
}

/// The drawing shows the anomaly, both calls and their times.
#[test]
fn an_anomaly_is_drawn() {
    let text = "acquire 1 0 0 unguarded 7 exclusive forever 10 20 held\n\
                release 1 0 0 unguarded 50 60 released\n\
                acquire 2 3 0 guard=0 7 shared forever 15 40 held\n\
                release 2 3 0 guard=0 70 75 released\n\
                acquire 3 0 0 unguarded 7 exclusive try 30 45 timed-out\n";
    let history = History::parse(text).expect("a history");
    let verdict = judge(&history);
    let picture = explain(&history, &verdict);
    println!("{picture}");
    assert_eq!(picture, include_str!("timeline.txt"));
    let svg = draw_svg(&history, &verdict.anomalies[0]);
    assert_eq!(svg.matches("<rect").count(), 7, "two holds of three bars, one call: {svg}");
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
}
