//! Counts what a run did, so that a person sees that it did enough.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::time::Duration;

use locket_model::{Attempt, History, Mode, Outcome};

use super::round::Round;

#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) rounds: usize,
    pub(crate) processes: usize,
    pub(crate) calls: usize,
    pub(crate) holds: usize,
    pub(crate) shared: usize,
    pub(crate) timed_out: usize,
    /// Acquisitions that were called while a guard certainly held the file exclusively.
    pub(crate) contended: usize,
    pub(crate) counted: usize,
    pub(crate) kills: usize,
    pub(crate) killed_holders: usize,
    pub(crate) killed_waiters: usize,
    pub(crate) forks: usize,
    pub(crate) killed_children: usize,
    pub(crate) orphaned: usize,
    pub(crate) stops: usize,
    pub(crate) left_by_killed: usize,
    pub(crate) worst_wait: u64,
    pub(crate) worst_lateness: u64,
}

/// A time in which the lock is certainly held: from the return of an acquisition to the call of its release.
type Sure = (u64, u64);

impl Totals {
    pub(crate) fn add(&mut self, round: &Round) {
        let Round { history, verdict, evidence, .. } = round;
        self.rounds += 1;
        self.processes += round.processes as usize;
        self.calls += history.calls.len();
        self.holds += verdict.holds;
        self.shared += verdict.shared;
        self.timed_out += verdict.timed_out;
        self.contended += contended(history);
        self.counted += evidence.counted;
        self.kills += verdict.kills;
        let (holders, waiters) = killed(history);
        self.killed_holders += holders;
        self.killed_waiters += waiters;
        self.forks += evidence.born.len();
        self.killed_children += evidence.born.len() - evidence.ended;
        self.orphaned += round.orphaned;
        self.stops += round.stops;
        self.left_by_killed += evidence.left_by_killed;
        self.worst_wait = self.worst_wait.max(verdict.longest_wait);
        self.worst_lateness = self.worst_lateness.max(lateness(history));
    }

    /// Returns whether each event has happened that the random programs and the fault injection have to produce.
    pub(crate) fn is_complete(&self) -> bool {
        let Self { contended, timed_out, shared, counted, killed_holders, killed_waiters, .. } =
            *self;
        let Self { kills, left_by_killed, stops, forks, killed_children, orphaned, .. } = *self;
        let met = [contended, timed_out, shared, counted, killed_holders, killed_waiters];
        let suffered = [kills, left_by_killed, stops, forks, killed_children, orphaned];
        met.into_iter().chain(suffered).all(|count| count > 0)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, processes, calls, holds, shared, timed_out, contended, .. } = self;
        let Self { counted, kills, killed_holders, killed_waiters, stops, .. } = self;
        let Self { forks, killed_children, orphaned, .. } = self;
        let left = self.left_by_killed;
        let millis = |nanos| Duration::from_millis(nanos / 1_000_000);
        let (wait, late) = (millis(self.worst_wait), millis(self.worst_lateness));
        write!(
            f,
            "{rounds} rounds, {processes} processes, {calls} calls: {holds} holds ({shared} shared), \
             {contended} met an exclusive holder, {timed_out} timed out; {counted} counted alone; \
             {kills} killed (of them {killed_holders} with a hold, {killed_waiters} in a wait; \
             {left} witnesses left), {stops} stopped; {forks} forked ({killed_children} of them killed, \
             {orphaned} killed parents had children that lived on); worst wait {wait:?}, worst lateness {late:?}"
        )
    }
}

fn contended(history: &History) -> usize {
    let mut ends = HashMap::new();
    for call in history.calls.iter().filter(|call| call.attempt == Attempt::Release) {
        if let Some(guard) = call.guard {
            ends.insert((call.process, guard), call.called);
        }
    }
    let mut sure: HashMap<u64, Vec<Sure>> = HashMap::new();
    for call in &history.calls {
        let (Some(guard), Some(end)) = (call.guard, call.returned) else { continue };
        let Attempt::Acquire { file: Some(file), mode: Mode::Exclusive, .. } = call.attempt else {
            continue;
        };
        let Some(&released) = ends.get(&(call.process, guard)) else { continue };
        if end.outcome == Outcome::Held {
            sure.entry(file).or_default().push((end.at, released));
        }
    }
    for spans in sure.values_mut() {
        spans.sort_unstable();
    }
    let met = |at: u64, file: u64| {
        let Some(spans) = sure.get(&file) else { return false };
        let before = spans.partition_point(|&(from, _)| from <= at);
        before > 0 && spans[before - 1].1 > at
    };
    let calls = history.calls.iter();
    calls
        .filter(|call| match call.attempt {
            Attempt::Acquire { file: Some(file), .. } => met(call.called, file),
            _ => false,
        })
        .count()
}

/// Returns how many processes were killed with a guard's hold, and how many during an acquisition.
fn killed(history: &History) -> (usize, usize) {
    let dead: BTreeSet<u32> = history.kills.iter().map(|kill| kill.process).collect();
    let (mut holds, mut waiting) = (BTreeSet::new(), BTreeSet::new());
    let mut released = BTreeSet::new();
    for call in history.calls.iter().filter(|call| dead.contains(&call.process)) {
        match (call.attempt, call.returned, call.guard) {
            (Attempt::Acquire { .. }, None, _) => {
                waiting.insert(call.process);
            }
            (Attempt::Acquire { .. }, Some(end), Some(guard)) if end.outcome == Outcome::Held => {
                holds.insert((call.process, guard));
            }
            (Attempt::Release, Some(_), Some(guard)) => {
                released.insert((call.process, guard));
            }
            _ => {}
        }
    }
    let holders: BTreeSet<u32> = holds.difference(&released).map(|&(process, _)| process).collect();
    (holders.len(), waiting.len())
}

/// Returns the longest time from the deadline of a timed call to its return.
fn lateness(history: &History) -> u64 {
    let late = |call: &locket_model::Call| match (call.attempt, call.returned) {
        (Attempt::Acquire { wait: locket_model::Wait::Until(deadline), .. }, Some(end)) => {
            end.at.saturating_sub(deadline)
        }
        _ => 0,
    };
    history.calls.iter().map(late).max().unwrap_or(0)
}
