//! The judge of histories: checks in O(n log n) whether a correct lock can have a history.
//!
//! A history bounds the instants at which a hold begins and ends. The hold is *definite* from the
//! return of its acquisition to the call of its release. It is *possible* from the call of its
//! acquisition to the return of its release:
//!
//! ```text
//!     acquire called    acquire returned          release called       release returned
//!          ├─────────────────────┼───────────────────────┼──────────────────────┤
//!          │      possible       │ definite and possible │       possible       │
//! ```
//!
//! A kill counts as a release: its call is the last moment at which the process was known to live,
//! its return is the moment at which the process was known to be gone.
//!
//! A history is correct if every step of every call has an instant within its bounds such that the
//! specification allows the whole:
//!
//! - **L1** Conflicting holds of one file are never definite at the same time.
//! - **L2** While a try fails, a conflicting hold is possible.
//! - **L3** A timed call times out no earlier than its deadline, and a conflicting hold is possible
//!   between its deadline and its return. An untimed call never times out.
//! - **L5** A release ends a hold that exists and that no other release ended. It returns "not locked"
//!   only if no unguarded hold of its path and process is definite during the whole call.
//!
//! For L2 and L3 the definite holds before and after a hold bound its possible interval: a hold is one
//! interval and cannot excuse a failure on the far side of another hold.
//!
//! - Soundness: the judge reports no anomaly in a correct history.
//! - Completeness: it reports every incorrect history that is *plain*. In a plain history every call has
//!   an end, no unguarded hold is acquired or released while another one of its path and process is,
//!   and no process is in a call after its signal was sent. In other histories it may miss anomalies.
//!
//! Both are tested, not proved: `README.md` gives the random histories on which tests compare the
//! judge with [`search`](crate::search), which is exact and slow.

use std::cmp::{max, min};
use std::collections::HashMap;

use crate::bounds::{Interval, ObservedHold, observed_holds};
use crate::history::{Attempt, Call, History, Time, Wait};
use crate::spec::{File, Mode, Outcome, Path, Process};
use crate::verdict::{Anomaly, JudgeBug, Verdict};

/// Judges a history that passes [`History::check`].
#[must_use]
pub fn judge(history: &History) -> Verdict {
    judge_with(history, None)
}

/// Judges a history with a bug seeded in the judge.
#[must_use]
pub fn judge_with(history: &History, bug: Option<JudgeBug>) -> Verdict {
    let mut verdict = Verdict { kills: history.kills.len(), ..Verdict::default() };
    count(history, &mut verdict);
    let mut holds = observed_holds(history, bug, &mut verdict.anomalies);
    let mut files: HashMap<File, Vec<usize>> = HashMap::new();
    for (at, hold) in holds.iter().enumerate() {
        if let Some(file) = hold.file {
            files.entry(file).or_default().push(at);
        }
    }
    for group in files.values() {
        check_exclusion(&mut holds, group, bug, &mut verdict.anomalies);
    }
    check_timeouts(history, &holds, &files, bug, &mut verdict.anomalies);
    check_not_locked(history, &holds, &mut verdict.anomalies);
    verdict.anomalies.sort_unstable();
    verdict
}

fn count(history: &History, verdict: &mut Verdict) {
    for call in &history.calls {
        let Some(end) = call.returned else { continue };
        match end.outcome {
            Outcome::Held => {
                verdict.holds += 1;
                verdict.shared += usize::from(call.mode() == Some(Mode::Shared));
                verdict.longest_wait = max(verdict.longest_wait, end.at - call.called);
            }
            Outcome::TimedOut => verdict.timed_out += 1,
            Outcome::Released | Outcome::Refused => verdict.released += 1,
            Outcome::Failed | Outcome::NotLocked => {}
        }
    }
}

fn conflict(one: Mode, other: Mode, bug: Option<JudgeBug>) -> bool {
    let both_exclusive = (one, other) == (Mode::Exclusive, Mode::Exclusive);
    if bug == Some(JudgeBug::IgnoresShared) { both_exclusive } else { one.conflicts(other) }
}

/// Checks L1 for the holds of one file, and narrows the possible interval of each hold.
fn check_exclusion(
    holds: &mut [ObservedHold],
    group: &[usize],
    bug: Option<JudgeBug>,
    anomalies: &mut Vec<Anomaly>,
) {
    let touches = bug == Some(JudgeBug::TouchingOverlaps);
    let mut definite: Vec<usize> = Vec::with_capacity(group.len());
    definite.extend(group.iter().copied().filter(|&at| holds[at].is_definite()));
    definite.sort_unstable_by_key(|&at| (holds[at].definite, holds[at].acquire));
    let order: Vec<(Interval, Mode)> =
        definite.iter().map(|&at| (holds[at].definite, holds[at].mode)).collect();

    // For each mode: the conflicting hold with the latest end among the first holds in order.
    let mut longest: [Vec<Option<usize>>; 2] = [vec![None], vec![None]];
    // For each mode: the next conflicting hold in order.
    let mut nearest: [Vec<Option<usize>>; 2] = [vec![None], vec![None]];
    for mine in [Mode::Exclusive, Mode::Shared] {
        let longest = &mut longest[mine as usize];
        let nearest = &mut nearest[mine as usize];
        for (at, &(interval, mode)) in order.iter().enumerate() {
            let best = longest[at];
            let stays = best.is_none_or(|best| order[best].0.to < interval.to);
            longest.push(if conflict(mine, mode, bug) && stays { Some(at) } else { best });
        }
        for (at, &(_, mode)) in order.iter().enumerate().rev() {
            let best = *nearest.last().unwrap_or(&None);
            nearest.push(if conflict(mine, mode, bug) { Some(at) } else { best });
        }
        nearest.reverse();
    }

    for (rank, &at) in definite.iter().enumerate() {
        let ObservedHold { acquire, mode, definite: interval, .. } = holds[at];
        let Some(other) = longest[mode as usize][rank] else { continue };
        let until = order[other].0.to;
        if until > interval.from || touches && until == interval.from {
            let first = holds[definite[other]].acquire;
            let to = min(until, interval.to);
            anomalies.push(Anomaly::Overlap { first, second: acquire, from: interval.from, to });
        }
    }
    for &at in group {
        let ObservedHold { acquire, mode, definite: interval, unreturned, .. } = holds[at];
        let (longest, nearest) = (&longest[mode as usize], &nearest[mode as usize]);
        if holds[at].is_definite() {
            let before = order.partition_point(|&(other, _)| other < interval);
            let after = order.partition_point(|&(other, _)| other <= interval);
            let previous = longest[before].map_or(0, |at| min(order[at].0.to, interval.from));
            let next = nearest[after].map_or(Time::MAX, |at| max(order[at].0.from, interval.to));
            holds[at].trim(previous, next, bug);
            continue;
        }
        // The hold existed at some instant of its interval. That is impossible if the interval lies
        // within another hold. If that other hold began before, it has ended before.
        let before = order.partition_point(|&(other, _)| other.from < interval.to);
        match longest[before].map(|other| (other, order[other].0.to)) {
            None => {}
            Some((_, to)) if to <= interval.from => holds[at].trim(to, Time::MAX, bug),
            Some(_) if unreturned => holds[at].possible = None,
            Some((other, _)) => {
                let first = holds[definite[other]].acquire;
                let (from, to) = (interval.to, interval.from);
                anomalies.push(Anomaly::Overlap { first, second: acquire, from, to });
            }
        }
    }
}

/// Intervals, indexed for the query "does one of them intersect this interval?" in O(log n).
struct IntervalSet {
    begins: Vec<Time>,
    longest: Vec<Time>, // the latest end among the intervals that begin no later
}

impl IntervalSet {
    fn new(intervals: impl Iterator<Item = Interval>) -> Self {
        let mut intervals: Vec<Interval> = intervals.collect();
        intervals.sort_unstable();
        let mut latest = 0;
        let longest = intervals.iter().map(|interval| {
            latest = max(latest, interval.to);
            latest
        });
        let longest = longest.collect();
        Self { begins: intervals.iter().map(|interval| interval.from).collect(), longest }
    }

    fn intersects(&self, time: Interval) -> bool {
        let candidates = self.begins.partition_point(|&begin| begin <= time.to);
        candidates > 0 && self.longest[candidates - 1] >= time.from
    }
}

/// The possible intervals of the holds that conflict with an exclusive and with a shared attempt.
struct ConflictingHolds([IntervalSet; 2]);

impl ConflictingHolds {
    fn new<'a>(
        holds: &(impl Iterator<Item = &'a ObservedHold> + Clone),
        bug: Option<JudgeBug>,
    ) -> Self {
        Self([Mode::Exclusive, Mode::Shared].map(|mine| {
            let in_the_way = holds.clone().filter(|hold| conflict(mine, hold.mode, bug));
            IntervalSet::new(in_the_way.filter_map(|hold| hold.possible))
        }))
    }

    fn intersects(&self, mode: Mode, time: Interval) -> bool {
        self.0[mode as usize].intersects(time)
    }
}

/// Checks L2 and L3.
fn check_timeouts(
    history: &History,
    holds: &[ObservedHold],
    files: &HashMap<File, Vec<usize>>,
    bug: Option<JudgeBug>,
    anomalies: &mut Vec<Anomaly>,
) {
    let all = ConflictingHolds::new(&holds.iter(), bug);
    let unknown = ConflictingHolds::new(&holds.iter().filter(|hold| hold.file.is_none()), bug);
    let of_file =
        |group: &Vec<usize>| ConflictingHolds::new(&group.iter().map(|&at| &holds[at]), bug);
    let by_file: HashMap<File, ConflictingHolds> =
        files.iter().map(|(&file, group)| (file, of_file(group))).collect();
    for (at, call) in history.calls.iter().enumerate() {
        let Some((file, mode, time)) = timed_out(call, bug) else { continue };
        if time.from > time.to {
            anomalies.push(Anomaly::EarlyTimeout { call: at });
            continue;
        }
        let met = file.map_or_else(
            || all.intersects(mode, time),
            |file| {
                unknown.intersects(mode, time)
                    || by_file.get(&file).is_some_and(|holds| holds.intersects(mode, time))
            },
        );
        if !met {
            anomalies.push(Anomaly::NoConflictingHold { call: at, from: time.from, to: time.to });
        }
    }
}

/// Returns the interval of the last attempt of a call that timed out.
fn timed_out(call: &Call, bug: Option<JudgeBug>) -> Option<(Option<File>, Mode, Interval)> {
    let Attempt::Acquire { file, mode, wait, .. } = call.attempt else { return None };
    let end = call.returned.filter(|end| end.outcome == Outcome::TimedOut)?;
    let deadline = match wait {
        Wait::Try => call.called,
        Wait::Until(_) if bug == Some(JudgeBug::ExcusesBeforeDeadline) => call.called,
        Wait::Until(deadline) => max(call.called, deadline),
        Wait::Forever => Time::MAX,
    };
    Some((file, mode, Interval { from: deadline, to: end.at }))
}

/// Checks the part of L5 about "not locked": it must have been true at some instant of the call.
fn check_not_locked(history: &History, holds: &[ObservedHold], anomalies: &mut Vec<Anomaly>) {
    let mut unguarded: HashMap<(Process, Path), Vec<Interval>> = HashMap::new();
    for hold in holds.iter().filter(|hold| hold.is_definite()) {
        let call = &history.calls[hold.acquire];
        if call.guard.is_none() {
            unguarded.entry((call.process, call.path)).or_default().push(hold.definite);
        }
    }
    for intervals in unguarded.values_mut() {
        intervals.sort_unstable();
        let mut merged: Vec<Interval> = Vec::with_capacity(intervals.len());
        for &interval in intervals.iter() {
            match merged.last_mut() {
                Some(last) if interval.from < last.to => last.to = max(last.to, interval.to),
                _ => merged.push(interval),
            }
        }
        *intervals = merged;
    }
    for (at, call) in history.calls.iter().enumerate() {
        let Some(end) = call.returned.filter(|end| end.outcome == Outcome::NotLocked) else {
            continue;
        };
        let Some(intervals) = unguarded.get(&(call.process, call.path)) else { continue };
        let before = intervals.partition_point(|interval| interval.from < call.called);
        if before > 0 && intervals[before - 1].to > end.at {
            anomalies.push(Anomaly::FalseNotLocked { call: at });
        }
    }
}
