//! Every way in which the model lets a scenario end, found by trying every order of its steps.
//!
//! What is compared is a [`History`]. Where loom sees one that is not here, the code is wrong;
//! where one is here that loom never sees, the test has looked at less than it claims.

use std::collections::BTreeSet;

use locket_model::spec::{self, Answer, HoldId, Op, Outcome, Stage, World};

use crate::options::Mode;
use crate::os::{Kernel, PATH};
use crate::program::{Patience, Step};
use crate::scenario::{Actor, History, Scenario};

/// Where an actor is within its current step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Start,
    /// Has the file open.
    Opened(u64),
    /// Has been told that the file is locked, at or after its deadline.
    Contended(u64),
    Granted(u64, HoldId),
    /// Has seen that the path names its file.
    Checked(HoldId),
    Taken(HoldId),
    Lowered(HoldId),
    /// Was not allowed to unlock.
    Refused(HoldId),
    /// Has closed the descriptor instead.
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    next: usize,
    phase: Phase,
    has_handle: bool,
    guards: Vec<HoldId>,
}

/// The whole scenario at one moment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    world: World,
    places: Vec<Place>,
    dead: BTreeSet<u32>,
    outcomes: Vec<Vec<Option<Outcome>>>,
    trace: Vec<(Op, Answer)>,
    files: u64,
    attempts: u64,
    refusals: u32,
}

pub(crate) fn histories(scenario: &Scenario) -> BTreeSet<History> {
    let actors = &scenario.actors;
    let place = Place { next: 0, phase: Phase::Start, has_handle: false, guards: Vec::new() };
    let start = Moment {
        world: World::default(),
        places: vec![place; actors.len()],
        dead: BTreeSet::new(),
        outcomes: vec![Vec::new(); actors.len()],
        trace: Vec::new(),
        files: 0,
        attempts: 0,
        refusals: u32::from(scenario.kernel == Kernel::RefusesUnlock),
    };
    let (mut seen, mut todo) = (BTreeSet::from([start.clone()]), vec![start]);
    let mut ends = BTreeSet::new();
    while let Some(moment) = todo.pop() {
        let next: Vec<Moment> =
            (0..actors.len()).flat_map(|who| moment.successors(who, &actors[who])).collect();
        if next.is_empty() {
            assert!(moment.is_over(actors), "the scenario deadlocks: {moment:?}");
            ends.insert(History::new(scenario, moment.outcomes.clone(), &moment.trace));
        }
        todo.extend(next.into_iter().filter(|moment| seen.insert(moment.clone())));
    }
    ends
}

impl Moment {
    fn is_over(&self, actors: &[Actor]) -> bool {
        actors.iter().zip(&self.places).all(|(actor, place)| match actor {
            Actor::Thread(process, steps) => {
                self.dead.contains(process) || place.next == steps.len()
            }
            _ => place.next == 1,
        })
    }

    /// What one actor may do next.
    fn successors(&self, who: usize, actor: &Actor) -> Vec<Self> {
        let place = &self.places[who];
        match actor {
            Actor::Thread(process, _) if self.dead.contains(process) => vec![],
            Actor::Thread(process, steps) => match steps.get(place.next) {
                Some(step) => self.thread(who, *process, *step),
                None => vec![],
            },
            _ if place.next == 1 => vec![],
            Actor::Unlink => vec![self.after(who, |next| next.name(None))],
            Actor::Replace => vec![self.after(who, |next| {
                next.create();
            })],
            Actor::Crash(process) => vec![self.after(who, |next| {
                next.step(Op::Crash { process: *process });
                next.dead.insert(*process);
            })],
        }
    }

    /// A moment in which an actor outside the processes has had its one turn.
    fn after(&self, who: usize, act: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        next.places[who].next = 1;
        act(&mut next);
        next
    }

    fn step(&mut self, op: Op) -> Answer {
        let answer = self.world.apply(op);
        assert!(!matches!(answer, Answer::NotEnabled(_)), "the enumeration is wrong: {answer:?}");
        if !matches!(answer, Answer::Contended) {
            self.trace.push((op, answer));
        }
        answer
    }

    fn name(&mut self, file: Option<u64>) {
        self.step(Op::SetFile { path: PATH, file });
    }

    fn create(&mut self) -> u64 {
        self.files += 1;
        self.name(Some(self.files));
        self.files
    }

    fn thread(&self, who: usize, process: u32, step: Step) -> Vec<Self> {
        match step {
            Step::Acquire(mode, patience) => self.acquire(who, process, mode, patience, true),
            Step::Guard(mode, patience) => self.acquire(who, process, mode, patience, false),
            Step::Release | Step::DropGuard => vec![self.release(who, process, step)],
            Step::Downgrade => vec![self.downgrade(who, process)],
            // What no lock is on is nothing to the model.
            Step::GiveBack => vec![self.clone().ended(who, None)],
            Step::DropHandle => {
                let mut next = self.clone();
                next.places[who].has_handle = false;
                if !next.has_handles(process) {
                    next.step(Op::LastHandle { process, path: PATH });
                }
                vec![next.ended(who, None)]
            }
        }
    }

    fn has_handles(&self, process: u32) -> bool {
        // Only scenarios with one process drop handles, so all places are its own.
        let _ = process;
        self.places.iter().any(|place| place.has_handle)
    }

    fn ended(mut self, who: usize, outcome: Option<Outcome>) -> Self {
        self.outcomes[who].push(outcome);
        self.places[who].next += 1;
        self.places[who].phase = Phase::Start;
        self
    }

    fn at(mut self, who: usize, phase: Phase) -> Self {
        self.places[who].phase = phase;
        self
    }

    fn with_handle(&self, who: usize, process: u32) -> Self {
        let mut next = self.clone();
        if !next.places[who].has_handle {
            next.places[who].has_handle = true;
            next.step(Op::FirstHandle { process, path: PATH });
        }
        next
    }

    fn acquire(
        &self,
        who: usize,
        process: u32,
        mode: Mode,
        patience: Patience,
        kept: bool,
    ) -> Vec<Self> {
        let named = self.world.named(PATH);
        match self.places[who].phase {
            Phase::Start => {
                let mut next = self.with_handle(who, process);
                let file = named.unwrap_or_else(|| next.create());
                vec![next.at(who, Phase::Opened(file))]
            }
            Phase::Opened(file) => {
                let mut next = self.clone();
                next.attempts += 1;
                let id = next.attempts;
                let mode = match mode {
                    Mode::Exclusive => spec::Mode::Exclusive,
                    Mode::Shared => spec::Mode::Shared,
                };
                let (stage, path) = (Stage::Granted, PATH);
                let hold = spec::Hold {
                    process,
                    id,
                    path,
                    file,
                    mode,
                    unguarded: kept,
                    stage,
                    named: false,
                };
                match next.step(Op::Lock { hold }) {
                    Answer::Granted => vec![next.at(who, Phase::Granted(file, id))],
                    _ if patience == Patience::ForEver => vec![],
                    _ => vec![self.clone().at(who, Phase::Contended(file))],
                }
            }
            Phase::Contended(file) if named == Some(file) => {
                vec![self.clone().ended(who, Some(Outcome::TimedOut))]
            }
            Phase::Contended(_) => vec![self.clone().at(who, Phase::Start)],
            Phase::Granted(file, id) if named == Some(file) => {
                vec![self.clone().at(who, Phase::Checked(id))]
            }
            Phase::Granted(_, id) => {
                let mut next = self.clone();
                next.step(Op::Unlock { process, id });
                vec![next.at(who, Phase::Start)]
            }
            Phase::Checked(id) => {
                let mut next = self.clone();
                next.step(Op::Record { process, id });
                if !kept {
                    next.places[who].guards.push(id);
                }
                vec![next.ended(who, Some(Outcome::Held))]
            }
            phase => unreachable!("an acquisition is never {phase:?}"),
        }
    }

    fn downgrade(&self, who: usize, process: u32) -> Self {
        match self.places[who].phase {
            Phase::Start => {
                let mut next = self.with_handle(who, process);
                let Some(&id) = next.places[who].guards.first() else {
                    return next.ended(who, None);
                };
                next.step(Op::Lower { process, id });
                next.at(who, Phase::Lowered(id))
            }
            Phase::Lowered(id) if self.refusals > 0 => {
                let mut next = self.clone();
                next.refusals -= 1;
                next.step(Op::Restore { process, id });
                next.ended(who, Some(Outcome::Failed))
            }
            Phase::Lowered(id) => {
                let mut next = self.clone();
                next.step(Op::Convert { process, id });
                next.ended(who, Some(Outcome::Held))
            }
            phase => unreachable!("a downgrade is never {phase:?}"),
        }
    }

    fn release(&self, who: usize, process: u32, step: Step) -> Self {
        match self.places[who].phase {
            Phase::Start if matches!(step, Step::DropGuard) => {
                let mut next = self.clone();
                if next.places[who].guards.is_empty() {
                    return next.ended(who, None);
                }
                let id = next.places[who].guards.remove(0);
                next.step(Op::TakeGuard { process, id });
                next.at(who, Phase::Taken(id))
            }
            Phase::Start => {
                let mut next = self.with_handle(who, process);
                match next.step(Op::Take { process, path: PATH }) {
                    Answer::Taken(id) => next.at(who, Phase::Taken(id)),
                    _ => next.ended(who, Some(Outcome::NotLocked)),
                }
            }
            Phase::Taken(id) if self.refusals > 0 => {
                let mut next = self.clone();
                next.refusals -= 1;
                next.at(who, Phase::Refused(id))
            }
            Phase::Taken(id) => {
                let mut next = self.clone();
                next.step(Op::Unlock { process, id });
                next.ended(who, Some(Outcome::Released))
            }
            Phase::Refused(id) => {
                let mut next = self.clone();
                next.step(Op::Unlock { process, id });
                next.at(who, Phase::Closed)
            }
            Phase::Closed => {
                let mut next = self.clone();
                next.step(Op::Refuse { process, path: PATH });
                next.ended(who, Some(Outcome::Refused))
            }
            phase => unreachable!("a release is never {phase:?}"),
        }
    }
}
