//! The holds of a history: which release ended which acquisition, and the bounds of the begin and
//! the end of each hold.

use std::cmp::{max, min};
use std::collections::HashMap;
use std::ops::Range;

use crate::history::{Attempt, History, Kill, Time};
use crate::spec::{File, HoldId, Mode, Outcome, Path, Process};
use crate::verdict::{Anomaly, JudgeBug};

/// A closed interval of time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interval {
    pub from: Time,
    pub to: Time,
}

/// A hold as the history shows it.
pub(crate) struct ObservedHold {
    /// The index of its acquisition.
    pub acquire: usize,
    pub file: Option<File>,
    pub mode: Mode,
    /// Its acquisition has no end: there may have been no hold.
    pub unreturned: bool,
    /// The interval in which the hold definitely existed. If its release may have been called before
    /// its acquisition returned, the interval is reversed (`from > to`): the hold existed at *some*
    /// instant in between, if it existed.
    pub definite: Interval,
    /// The interval in which the hold may have existed; `None` if there was no hold.
    pub possible: Option<Interval>,
}

impl ObservedHold {
    pub(crate) const fn is_definite(&self) -> bool {
        !self.unreturned && self.definite.from <= self.definite.to
    }

    /// Narrows the possible interval: the hold is one interval and fits between its neighbours.
    pub(crate) fn trim(&mut self, from: Time, to: Time, bug: Option<JudgeBug>) {
        if let Some(possible) =
            self.possible.as_mut().filter(|_| bug != Some(JudgeBug::ExcusesAcrossHolds))
        {
            possible.from = max(possible.from, from);
            possible.to = min(possible.to, to);
        }
    }
}

/// Returns every hold with its bounds. A release without a hold, or of a hold that another release
/// ended, is an anomaly.
pub(crate) fn observed_holds(
    history: &History,
    bug: Option<JudgeBug>,
    anomalies: &mut Vec<Anomaly>,
) -> Vec<ObservedHold> {
    let deaths = deaths(history, bug);
    let mut groups: HashMap<HoldKey, HoldCalls> = HashMap::new();
    for (at, call) in history.calls.iter().enumerate() {
        let outcome = call.returned.map(|end| end.outcome);
        if outcome.is_none() && bug == Some(JudgeBug::IgnoresUnreturned) {
            continue;
        }
        let ends = groups.entry((call.process, call.path, call.guard)).or_default();
        match (call.attempt, outcome) {
            (Attempt::Acquire { .. }, Some(Outcome::Held) | None) => ends.acquires.push(at),
            (Attempt::Release, Some(Outcome::Released | Outcome::Refused) | None) => {
                ends.releases.push(at);
            }
            _ => {}
        }
    }
    let mut holds = Vec::new();
    for ((process, ..), ends) in groups {
        let death = deaths.get(&process).copied();
        let death = death.unwrap_or(Interval { from: Time::MAX, to: Time::MAX });
        ends.pair(history, death, &mut holds, anomalies);
    }
    holds
}

/// The key of a hold for a release: a guard's number; `None` for the unguarded holds of a path and
/// process.
type HoldKey = (Process, Path, Option<HoldId>);

/// The acquisitions and releases of one guard, or of all unguarded holds of one path in one process.
#[derive(Default)]
struct HoldCalls {
    acquires: Vec<usize>,
    releases: Vec<usize>,
}

impl HoldCalls {
    /// Pairs acquisitions and releases. `release` ends the oldest hold, but a history with overlapping
    /// calls does not show which one that is. The bounds do not need it. The first of several holds
    /// begins no earlier than the first call and no later than the first return, whichever hold it is.
    /// The same is true of the second hold, and of the ends. So the n-th hold has the n-th smallest of
    /// each bound. A call without an end may have had its effect: it counts for the lower bounds. It
    /// may have had none: it does not count for the upper bounds.
    fn pair(
        mut self,
        history: &History,
        death: Interval,
        holds: &mut Vec<ObservedHold>,
        anomalies: &mut Vec<Anomaly>,
    ) {
        let call = |at: usize| &history.calls[at];
        let returned = |at: usize| call(at).returned.map_or(Time::MAX, |end| end.at);
        let sorted = |calls: &[usize], bound: &dyn Fn(usize) -> Time| {
            let mut times: Vec<Time> = calls.iter().map(|&at| bound(at)).collect();
            times.sort_unstable();
            times
        };
        let begins = sorted(&self.acquires, &returned);
        let ends_from = sorted(&self.releases, &|at| call(at).called);
        let ends_to = sorted(&self.releases, &returned);
        self.acquires.sort_unstable_by_key(|&at| (call(at).called, at));
        self.releases.sort_unstable_by_key(|&at| (returned(at), at));
        let files = self.files(history);
        for (n, &acquire) in self.acquires.iter().enumerate() {
            let end = Interval {
                from: ends_from.get(n).map_or(death.from, |&from| min(from, death.from)),
                to: ends_to.get(n).map_or(death.to, |&to| min(to, death.to)),
            };
            let called = call(acquire).called;
            let unreturned = begins[n] == Time::MAX;
            let definite = match ends_from.get(n) {
                _ if !unreturned => Interval { from: begins[n], to: end.from },
                // Only the death of the process ended the hold, so it existed at the death.
                None => Interval { from: end.to, to: end.from },
                Some(_) => Interval { from: end.to, to: called },
            };
            let possible = Some(Interval { from: called, to: end.to });
            let (file, mode) = files[n];
            holds.push(ObservedHold { acquire, file, mode, unreturned, definite, possible });
        }
        for (n, &release) in self.releases.iter().enumerate() {
            let acquire = self.acquires.get(n).map(|&at| call(at).called);
            if call(release).returned.is_none() || acquire.is_some_and(|at| at <= returned(release))
            {
                continue;
            }
            anomalies.push(match (call(release).guard, n.checked_sub(1)) {
                (Some(_), Some(first)) => {
                    Anomaly::DoubleRelease { first: self.releases[first], second: release }
                }
                _ => Anomaly::ReleaseWithoutHold { call: release },
            });
        }
    }

    /// Returns the file and mode of the n-th hold. If different holds were acquired, or released, in
    /// overlapping calls, the history does not show which is which. Such a hold has no known file: it
    /// makes no anomaly and excuses any timeout.
    fn files(&self, history: &History) -> Vec<(Option<File>, Mode)> {
        let kind = |&at: &usize| match history.calls[at].attempt {
            Attempt::Acquire { file, mode, .. } => (file, mode),
            Attempt::Release => (None, Mode::Exclusive),
        };
        let mut files: Vec<(Option<File>, Mode)> = self.acquires.iter().map(kind).collect();
        if files.windows(2).all(|pair| pair[0] == pair[1]) {
            return files;
        }
        for calls in [&self.acquires, &self.releases] {
            for at_once in overlapping(history, calls) {
                let at_once = at_once.start..min(at_once.end, files.len());
                let Some(among) = files.get_mut(at_once) else { continue };
                if among.windows(2).any(|pair| pair[0] != pair[1]) {
                    among.fill((None, Mode::Exclusive));
                }
            }
        }
        files
    }
}

/// Returns the runs of calls that overlap, directly or through other calls, in order of time.
fn overlapping(history: &History, calls: &[usize]) -> Vec<Range<usize>> {
    let mut times: Vec<(Time, Time)> = calls
        .iter()
        .map(|&at| &history.calls[at])
        .map(|call| (call.called, call.returned.map_or(Time::MAX, |end| end.at)))
        .collect();
    times.sort_unstable();
    let mut runs: Vec<Range<usize>> = Vec::new();
    let mut until = 0;
    for (n, (called, returned)) in times.into_iter().enumerate() {
        match runs.last_mut() {
            Some(run) if called <= until => run.end = n + 1,
            _ => runs.push(n..n + 1),
        }
        until = max(until, returned);
    }
    runs
}

/// Returns the interval in which each killed process died. A process that calls or returns is alive,
/// whatever the time of the signal.
fn deaths(history: &History, bug: Option<JudgeBug>) -> HashMap<Process, Interval> {
    let bounds = |kill: &Kill| Interval { from: kill.after, to: kill.before };
    let mut deaths: HashMap<Process, Interval> =
        history.kills.iter().map(|kill| (kill.process, bounds(kill))).collect();
    if bug == Some(JudgeBug::IgnoresKillBounds) {
        for death in deaths.values_mut() {
            death.to = death.from;
        }
    }
    if !deaths.is_empty() {
        for call in &history.calls {
            if let Some(death) = deaths.get_mut(&call.process) {
                death.from = max(death.from, call.returned.map_or(call.called, |end| end.at));
            }
        }
    }
    deaths
}
