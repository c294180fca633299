//! The slow, certain way to judge a history: look for one order of all its steps that the
//! specification allows (after Wing and Gong).
//!
//! Each call is one or two steps of the [`World`], each within the bounds of its call; a step may
//! come next if no other's time has run out. Exponential, for a dozen calls at most: it is what the
//! [judge](crate::judge()) is checked against. Every hold must have a known file.

use std::cmp::max;
use std::collections::{HashMap, HashSet};

use crate::history::{Attempt, Call, History, Time, Wait};
use crate::spec::{Answer, Hold, HoldId, Op, Outcome, Path, Process, Stage, World};

/// Whether some order of the steps makes this the history of a correct lock.
#[must_use]
pub fn is_linearizable(history: &History) -> bool {
    let mut guards = HashMap::new();
    for (at, call) in history.calls.iter().enumerate() {
        if let (Attempt::Acquire { .. }, Some(guard)) = (call.attempt, call.guard) {
            guards.insert((call.process, call.path, guard), at as HoldId);
        }
    }
    let mut todo: Vec<Todo> = history.calls.iter().map(|call| Todo::of(call, &guards)).collect();
    for kill in &history.kills {
        let plan = vec![Step::Crash(kill.process)];
        // Whoever calls or returns is alive, whatever steps that call has left.
        let calls = history.calls.iter().filter(|call| call.process == kill.process);
        let seen = calls.map(|call| call.returned.map_or(call.called, |end| end.at));
        let from = seen.fold(kill.after, max);
        todo.push(Todo { plan, from, to: kill.before, optional: false });
    }
    let start =
        Place { done: vec![0; todo.len()], taken: vec![None; todo.len()], world: World::default() };
    let mut searching = Search { history, todo, seen: HashSet::new() };
    searching.completes(&start)
}

/// One step of a call, as the outcome of the call wants it.
#[derive(Clone, Copy)]
enum Step {
    Granted,
    Refused,
    Recorded,
    /// By `release`, or by the guard whose hold this is.
    Taken {
        guard: Option<HoldId>,
    },
    NothingTaken,
    Unlocked,
    Crash(Process),
    Never,
}

/// The acquisition of each guard; its place in the history is the number of its hold in the world.
type Guards = HashMap<(Process, Path, HoldId), HoldId>;

/// The steps of one call, in order, and when they may happen.
struct Todo {
    plan: Vec<Step>,
    from: Time,
    to: Time,
    /// The call's end was not seen: it may have stopped before any of these steps.
    optional: bool,
}

impl Todo {
    fn of(call: &Call, guards: &Guards) -> Self {
        let mut from = call.called;
        let outcome = call.returned.map(|end| end.outcome);
        let plan = match (call.attempt, outcome) {
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
        Self { plan, from, to, optional: outcome.is_none() }
    }
}

/// How far the search has come.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Place {
    done: Vec<usize>,
    taken: Vec<Option<HoldId>>, // by each release that has yet to unlock it
    world: World,
}

struct Search<'a> {
    history: &'a History,
    todo: Vec<Todo>, // of every call, then of every kill
    seen: HashSet<Place>,
}

impl Search<'_> {
    fn completes(&mut self, place: &Place) -> bool {
        let left = |at: &usize| place.done[*at] < self.todo[*at].plan.len();
        let due = |at: &usize| left(at) && !self.todo[*at].optional;
        // The earliest time at which the time of some step that must still happen runs out.
        let Some(limit) = (0..self.todo.len()).filter(due).map(|at| self.todo[at].to).min() else {
            return true;
        };
        if !self.seen.insert(place.clone()) {
            return false;
        }
        let started = (0..self.todo.len()).filter(|&at| place.done[at] > 0);
        let now = started.map(|at| self.todo[at].from).max().unwrap_or(0);
        let next: Vec<usize> = (0..self.todo.len())
            .filter(|at| left(at) && max(now, self.todo[*at].from) <= limit)
            .filter(|&at| self.todo[at].to >= now)
            .collect();
        next.into_iter()
            .any(|at| self.advance(place, at).is_some_and(|place| self.completes(&place)))
    }

    /// The next step of one call, if the world allows it here.
    fn advance(&self, place: &Place, at: usize) -> Option<Place> {
        let mut next = place.clone();
        next.done[at] += 1;
        let step = self.todo[at].plan[place.done[at]];
        let call = self.history.calls.get(at);
        let world = &mut next.world;
        let fits = match (step, call) {
            (Step::Crash(process), _) => {
                world.apply(Op::Crash { process });
                self.may_die(process, place)
            }
            (_, Some(call)) if self.is_dead(call.process, place) => false,
            (Step::Granted, Some(call)) => lock(world, call, at as HoldId) == Answer::Granted,
            (Step::Refused, Some(call)) => meets(world, call),
            (Step::Recorded, Some(&Call { process, .. })) => {
                let id = at as HoldId;
                world.apply(Op::Record { process, id }) == Answer::Ended(Outcome::Held)
            }
            (Step::Taken { guard }, Some(&Call { process, path, .. })) => {
                let take =
                    guard.map_or(Op::Take { process, path }, |id| Op::TakeGuard { process, id });
                let Answer::Taken(id) = world.apply(take) else { return None };
                next.taken[at] = Some(id);
                true
            }
            (Step::NothingTaken, Some(&Call { process, path, .. })) => {
                world.apply(Op::Take { process, path }) == Answer::Ended(Outcome::NotLocked)
            }
            (Step::Unlocked, Some(&Call { process, .. })) => {
                let id = next.taken[at].take()?;
                world.apply(Op::Unlock { process, id }) == Answer::Done
            }
            (Step::Never, _) | (_, None) => false,
        };
        fits.then_some(next)
    }

    fn is_dead(&self, process: Process, place: &Place) -> bool {
        let is_its_crash = |step: &Step| matches!(*step, Step::Crash(who) if who == process);
        let crashed =
            |(todo, &done): (&Todo, &usize)| done > 0 && todo.plan.iter().any(is_its_crash);
        self.todo.iter().zip(&place.done).any(crashed)
    }

    /// A process that is to do more cannot die yet.
    fn may_die(&self, process: Process, place: &Place) -> bool {
        let calls = self.history.calls.iter().zip(&self.todo).zip(&place.done);
        calls
            .filter(|((call, _), _)| call.process == process)
            .all(|((_, todo), &done)| todo.optional || done == todo.plan.len())
    }
}

/// The decision on one attempt. The search knows nothing of what a path named, so it named this.
fn lock(world: &mut World, call: &Call, id: HoldId) -> Answer {
    let Attempt::Acquire { file, mode, .. } = call.attempt else {
        return Answer::Wrong("a release locks nothing");
    };
    let (process, path) = (call.process, call.path);
    let (file, kept) = (file.unwrap_or_default(), call.guard.is_none());
    world.apply(Op::Name { path, file: Some(file) });
    let stage = Stage::Granted;
    world.apply(Op::Lock { hold: Hold { process, id, path, file, mode, kept, stage, named: true } })
}

/// Whether an attempt that timed out is refused here: by any file, if its own is unknown.
fn meets(world: &World, call: &Call) -> bool {
    match call.attempt {
        Attempt::Acquire { file: None, mode, .. } => {
            world.holds().iter().any(|hold| hold.mode.conflicts(mode))
        }
        _ => lock(&mut world.clone(), call, HoldId::MAX) == Answer::Contended,
    }
}
