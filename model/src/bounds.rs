//! From calls to holds: which release ended which acquisition, and within which bounds each hold
//! began and ended.

use std::cmp::{max, min};
use std::collections::HashMap;
use std::ops::Range;

use crate::history::{Attempt, History, Kill, Time};
use crate::spec::{File, HoldId, Mode, Outcome, Path, Process};
use crate::verdict::{Fault, JudgeBug};

/// A time from one instant to another, both included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub from: Time,
    pub to: Time,
}

/// A hold as seen from outside.
pub(crate) struct Seen {
    /// The call that made it.
    pub acquire: usize,
    pub file: Option<File>,
    pub mode: Mode,
    /// The end of its acquisition was not seen: there may have been no hold at all.
    pub begun: bool,
    /// It was there all this time. Or turned round (`from > to`), when its release may have been
    /// called before its acquisition returned: there at *some* instant between, if at all.
    pub sure: Span,
    /// `None` once it is clear that there was no hold.
    pub possible: Option<Span>,
}

impl Seen {
    pub(crate) const fn is_sure(&self) -> bool {
        !self.begun && self.sure.from <= self.sure.to
    }

    /// It is one interval, with no room for it before this nor after that.
    pub(crate) fn trim(&mut self, from: Time, to: Time, bug: Option<JudgeBug>) {
        if let Some(possible) =
            self.possible.as_mut().filter(|_| bug != Some(JudgeBug::ReachesThrough))
        {
            possible.from = max(possible.from, from);
            possible.to = min(possible.to, to);
        }
    }
}

/// Every hold with its bounds. Releases that ended no hold, or ended one again, are faults.
pub(crate) fn seen_holds(
    history: &History,
    bug: Option<JudgeBug>,
    faults: &mut Vec<Fault>,
) -> Vec<Seen> {
    let deaths = deaths(history, bug);
    let mut pairings: HashMap<Pairing, Ends> = HashMap::new();
    for (at, call) in history.calls.iter().enumerate() {
        let outcome = call.returned.map(|end| end.outcome);
        if outcome.is_none() && bug == Some(JudgeBug::ForgetsBegun) {
            continue;
        }
        let ends = pairings.entry((call.process, call.path, call.guard)).or_default();
        match (call.attempt, outcome) {
            (Attempt::Acquire { .. }, Some(Outcome::Held) | None) => ends.acquires.push(at),
            (Attempt::Release, Some(Outcome::Released | Outcome::Refused) | None) => {
                ends.releases.push(at);
            }
            _ => {}
        }
    }
    let mut holds = Vec::new();
    for ((process, ..), ends) in pairings {
        let death = deaths.get(&process).copied();
        let death = death.unwrap_or(Span { from: Time::MAX, to: Time::MAX });
        ends.pair(history, death, &mut holds, faults);
    }
    holds
}

/// What a release finds its hold by: a guard its own, `None` any kept one of its path and process.
type Pairing = (Process, Path, Option<HoldId>);

/// The acquisitions and releases of one guard, or of all kept holds of one path in one process.
#[derive(Default)]
struct Ends {
    acquires: Vec<usize>,
    releases: Vec<usize>,
}

impl Ends {
    /// `release` ends the oldest hold, but which one that is nobody outside can tell when calls
    /// overlap. It need not be told: the first of some holds begins no earlier than the first call,
    /// and no later than the first return, whichever it is; so for the second, and for the ends.
    /// So the n-th hold has the n-th smallest of each bound. (A call whose end was not seen may have
    /// had its effect, which lowers the lower bounds, or not: the upper bounds do not count on it.)
    fn pair(
        mut self,
        history: &History,
        death: Span,
        holds: &mut Vec<Seen>,
        faults: &mut Vec<Fault>,
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
            let end = Span {
                from: ends_from.get(n).map_or(death.from, |&from| min(from, death.from)),
                to: ends_to.get(n).map_or(death.to, |&to| min(to, death.to)),
            };
            let called = call(acquire).called;
            let begun = begins[n] == Time::MAX;
            let sure = match ends_from.get(n) {
                _ if !begun => Span { from: begins[n], to: end.from },
                // Only death ended it, whenever that was: it was there then.
                None => Span { from: end.to, to: end.from },
                Some(_) => Span { from: end.to, to: called },
            };
            let possible = Some(Span { from: called, to: end.to });
            let (file, mode) = files[n];
            holds.push(Seen { acquire, file, mode, begun, sure, possible });
        }
        for (n, &release) in self.releases.iter().enumerate() {
            let acquire = self.acquires.get(n).map(|&at| call(at).called);
            if call(release).returned.is_none() || acquire.is_some_and(|at| at <= returned(release))
            {
                continue;
            }
            faults.push(match (call(release).guard, n.checked_sub(1)) {
                (Some(_), Some(first)) => {
                    Fault::EndedTwice { first: self.releases[first], second: release }
                }
                _ => Fault::NothingToEnd { call: release },
            });
        }
    }

    /// The file and mode of the n-th hold. Of different holds that were acquired at once, or released
    /// at once, it is not known which is which: such a hold convicts nobody and excuses anything.
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

/// The runs of calls that are connected by overlaps, in order of time.
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

/// When each killed process died. Whoever is seen at work is alive, whatever the signal's time.
fn deaths(history: &History, bug: Option<JudgeBug>) -> HashMap<Process, Span> {
    let bounds = |kill: &Kill| Span { from: kill.after, to: kill.before };
    let mut deaths: HashMap<Process, Span> =
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
