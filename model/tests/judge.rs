//! The judge: laws L1, L2, L3, L5 and L7 on histories of calls, against the exhaustive search.
#![allow(clippy::panic, reason = "that is how a test fails")]

use std::time::Instant;

use crate::random_history::{Defect, Shape, random_history};
use locket_model::judge::judge_with;
use locket_model::search::is_linearizable;
use locket_model::timeline::{draw_svg, explain};
use locket_model::{
    Attempt, Call, Fault, History, JudgeBug, Mode, Outcome, Return, Time, Wait, judge,
};

/// Shapes and defects in turn, so that each meets each.
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

/// Whether every bound of every hold belongs to that hold alone: no call without an end, no kept
/// hold acquired or released while another of its path and process is, and no process seen at work
/// once its signal was sent (its holds then end with a death of which only the latest time is known).
fn is_plain(history: &History) -> bool {
    let ends = |call: &Call| call.returned.map_or(Time::MAX, |end| end.at);
    let changes = |call: &&Call| {
        let outcome = call.returned.map(|end| end.outcome);
        let changed = [Outcome::Held, Outcome::Released, Outcome::Refused];
        call.guard.is_none() && outcome.is_none_or(|outcome| changed.contains(&outcome))
    };
    let kept: Vec<&Call> = history.calls.iter().filter(changes).collect();
    let apart = |one: &Call, other: &Call| {
        one.process != other.process || ends(one) < other.called || ends(other) < one.called
    };
    let at_rest = |call: &Call| {
        let mut kills = history.kills.iter().filter(|kill| kill.process == call.process);
        call.returned.is_some() && kills.all(|kill| ends(call) < kill.after)
    };
    history.calls.iter().all(at_rest)
        && (0..kept.len()).all(|at| kept[..at].iter().all(|other| apart(kept[at], other)))
}

/// The judge never convicts a correct history, and on plain ones it convicts every wrong one.
#[test]
fn the_judge_agrees_with_the_search() {
    let (mut plain, mut plain_wrong, mut plain_killed) = (0, 0, 0);
    let (mut other, mut other_wrong, mut acquitted) = (0, 0, 0);
    for seed in 0.. {
        let shape = shape(seed);
        let history = random_history(seed, shape);
        let correct = is_linearizable(&history);
        assert!(correct || shape.defect.is_some(), "seed {seed}: no defect, yet wrong\n{history}");
        let verdict = judge(&history);
        let acquits = verdict.faults.is_empty();
        assert!(acquits || !correct, "seed {seed}: {}\n{history}", explain(&history, &verdict));
        if is_plain(&history) {
            assert!(correct || !acquits, "seed {seed}: acquits a wrong one\n{history}");
            plain += 1;
            plain_wrong += usize::from(!correct);
            plain_killed += usize::from(!history.kills.is_empty());
        } else {
            other += 1;
            other_wrong += usize::from(!correct);
            acquitted += usize::from(acquits && !correct);
        }
        if plain == 20_000 {
            break;
        }
    }
    println!("plain histories: {plain}, of them {plain_wrong} wrong, {plain_killed} with a kill");
    println!("others: {other}, of them {other_wrong} wrong, {acquitted} of these acquitted");
    assert!(plain_wrong * 3 >= plain && (plain - plain_wrong) * 3 >= plain);
    assert!(plain_killed > 500);
    assert!(acquitted * 20 < other_wrong, "lenient where it need not be");
}

/// Every error planted in the judge shows in the same comparison, after so many histories.
#[test]
fn errors_in_the_judge_are_caught() {
    let bugs = [
        JudgeBug::IgnoresShared,
        JudgeBug::IgnoresKillBounds,
        JudgeBug::TouchingOverlaps,
        JudgeBug::ExcusesBeforeDeadline,
        JudgeBug::ReachesThrough,
        JudgeBug::ForgetsBegun,
    ];
    for bug in bugs {
        let caught = (0..20_000).find(|&seed| {
            let history = random_history(seed, shape(seed));
            let acquits = judge_with(&history, Some(bug)).faults.is_empty();
            let correct = is_linearizable(&history);
            correct && !acquits || !correct && acquits && is_plain(&history)
        });
        let caught = caught.unwrap_or_else(|| panic!("{bug:?} was not noticed"));
        println!("{bug:?}: caught by the search after {} histories", caught + 1);
    }
}

fn faults(text: &str) -> Vec<Fault> {
    let history = History::parse(text).expect("a history");
    let faults = judge(&history).faults;
    assert_eq!(faults.is_empty(), is_linearizable(&history), "{text}");
    faults
}

#[test]
fn l1_sure_holds_of_one_file_do_not_overlap() {
    let wrong = "acquire 1 0 0 kept 7 exclusive forever 10 20 held\n\
                 release 1 0 0 kept 50 60 released\n\
                 acquire 2 0 0 guard=0 7 shared forever 15 40 held\n\
                 release 2 0 0 guard=0 70 75 released\n";
    assert_eq!(faults(wrong), [Fault::Overlap { first: 0, second: 2, from: 40, to: 50 }]);
    let touching = wrong.replace("15 40 held", "15 50 held");
    assert_eq!(faults(&touching), []);
    let other_file = wrong.replace("guard=0 7 shared", "guard=0 8 shared");
    assert_eq!(faults(&other_file), []);
    let both_shared = wrong.replace("exclusive", "shared");
    assert_eq!(faults(&both_shared), []);
}

#[test]
fn l2_a_try_fails_only_while_somebody_can_hold() {
    let held = "acquire 1 0 0 kept 7 shared forever 10 20 held\n\
                release 1 0 0 kept 50 60 released\n";
    let refused =
        |at: &str| faults(&format!("{held}acquire 2 0 0 kept 7 exclusive try {at} timed-out\n"));
    assert_eq!(refused("5 10"), []);
    assert_eq!(refused("60 61"), []);
    assert_eq!(refused("61 62"), [Fault::NobodyThere { call: 2, from: 61, to: 62 }]);
    let shared = format!("{held}acquire 2 0 0 kept 7 shared try 30 31 timed-out\n");
    assert_eq!(faults(&shared), [Fault::NobodyThere { call: 2, from: 30, to: 31 }]);
}

#[test]
fn l3_a_timeout_is_never_early_and_somebody_holds_then() {
    let held = "acquire 1 0 0 kept 7 exclusive forever 10 20 held\n\
                release 1 0 0 kept 50 60 released\n";
    let timed = |wait: &str, at: &str| {
        faults(&format!("{held}acquire 2 0 0 kept 7 exclusive {wait} {at} timed-out\n"))
    };
    assert_eq!(timed("until=60", "30 70"), []);
    assert_eq!(timed("until=61", "30 70"), [Fault::NobodyThere { call: 2, from: 61, to: 70 }]);
    assert_eq!(timed("until=55", "30 54"), [Fault::Early { call: 2 }]);
    assert_eq!(timed("forever", "30 55"), [Fault::Early { call: 2 }]);
    assert_eq!(timed("until=5", "55 56"), [], "a deadline already past is one attempt");
}

#[test]
fn l5_one_release_wins() {
    let held = "acquire 1 0 0 kept 7 exclusive forever 10 20 held\n\
                release 1 0 0 kept 50 60 released\n";
    let both = format!("{held}release 1 1 0 kept 55 65 released\n");
    assert_eq!(faults(&both), [Fault::NothingToEnd { call: 2 }]);
    let guards = both.replace("kept", "guard=4");
    assert_eq!(faults(&guards), [Fault::EndedTwice { first: 1, second: 2 }]);
    let one = format!("{held}release 1 1 0 kept 55 65 not-locked\n");
    assert_eq!(faults(&one), []);
    let denied = format!("{held}release 1 1 0 kept 30 40 not-locked\n");
    assert_eq!(faults(&denied), [Fault::HeldAllAlong { call: 2 }]);
    let elsewhere = format!("{held}release 2 1 0 kept 30 40 not-locked\n");
    assert_eq!(faults(&elsewhere), []);
}

#[test]
fn l7_a_killed_process_holds_until_it_died_and_no_longer_than_it_was_reaped() {
    let killed = "acquire 1 0 0 kept 7 exclusive forever 10 20 held\nkill 1 50 60 killed\n";
    let then = |call: &str| faults(&format!("{killed}{call}"));
    assert_eq!(then("acquire 2 0 0 kept 7 exclusive forever 45 50 held\n"), []);
    let early = then("acquire 2 0 0 kept 7 exclusive forever 45 49 held\n");
    assert_eq!(early, [Fault::Overlap { first: 0, second: 1, from: 49, to: 50 }]);
    assert_eq!(then("acquire 2 0 0 kept 7 exclusive try 60 65 timed-out\n"), []);
    let late = then("acquire 2 0 0 kept 7 exclusive try 61 65 timed-out\n");
    assert_eq!(late, [Fault::NobodyThere { call: 1, from: 61, to: 65 }]);

    // Who is seen at work is alive, whenever its signal was sent.
    let at_work = killed.replace("10 20 held", "10 55 held");
    let then = |call: &str| faults(&format!("{at_work}{call}"));
    let beside = then("acquire 2 0 0 kept 7 exclusive try 51 53 held\n");
    assert_eq!(beside, [Fault::Overlap { first: 1, second: 0, from: 55, to: 55 }]);

    // A call that was begun and never ended may have had its effect, or not.
    let begun = killed.replace("10 20 held", "10 - begun");
    let then = |call: &str| faults(&format!("{begun}{call}"));
    assert_eq!(then("acquire 2 0 0 kept 7 exclusive try 45 49 timed-out\n"), []);
    assert_eq!(then("acquire 2 0 0 kept 7 exclusive try 45 49 held\n"), []);

    // Even after others came and went, and although a release was begun that may have ended it.
    let late = format!(
        "{begun}release 1 1 0 kept 20 - begun\n\
         acquire 2 0 0 kept 7 exclusive try 30 31 held\nrelease 2 0 0 kept 32 33 released\n\
         acquire 2 0 0 kept 7 exclusive try 59 60 timed-out\n"
    );
    assert_eq!(faults(&late), []);
}

/// A hold is one interval: it excuses nothing on the far side of another hold.
#[test]
fn a_hold_does_not_reach_through_another() {
    let text = "acquire 2 0 0 kept 7 exclusive forever 10 70 held\n\
                acquire 1 0 0 kept 7 exclusive forever 30 40 held\n\
                release 1 0 0 kept 50 60 released\n\
                acquire 3 0 0 kept 7 exclusive try 20 25 timed-out\n";
    assert_eq!(faults(text), [Fault::NobodyThere { call: 3, from: 20, to: 25 }]);
}

/// A million calls of sixteen processes, judged in seconds; and one wrong grant among them is found.
#[test]
fn a_million_calls() {
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
        now += 28; // the next acquires while this one is still being released
    }
    let text = history.to_string();
    let start = Instant::now();
    let parsed = History::parse(&text).expect("what was printed");
    println!("{} calls parsed in {:.1?}", parsed.calls.len(), start.elapsed());
    let start = Instant::now();
    let verdict = judge(&parsed);
    println!("and judged in {:.1?}", start.elapsed());
    assert_eq!((verdict.faults.len(), verdict.holds, verdict.timed_out), (0, 250_000, 500_000));

    let victim = parsed.calls[500_000];
    history.calls.push(Call { process: 99, ..victim });
    history.calls.push(Call { process: 99, ..parsed.calls[500_003] });
    let wrong = judge(&history);
    let planted = Fault::Overlap {
        first: 500_000,
        second: 1_000_000,
        from: victim.called + 10,
        to: victim.called + 20,
    };
    assert!(wrong.faults == [planted], "{:?}", &wrong.faults[..wrong.faults.len().min(3)]);
}

/// The picture names the fault, both calls and their times.
#[test]
fn a_fault_is_drawn() {
    let text = "acquire 1 0 0 kept 7 exclusive forever 10 20 held\n\
                release 1 0 0 kept 50 60 released\n\
                acquire 2 3 0 guard=0 7 shared forever 15 40 held\n\
                release 2 3 0 guard=0 70 75 released\n\
                acquire 3 0 0 kept 7 exclusive try 30 45 timed-out\n";
    let history = History::parse(text).expect("a history");
    let verdict = judge(&history);
    let picture = explain(&history, &verdict);
    println!("{picture}");
    assert_eq!(picture, include_str!("timeline.txt"));
    let svg = draw_svg(&history, &verdict.faults[0]);
    assert_eq!(svg.matches("<rect").count(), 7, "two holds of three bars, one call: {svg}");
    assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
}
