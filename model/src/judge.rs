//! The judge of histories: was this the history of a correct lock? In O(n log n).
//!
//! From outside, the instants of a hold are known only within bounds. It is *sure* from the return
//! of its acquisition to the call of its release, and *possible* from the call of its acquisition
//! to the return of its release:
//!
//! ```text
//!     acquire called    acquire returned        release called     release returned
//!          ├─────────────────────┼───────────────────────┼──────────────────────┤
//!          │      possible       │   sure and possible   │       possible       │
//! ```
//!
//! (A kill is a release that is called at the last moment the process was known to live, and that
//! returns when it is known to be gone.) A history is correct when there is an instant for every
//! step of every call, within its bounds, such that the specification allows the whole:
//!
//! - **L1** conflicting holds of one file are never sure at once;
//! - **L2** while a try fails, a conflicting hold is possible;
//! - **L3** a timed call times out no earlier than its deadline, and a conflicting hold is possible
//!   between its deadline and its return; an untimed one never does;
//! - **L5** a release ends a hold that was there and that no other ended, and never says "not
//!   locked" while a kept hold of its path and process is sure all along.
//!
//! For L2 and L3 a hold is possible only as far as the sure holds before and after it leave room:
//! it is one unbroken interval, and cannot excuse anything on the far side of another's.
//!
//! Never convicts a correct history. Acquits no wrong one either, as long as every call's end is
//! known, no kept hold is acquired or released while another of its path and process is, and no
//! process is seen at work once its signal was sent; for those it is lenient.
//! ([`search`](crate::search) is exact, and slow.)

use std::cmp::{max, min};
use std::collections::HashMap;

use crate::bounds::{Seen, Span, seen_holds};
use crate::history::{Attempt, Call, History, Time, Wait};
use crate::spec::{File, Mode, Outcome, Path, Process};
use crate::verdict::{Fault, JudgeBug, Verdict};

/// Judges a history (one that passes [`History::check`]).
#[must_use]
pub fn judge(history: &History) -> Verdict {
    judge_with(history, None)
}

/// [`judge`], with an error planted in it.
#[must_use]
pub fn judge_with(history: &History, bug: Option<JudgeBug>) -> Verdict {
    let mut verdict = Verdict { kills: history.kills.len(), ..Verdict::default() };
    count(history, &mut verdict);
    let mut holds = seen_holds(history, bug, &mut verdict.faults);
    let mut files: HashMap<File, Vec<usize>> = HashMap::new();
    for (at, hold) in holds.iter().enumerate() {
        if let Some(file) = hold.file {
            files.entry(file).or_default().push(at);
        }
    }
    for group in files.values() {
        exclusion(&mut holds, group, bug, &mut verdict.faults);
    }
    time_outs(history, &holds, &files, bug, &mut verdict.faults);
    not_locked(history, &holds, &mut verdict.faults);
    verdict.faults.sort_unstable();
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

/// L1 for the holds of one file; and trims what is possible of each by its neighbours.
fn exclusion(holds: &mut [Seen], group: &[usize], bug: Option<JudgeBug>, faults: &mut Vec<Fault>) {
    let touches = bug == Some(JudgeBug::TouchingOverlaps);
    let mut sure: Vec<usize> = Vec::with_capacity(group.len());
    sure.extend(group.iter().copied().filter(|&at| holds[at].is_sure()));
    sure.sort_unstable_by_key(|&at| (holds[at].sure, holds[at].acquire));
    let order: Vec<(Span, Mode)> =
        sure.iter().map(|&at| (holds[at].sure, holds[at].mode)).collect();

    // For each mode of mine: of those before me in order that conflict, who stays longest?
    let mut longest: [Vec<Option<usize>>; 2] = [vec![None], vec![None]];
    // And of those after me that conflict, who comes first?
    let mut nearest: [Vec<Option<usize>>; 2] = [vec![None], vec![None]];
    for mine in [Mode::Exclusive, Mode::Shared] {
        let longest = &mut longest[mine as usize];
        let nearest = &mut nearest[mine as usize];
        for (at, &(span, mode)) in order.iter().enumerate() {
            let best = longest[at];
            let stays = best.is_none_or(|best| order[best].0.to < span.to);
            longest.push(if conflict(mine, mode, bug) && stays { Some(at) } else { best });
        }
        for (at, &(_, mode)) in order.iter().enumerate().rev() {
            let best = *nearest.last().unwrap_or(&None);
            nearest.push(if conflict(mine, mode, bug) { Some(at) } else { best });
        }
        nearest.reverse();
    }

    for (rank, &at) in sure.iter().enumerate() {
        let Seen { acquire, mode, sure: span, .. } = holds[at];
        let Some(other) = longest[mode as usize][rank] else { continue };
        let until = order[other].0.to;
        if until > span.from || touches && until == span.from {
            let first = holds[sure[other]].acquire;
            let to = min(until, span.to);
            faults.push(Fault::Overlap { first, second: acquire, from: span.from, to });
        }
    }
    for &at in group {
        let Seen { acquire, mode, sure: span, begun, .. } = holds[at];
        let (longest, nearest) = (&longest[mode as usize], &nearest[mode as usize]);
        if holds[at].is_sure() {
            let before = order.partition_point(|&(other, _)| other < span);
            let after = order.partition_point(|&(other, _)| other <= span);
            let previous = longest[before].map_or(0, |at| min(order[at].0.to, span.from));
            let next = nearest[after].map_or(Time::MAX, |at| max(order[at].0.from, span.to));
            holds[at].trim(previous, next, bug);
            continue;
        }
        // It was there at some instant of `span`: not if that is all within another's hold; and if
        // that other began before, it has ended before.
        let before = order.partition_point(|&(other, _)| other.from < span.to);
        match longest[before].map(|other| (other, order[other].0.to)) {
            None => {}
            Some((_, to)) if to <= span.from => holds[at].trim(to, Time::MAX, bug),
            Some(_) if begun => holds[at].possible = None,
            Some((other, _)) => {
                let first = holds[sure[other]].acquire;
                let (from, to) = (span.to, span.from);
                faults.push(Fault::Overlap { first, second: acquire, from, to });
            }
        }
    }
}

/// Answers "is there a hold that is possible at some instant of this time?" in O(log n).
struct Windows {
    begins: Vec<Time>,
    longest: Vec<Time>, // the latest end among those that begin no later
}

impl Windows {
    fn new(spans: impl Iterator<Item = Span>) -> Self {
        let mut spans: Vec<Span> = spans.collect();
        spans.sort_unstable();
        let mut latest = 0;
        let longest = spans.iter().map(|span| {
            latest = max(latest, span.to);
            latest
        });
        let longest = longest.collect();
        Self { begins: spans.iter().map(|span| span.from).collect(), longest }
    }

    fn meet(&self, time: Span) -> bool {
        let candidates = self.begins.partition_point(|&begin| begin <= time.to);
        candidates > 0 && self.longest[candidates - 1] >= time.from
    }
}

/// The holds that are in the way of an exclusive and of a shared attempt.
struct Obstacles([Windows; 2]);

impl Obstacles {
    fn new<'a>(holds: &(impl Iterator<Item = &'a Seen> + Clone), bug: Option<JudgeBug>) -> Self {
        Self([Mode::Exclusive, Mode::Shared].map(|mine| {
            let in_the_way = holds.clone().filter(|hold| conflict(mine, hold.mode, bug));
            Windows::new(in_the_way.filter_map(|hold| hold.possible))
        }))
    }

    fn meet(&self, mode: Mode, time: Span) -> bool {
        self.0[mode as usize].meet(time)
    }
}

/// L2 and L3.
fn time_outs(
    history: &History,
    holds: &[Seen],
    files: &HashMap<File, Vec<usize>>,
    bug: Option<JudgeBug>,
    faults: &mut Vec<Fault>,
) {
    let all = Obstacles::new(&holds.iter(), bug);
    let unknown = Obstacles::new(&holds.iter().filter(|hold| hold.file.is_none()), bug);
    let of_file = |group: &Vec<usize>| Obstacles::new(&group.iter().map(|&at| &holds[at]), bug);
    let by_file: HashMap<File, Obstacles> =
        files.iter().map(|(&file, group)| (file, of_file(group))).collect();
    for (at, call) in history.calls.iter().enumerate() {
        let Some((file, mode, time)) = timed_out(call, bug) else { continue };
        if time.from > time.to {
            faults.push(Fault::Early { call: at });
            continue;
        }
        let met = file.map_or_else(
            || all.meet(mode, time),
            |file| {
                unknown.meet(mode, time)
                    || by_file.get(&file).is_some_and(|obstacles| obstacles.meet(mode, time))
            },
        );
        if !met {
            faults.push(Fault::NobodyThere { call: at, from: time.from, to: time.to });
        }
    }
}

/// When a call that timed out made its last attempt.
fn timed_out(call: &Call, bug: Option<JudgeBug>) -> Option<(Option<File>, Mode, Span)> {
    let Attempt::Acquire { file, mode, wait, .. } = call.attempt else { return None };
    let end = call.returned.filter(|end| end.outcome == Outcome::TimedOut)?;
    let deadline = match wait {
        Wait::Try => call.called,
        Wait::Until(_) if bug == Some(JudgeBug::ExcusesBeforeDeadline) => call.called,
        Wait::Until(deadline) => max(call.called, deadline),
        Wait::Forever => Time::MAX,
    };
    Some((file, mode, Span { from: deadline, to: end.at }))
}

/// L5, the other half: "not locked" must have been true at some instant.
fn not_locked(history: &History, holds: &[Seen], faults: &mut Vec<Fault>) {
    let mut kept: HashMap<(Process, Path), Vec<Span>> = HashMap::new();
    for hold in holds.iter().filter(|hold| hold.is_sure()) {
        let call = &history.calls[hold.acquire];
        if call.guard.is_none() {
            kept.entry((call.process, call.path)).or_default().push(hold.sure);
        }
    }
    for spans in kept.values_mut() {
        spans.sort_unstable();
        let mut merged: Vec<Span> = Vec::with_capacity(spans.len());
        for &span in spans.iter() {
            match merged.last_mut() {
                Some(last) if span.from < last.to => last.to = max(last.to, span.to),
                _ => merged.push(span),
            }
        }
        *spans = merged;
    }
    for (at, call) in history.calls.iter().enumerate() {
        let Some(end) = call.returned.filter(|end| end.outcome == Outcome::NotLocked) else {
            continue;
        };
        let Some(spans) = kept.get(&(call.process, call.path)) else { continue };
        let before = spans.partition_point(|span| span.from < call.called);
        if before > 0 && spans[before - 1].to > end.at {
            faults.push(Fault::HeldAllAlong { call: at });
        }
    }
}
