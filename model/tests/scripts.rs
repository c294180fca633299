//! All outcomes of short programs: the exact set of what their calls return, in all interleavings.
#![allow(clippy::panic, reason = "that is how a test fails")]

use std::collections::BTreeSet;

use locket_model::explorer::{explore, observable_traces};
use locket_model::protocol::{Call, Client, Protocol};
use locket_model::spec::Mode::{Exclusive, Shared};
use locket_model::spec::Outcome::{self, Held, NotLocked, Refused, Released, TimedOut};
use locket_model::state::Acquire;
use locket_model::state::Wait::{Forever, Timed, Try};

/// The outcomes of the calls of each thread.
type Outcomes = Vec<Vec<Outcome>>;

fn outcomes(scripts: Vec<Vec<Vec<Call>>>, change: impl Fn(&mut Protocol)) -> BTreeSet<Outcomes> {
    let (processes, threads) = (scripts.len(), scripts[0].len());
    let client = Client::Script(scripts);
    let mut system = Protocol { processes, threads, client, ..Protocol::default() };
    change(&mut system);
    explore(&system).unwrap_or_else(|it| panic!("{it}"));
    let runs = observable_traces(&system, |from, step, _| {
        Protocol::outcome(from, step).map(|outcome| (step.process * threads + step.thread, outcome))
    });
    let by_thread = |run: Vec<(usize, Outcome)>| {
        let of =
            |n| run.iter().filter(move |(thread, _)| *thread == n).map(|(_, it)| *it).collect();
        (0..processes * threads).map(of).collect()
    };
    runs.into_iter().map(by_thread).collect()
}

const TRY: Call = Call::Acquire(Acquire { mode: Exclusive, unguarded: true, wait: Try });
const READ: Call = Call::Acquire(Acquire { mode: Shared, unguarded: true, wait: Try });
const ACQUIRE: Call = Call::Acquire(Acquire { mode: Exclusive, unguarded: true, wait: Forever });
const LOCK: Call = Call::Acquire(Acquire { mode: Exclusive, unguarded: false, wait: Forever });
const TIMED: Call = Call::Acquire(Acquire { mode: Exclusive, unguarded: false, wait: Timed });
const END: Call = Call::Release;

fn set<const N: usize>(seen: [Outcomes; N]) -> BTreeSet<Outcomes> {
    BTreeSet::from(seen)
}

#[test]
fn at_least_one_of_two_tries_gets_the_lock() {
    let one = || vec![vec![TRY, END]];
    let expected = set([
        vec![vec![Held, Released], vec![Held, Released]],
        vec![vec![Held, Released], vec![TimedOut, NotLocked]],
        vec![vec![TimedOut, NotLocked], vec![Held, Released]],
    ]);
    assert_eq!(outcomes(vec![one(), one()], |_| ()), expected);
}

#[test]
fn readers_do_not_exclude_each_other() {
    let one = || vec![vec![READ, END]];
    let expected = set([vec![vec![Held, Released], vec![Held, Released]]]);
    assert_eq!(outcomes(vec![one(), one()], |_| ()), expected);
}

#[test]
fn one_of_two_releases_of_one_hold_succeeds() {
    let expected = set([
        vec![vec![Held, Released], vec![NotLocked]],
        vec![vec![Held, NotLocked], vec![Released]],
    ]);
    assert_eq!(outcomes(vec![vec![vec![ACQUIRE, END], vec![END]]], |_| ()), expected);
}

#[test]
fn only_a_guard_itself_ends_its_hold() {
    let expected = set([vec![vec![Held, Released], vec![NotLocked]]]);
    assert_eq!(outcomes(vec![vec![vec![LOCK, END], vec![END]]], |_| ()), expected);
}

#[test]
fn a_timed_wait_gets_the_lock_or_times_out() {
    let expected = set([
        vec![vec![Held, Released], vec![Held]],
        vec![vec![Held, Released], vec![TimedOut]],
        // The second thread keeps its guard forever, so the first waits forever.
        vec![vec![], vec![Held]],
    ]);
    let scripts = vec![vec![vec![LOCK, END]], vec![vec![TIMED]]];
    assert_eq!(outcomes(scripts, |_| ()), expected);
}

/// The hold is gone although the kernel refused the unlock, and the other process gets the lock.
#[test]
fn a_refused_unlock_is_reported_and_frees_the_lock() {
    let scripts = vec![vec![vec![LOCK, END]], vec![vec![LOCK, END]]];
    let seen = outcomes(scripts, |system| system.refusals = 2);
    let ends = [Released, Refused];
    let each = |one| ends.map(|other| vec![vec![Held, one], vec![Held, other]]);
    assert_eq!(seen, ends.into_iter().flat_map(each).collect());
}
