//! The exact and slow judge: a search for a linearization that the specification allows (Wing and
//! Gong, "Testing and Verifying Concurrent Objects", 1993).
//!
//! Each call is one or two steps of the [`World`], each within the interval of its call. A step may
//! come next if no other pending step must come before it. The search is exponential and meant for a
//! dozen calls. The tests check the [judge](crate::judge()) against it. Every hold must have a known
//! file.

use std::cmp::max;
use std::collections::{HashMap, HashSet};

use crate::history::{Attempt, Call, History, Time, Wait};
use crate::spec::{Answer, Hold, HoldId, Op, Outcome, Path, Process, Stage, World};

/// Returns whether some order of the steps makes this the history of a correct lock.
#[must_use]
pub fn is_linearizable(history: &History) -> bool {
    let mut guards = HashMap::new();
    for (at, call) in history.calls.iter().enumerate() {
        if let (Attempt::Acquire { .. }, Some(guard)) = (call.attempt, call.guard) {
            guards.insert((call.process, call.path, guard), at as HoldId);
        }
    }
    let mut plans: Vec<Plan> = history.calls.iter().map(|call| Plan::of(call, &guards)).collect();
    for kill in &history.kills {
        let steps = vec![Step::Crash(kill.process)];
        // A process that calls or returns is alive, even if that call has steps left.
        let calls = history.calls.iter().filter(|call| call.process == kill.process);
        let seen = calls.map(|call| call.returned.map_or(call.called, |end| end.at));
        let from = seen.fold(kill.after, max);
        plans.push(Plan { steps, from, to: kill.before, optional: false });
    }
    let start = Config {
        done: vec![0; plans.len()],
        taken: vec![None; plans.len()],
        world: World::default(),
    };
    let mut searching = Search { history, plans, seen: HashSet::new() };
    searching.completes(&start)
}

/// One step of a call, with the answer that the call's outcome requires.
#[derive(Clone, Copy)]
enum Step {
    Granted,
    Refused,
    Recorded,
    /// Taken by `release`, or by the guard with this hold.
    Taken {
        guard: Option<HoldId>,
    },
    NothingTaken,
    Unlocked,
    Crash(Process),
    Never,
}

/// Maps each guard to its hold. The number of a hold is the index of its acquisition in the history.
type Guards = HashMap<(Process, Path, HoldId), HoldId>;

/// The steps of one call in order, and the interval in which they happen.
struct Plan {
    steps: Vec<Step>,
    from: Time,
    to: Time,
    /// The call has no end: it may have stopped before any of these steps.
    optional: bool,
}

impl Plan {
    fn of(call: &Call, guards: &Guards) -> Self {
        let mut from = call.called;
        let outcome = call.returned.map(|end| end.outcome);
        let steps = match (call.attempt, outcome) {
            (_, Some(Outcome::Failed)) => vec![],
            (Attempt::Acquire { wait, .. }, Some(Outcome::TimedOut)) => {
                if let Wait::Until(deadline) = wait {
                    from = max(from, deadline);
                }
                vec![if wait == Wait::Forever { Step::Never } else { Step::Refused }]
            }
            (Attempt::Acquire { .. }, _) => vec![Step::Granted, Step::Recorded],
            (Attempt::Release, Some(Outcome::NotLocked)) => vec![Step::NothingTaken],
            (Attempt::Release, _) => {
                let guard = call.guard.map(|guard| guards.get(&(call.process, call.path, guard)));
                match guard {
                    Some(None) => vec![Step::Never],
                    Some(Some(&id)) => vec![Step::Taken { guard: Some(id) }, Step::Unlocked],
                    None => vec![Step::Taken { guard: None }, Step::Unlocked],
                }
            }
        };
        let to = call.returned.map_or(Time::MAX, |end| end.at);
        Self { steps, from, to, optional: outcome.is_none() }
    }
}

/// A configuration of the search: the steps done so far and the world after them.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Config {
    done: Vec<usize>,
    taken: Vec<Option<HoldId>>, // by each release that has not unlocked its hold yet
    world: World,
}

struct Search<'a> {
    history: &'a History,
    plans: Vec<Plan>, // the calls, then the kills
    seen: HashSet<Config>,
}

impl Search<'_> {
    fn completes(&mut self, config: &Config) -> bool {
        let left = |at: &usize| config.done[*at] < self.plans[*at].steps.len();
        let due = |at: &usize| left(at) && !self.plans[*at].optional;
        // The earliest end of the interval of a step that must still happen.
        let Some(limit) = (0..self.plans.len()).filter(due).map(|at| self.plans[at].to).min()
        else {
            return true;
        };
        if !self.seen.insert(config.clone()) {
            return false;
        }
        let started = (0..self.plans.len()).filter(|&at| config.done[at] > 0);
        let now = started.map(|at| self.plans[at].from).max().unwrap_or(0);
        let next: Vec<usize> = (0..self.plans.len())
            .filter(|at| left(at) && max(now, self.plans[*at].from) <= limit)
            .filter(|&at| self.plans[at].to >= now)
            .collect();
        next.into_iter()
            .any(|at| self.advance(config, at).is_some_and(|config| self.completes(&config)))
    }

    /// Takes the next step of one call, if the world allows it here.
    fn advance(&self, config: &Config, at: usize) -> Option<Config> {
        let mut next = config.clone();
        next.done[at] += 1;
        let step = self.plans[at].steps[config.done[at]];
        let call = self.history.calls.get(at);
        let world = &mut next.world;
        let fits = match (step, call) {
            (Step::Crash(process), _) => {
                world.apply(Op::Crash { process });
                self.may_die(process, config)
            }
            (_, Some(call)) if self.is_dead(call.process, config) => false,
            (Step::Granted, Some(call)) => lock(world, call, at as HoldId) == Answer::Granted,
            (Step::Refused, Some(call)) => is_refused(world, call),
            (Step::Recorded, Some(&Call { process, .. })) => {
                let id = at as HoldId;
                world.apply(Op::Record { process, id }) == Answer::Returned(Outcome::Held)
            }
            (Step::Taken { guard }, Some(&Call { process, path, .. })) => {
                let take =
                    guard.map_or(Op::Take { process, path }, |id| Op::TakeGuard { process, id });
                let Answer::Taken(id) = world.apply(take) else { return None };
                next.taken[at] = Some(id);
                true
            }
            (Step::NothingTaken, Some(&Call { process, path, .. })) => {
                world.apply(Op::Take { process, path }) == Answer::Returned(Outcome::NotLocked)
            }
            (Step::Unlocked, Some(&Call { process, .. })) => {
                let id = next.taken[at].take()?;
                world.apply(Op::Unlock { process, id }) == Answer::Done
            }
            (Step::Never, _) | (_, None) => false,
        };
        fits.then_some(next)
    }

    fn is_dead(&self, process: Process, config: &Config) -> bool {
        let is_its_crash =
            |step: &Step| matches!(*step, Step::Crash(crashed) if crashed == process);
        let crashed =
            |(plans, &done): (&Plan, &usize)| done > 0 && plans.steps.iter().any(is_its_crash);
        self.plans.iter().zip(&config.done).any(crashed)
    }

    /// Returns whether the process has no required steps left; otherwise it cannot die yet.
    fn may_die(&self, process: Process, config: &Config) -> bool {
        let calls = self.history.calls.iter().zip(&self.plans).zip(&config.done);
        calls
            .filter(|((call, _), _)| call.process == process)
            .all(|((_, plans), &done)| plans.optional || done == plans.steps.len())
    }
}

/// Decides one attempt. A history does not say which file a path names, so the path is set to the
/// file of the attempt first.
fn lock(world: &mut World, call: &Call, id: HoldId) -> Answer {
    let Attempt::Acquire { file, mode, .. } = call.attempt else {
        return Answer::NotEnabled("a release locks nothing");
    };
    let (process, path) = (call.process, call.path);
    let (file, unguarded) = (file.unwrap_or_default(), call.guard.is_none());
    world.apply(Op::SetFile { path, file: Some(file) });
    let stage = Stage::Granted;
    world.apply(Op::Lock {
        hold: Hold { process, id, path, file, mode, unguarded, stage, named: true },
    })
}

/// Returns whether an attempt that timed out is refused here. If its file is unknown, a conflicting
/// hold of any file refuses it.
fn is_refused(world: &World, call: &Call) -> bool {
    match call.attempt {
        Attempt::Acquire { file: None, mode, .. } => {
            world.holds().iter().any(|hold| hold.mode.conflicts(mode))
        }
        _ => lock(&mut world.clone(), call, HoldId::MAX) == Answer::Contended,
    }
}
