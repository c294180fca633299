//! Everything that can be seen of a few short programs: the exact set of what their calls return.
#![allow(clippy::panic, reason = "that is how a test fails")]

use std::collections::BTreeSet;

use locket_model::explorer::{explore, observations};
use locket_model::protocol::{Call, Client, Protocol};
use locket_model::spec::Mode::{Exclusive, Shared};
use locket_model::spec::Outcome::{self, Held, NotLocked, Refused, Released, TimedOut};
use locket_model::state::Acquire;
use locket_model::state::Patience::{Deadline, Endless, Once};

/// What each thread's calls return, thread by thread.
type Seen = Vec<Vec<Outcome>>;

fn outcomes(scripts: Vec<Vec<Vec<Call>>>, change: impl Fn(&mut Protocol)) -> BTreeSet<Seen> {
    let (processes, threads) = (scripts.len(), scripts[0].len());
    let client = Client::Script(scripts);
    let mut system = Protocol { processes, threads, client, ..Protocol::default() };
    change(&mut system);
    explore(&system).unwrap_or_else(|it| panic!("{it}"));
    let runs = observations(&system, |from, step, _| {
        Protocol::outcome(from, step).map(|outcome| (step.process * threads + step.thread, outcome))
    });
    let by_thread = |run: Vec<(usize, Outcome)>| {
        let of =
            |n| run.iter().filter(move |(thread, _)| *thread == n).map(|(_, it)| *it).collect();
        (0..processes * threads).map(of).collect()
    };
    runs.into_iter().map(by_thread).collect()
}

const TRY: Call = Call::Acquire(Acquire { mode: Exclusive, kept: true, patience: Once });
const READ: Call = Call::Acquire(Acquire { mode: Shared, kept: true, patience: Once });
const ACQUIRE: Call = Call::Acquire(Acquire { mode: Exclusive, kept: true, patience: Endless });
const LOCK: Call = Call::Acquire(Acquire { mode: Exclusive, kept: false, patience: Endless });
const TIMED: Call = Call::Acquire(Acquire { mode: Exclusive, kept: false, patience: Deadline });
const END: Call = Call::Release;

fn set<const N: usize>(seen: [Seen; N]) -> BTreeSet<Seen> {
    BTreeSet::from(seen)
}

#[test]
fn of_two_tries_at_least_one_gets_in() {
    let one = || vec![vec![TRY, END]];
    let expected = set([
        vec![vec![Held, Released], vec![Held, Released]],
        vec![vec![Held, Released], vec![TimedOut, NotLocked]],
        vec![vec![TimedOut, NotLocked], vec![Held, Released]],
    ]);
    assert_eq!(outcomes(vec![one(), one()], |_| ()), expected);
}

#[test]
fn readers_do_not_meet() {
    let one = || vec![vec![READ, END]];
    let expected = set([vec![vec![Held, Released], vec![Held, Released]]]);
    assert_eq!(outcomes(vec![one(), one()], |_| ()), expected);
}

#[test]
fn of_two_releases_of_one_hold_one_wins() {
    let expected = set([
        vec![vec![Held, Released], vec![NotLocked]],
        vec![vec![Held, NotLocked], vec![Released]],
    ]);
    assert_eq!(outcomes(vec![vec![vec![ACQUIRE, END], vec![END]]], |_| ()), expected);
}

#[test]
fn a_guard_is_ended_by_itself_alone() {
    let expected = set([vec![vec![Held, Released], vec![NotLocked]]]);
    assert_eq!(outcomes(vec![vec![vec![LOCK, END], vec![END]]], |_| ()), expected);
}

#[test]
fn a_timed_wait_gets_in_or_times_out() {
    let expected = set([
        vec![vec![Held, Released], vec![Held]],
        vec![vec![Held, Released], vec![TimedOut]],
        // The second keeps its guard for ever, so the first waits for ever.
        vec![vec![], vec![Held]],
    ]);
    let scripts = vec![vec![vec![LOCK, END]], vec![vec![TIMED]]];
    assert_eq!(outcomes(scripts, |_| ()), expected);
}

/// The hold is given up all the same, and the next one gets in.
#[test]
fn a_refused_unlock_is_told_and_frees_the_lock() {
    let scripts = vec![vec![vec![LOCK, END]], vec![vec![LOCK, END]]];
    let seen = outcomes(scripts, |system| system.refusals = 2);
    let ends = [Released, Refused];
    let each = |one| ends.map(|other| vec![vec![Held, one], vec![Held, other]]);
    assert_eq!(seen, ends.into_iter().flat_map(each).collect());
}
