//! Counts what a run did, so that a person sees that it did enough.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use locket_model::{Attempt, History, Outcome, Wait};

use super::round::Round;

#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    counts: BTreeMap<&'static str, usize>,
    worst_wait: u64,
    worst_lateness: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, round: &Round) {
        let Round { history, verdict, evidence, .. } = round;
        let (killed_holders, killed_waiters) = killed(history);
        // `ci/soak.sh` adds up the calls, holds, killed and forked of many runs.
        for (what, count) in [
            ("rounds", 1),
            ("processes", round.processes as usize),
            ("calls", history.calls.len()),
            ("holds", verdict.holds),
            ("shared holds", verdict.shared),
            ("timeouts", verdict.timed_out),
            ("holds counted alone", evidence.counted),
            ("killed", verdict.kills),
            ("holders killed", killed_holders),
            ("waiters killed", killed_waiters),
            ("witnesses of killed holders", evidence.left_by_killed),
            ("stopped", round.stops),
            ("forked", evidence.born.len()),
            ("children killed", evidence.born.len() - evidence.ended.len()),
            ("parents killed before their children", round.orphaned),
            ("moves", round.moves),
            ("files", evidence.files),
            ("guards current", evidence.current),
            ("guards replaced", evidence.replaced),
            ("acquisitions without a directory", evidence.missed),
        ] {
            *self.counts.entry(what).or_default() += count;
        }
        self.worst_wait = self.worst_wait.max(verdict.longest_wait);
        self.worst_lateness = self.worst_lateness.max(lateness(history));
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.counts.get(what).copied().unwrap_or(0)
    }

    /// Returns the longest delay: of a wait without a deadline, or after a deadline.
    pub(crate) fn worst_delay(&self) -> Duration {
        Duration::from_nanos(self.worst_wait.max(self.worst_lateness))
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in self.counts.iter().filter(|(_, count)| **count > 0) {
            write!(f, "{count} {what}, ")?;
        }
        let [wait, late] =
            [self.worst_wait, self.worst_lateness].map(|it| Duration::from_millis(it / 1_000_000));
        write!(f, "worst wait {wait:?}, worst lateness {late:?}")
    }
}

/// Returns how many processes were killed with a guard's hold, and how many during an acquisition.
fn killed(history: &History) -> (usize, usize) {
    let dead: BTreeSet<u32> = history.kills.iter().map(|kill| kill.process).collect();
    let (mut holds, mut released) = (BTreeSet::new(), BTreeSet::new());
    let mut waiting = BTreeSet::new();
    for call in history.calls.iter().filter(|call| dead.contains(&call.process)) {
        let guard = call.guard.map(|guard| (call.process, guard));
        match (call.attempt, call.returned) {
            (Attempt::Acquire { .. }, None) => drop(waiting.insert(call.process)),
            (Attempt::Acquire { .. }, Some(end)) if end.outcome == Outcome::Held => {
                holds.extend(guard);
            }
            (Attempt::Release, Some(_)) => released.extend(guard),
            _ => {}
        }
    }
    let holders: BTreeSet<u32> = holds.difference(&released).map(|&(process, _)| process).collect();
    (holders.len(), waiting.len())
}

/// Returns the longest time from the deadline of a timed call to its return.
fn lateness(history: &History) -> u64 {
    let late = |call: &locket_model::Call| match (call.attempt, call.returned) {
        (Attempt::Acquire { wait: Wait::Until(deadline), .. }, Some(end)) => {
            end.at.saturating_sub(deadline)
        }
        _ => 0,
    };
    history.calls.iter().map(late).max().unwrap_or(0)
}
