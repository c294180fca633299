//! All histories that the model allows for a scenario, found by a search over every order of its steps.
//!
//! The result is a set of [`History`]. If loom sees a history that is not in it, the code is wrong. If loom never sees one
//! that is in it, the test has covered less than it claims.

use std::collections::BTreeSet;

use locket_model::spec::{self, Answer, HoldId, Op, Outcome, Stage, World};

use crate::options::Mode;
use crate::os::{Kernel, PATH};
use crate::program::{Step, Wait};
use crate::scenario::{Actor, History, Scenario};

/// The progress of an actor within its current step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Start,
    /// The file is open.
    Opened(u64),
    /// The kernel has reported at or after the deadline that the file is locked.
    Contended(u64),
    Granted(u64, HoldId),
    /// The path was found to name the file.
    Checked(HoldId),
    Taken(HoldId),
    Lowered(HoldId),
    /// The kernel has refused to unlock.
    Refused(HoldId),
    /// The file has been closed after the refused unlock.
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Progress {
    next: usize,
    phase: Phase,
    has_handle: bool,
    guards: Vec<HoldId>,
}

/// One state of the whole scenario.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ScenarioState {
    world: World,
    progress: Vec<Progress>,
    dead: BTreeSet<u32>,
    outcomes: Vec<Vec<Option<Outcome>>>,
    trace: Vec<(Op, Answer)>,
    files: u64,
    attempts: u64,
    refusals: u32,
}

pub(crate) fn histories(scenario: &Scenario) -> BTreeSet<History> {
    let actors = &scenario.actors;
    let progress = Progress { next: 0, phase: Phase::Start, has_handle: false, guards: Vec::new() };
    let start = ScenarioState {
        world: World::default(),
        progress: vec![progress; actors.len()],
        dead: BTreeSet::new(),
        outcomes: vec![Vec::new(); actors.len()],
        trace: Vec::new(),
        files: 0,
        attempts: 0,
        refusals: u32::from(scenario.kernel == Kernel::FailsUnlock),
    };
    let (mut seen, mut todo) = (BTreeSet::from([start.clone()]), vec![start]);
    let mut ends = BTreeSet::new();
    while let Some(state) = todo.pop() {
        let next: Vec<ScenarioState> =
            (0..actors.len()).flat_map(|index| state.successors(index, &actors[index])).collect();
        if next.is_empty() {
            assert!(state.is_over(actors), "the scenario deadlocks: {state:?}");
            ends.insert(History::new(scenario, state.outcomes.clone(), &state.trace));
        }
        todo.extend(next.into_iter().filter(|state| seen.insert(state.clone())));
    }
    ends
}

impl ScenarioState {
    fn is_over(&self, actors: &[Actor]) -> bool {
        actors.iter().zip(&self.progress).all(|(actor, progress)| match actor {
            Actor::Thread(process, steps) => {
                self.dead.contains(process) || progress.next == steps.len()
            }
            _ => progress.next == 1,
        })
    }

    /// Returns the states to which one actor's next step can lead.
    fn successors(&self, index: usize, actor: &Actor) -> Vec<Self> {
        let progress = &self.progress[index];
        match actor {
            Actor::Thread(process, _) if self.dead.contains(process) => vec![],
            Actor::Thread(process, steps) => match steps.get(progress.next) {
                Some(step) => self.thread(index, *process, *step),
                None => vec![],
            },
            _ if progress.next == 1 => vec![],
            Actor::Unlink => vec![self.single_step(index, |next| next.name(None))],
            Actor::Replace => vec![self.single_step(index, |next| {
                next.create();
            })],
            Actor::Crash(process) => vec![self.single_step(index, |next| {
                next.step(Op::Crash { process: *process });
                next.dead.insert(*process);
            })],
        }
    }

    /// Returns the state after the only step of an actor outside the processes.
    fn single_step(&self, index: usize, act: impl FnOnce(&mut Self)) -> Self {
        let mut next = self.clone();
        next.progress[index].next = 1;
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

    fn thread(&self, index: usize, process: u32, step: Step) -> Vec<Self> {
        match step {
            Step::Acquire(mode, wait) => self.acquire(index, process, mode, wait, true),
            Step::Guard(mode, wait) => self.acquire(index, process, mode, wait, false),
            Step::Release | Step::DropGuard => vec![self.release(index, process, step)],
            Step::Downgrade => vec![self.downgrade(index, process)],
            // No lock is on an idle file, so the model has no step for it.
            Step::CloseIdle => vec![self.clone().finish_step(index, None)],
            Step::DropHandle => {
                let mut next = self.clone();
                next.progress[index].has_handle = false;
                if !next.has_handles(process) {
                    next.step(Op::LastHandle { process, path: PATH });
                }
                vec![next.finish_step(index, None)]
            }
        }
    }

    fn has_handles(&self, process: u32) -> bool {
        // Only scenarios with one process drop handles, so all actors belong to that process.
        let _ = process;
        self.progress.iter().any(|progress| progress.has_handle)
    }

    fn finish_step(mut self, index: usize, outcome: Option<Outcome>) -> Self {
        self.outcomes[index].push(outcome);
        self.progress[index].next += 1;
        self.progress[index].phase = Phase::Start;
        self
    }

    fn in_phase(mut self, index: usize, phase: Phase) -> Self {
        self.progress[index].phase = phase;
        self
    }

    fn with_handle(&self, index: usize, process: u32) -> Self {
        let mut next = self.clone();
        if !next.progress[index].has_handle {
            next.progress[index].has_handle = true;
            next.step(Op::FirstHandle { process, path: PATH });
        }
        next
    }

    fn acquire(
        &self,
        index: usize,
        process: u32,
        mode: Mode,
        wait: Wait,
        unguarded: bool,
    ) -> Vec<Self> {
        let named = self.world.named(PATH);
        match self.progress[index].phase {
            Phase::Start => {
                let mut next = self.with_handle(index, process);
                let file = named.unwrap_or_else(|| next.create());
                vec![next.in_phase(index, Phase::Opened(file))]
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
                let hold =
                    spec::Hold { process, id, path, file, mode, unguarded, stage, named: false };
                match next.step(Op::Lock { hold }) {
                    Answer::Granted => vec![next.in_phase(index, Phase::Granted(file, id))],
                    _ if wait == Wait::Forever => vec![],
                    _ => vec![self.clone().in_phase(index, Phase::Contended(file))],
                }
            }
            Phase::Contended(file) if named == Some(file) => {
                vec![self.clone().finish_step(index, Some(Outcome::TimedOut))]
            }
            Phase::Contended(_) => vec![self.clone().in_phase(index, Phase::Start)],
            Phase::Granted(file, id) if named == Some(file) => {
                vec![self.clone().in_phase(index, Phase::Checked(id))]
            }
            Phase::Granted(_, id) => {
                let mut next = self.clone();
                next.step(Op::Unlock { process, id });
                vec![next.in_phase(index, Phase::Start)]
            }
            Phase::Checked(id) => {
                let mut next = self.clone();
                next.step(Op::Record { process, id });
                if !unguarded {
                    next.progress[index].guards.push(id);
                }
                vec![next.finish_step(index, Some(Outcome::Held))]
            }
            phase => unreachable!("an acquisition is never {phase:?}"),
        }
    }

    fn downgrade(&self, index: usize, process: u32) -> Self {
        match self.progress[index].phase {
            Phase::Start => {
                let mut next = self.with_handle(index, process);
                let Some(&id) = next.progress[index].guards.first() else {
                    return next.finish_step(index, None);
                };
                next.step(Op::Lower { process, id });
                next.in_phase(index, Phase::Lowered(id))
            }
            Phase::Lowered(id) if self.refusals > 0 => {
                let mut next = self.clone();
                next.refusals -= 1;
                next.step(Op::Restore { process, id });
                next.finish_step(index, Some(Outcome::Failed))
            }
            Phase::Lowered(id) => {
                let mut next = self.clone();
                next.step(Op::Convert { process, id });
                next.finish_step(index, Some(Outcome::Held))
            }
            phase => unreachable!("a downgrade is never {phase:?}"),
        }
    }

    fn release(&self, index: usize, process: u32, step: Step) -> Self {
        match self.progress[index].phase {
            Phase::Start if matches!(step, Step::DropGuard) => {
                let mut next = self.clone();
                if next.progress[index].guards.is_empty() {
                    return next.finish_step(index, None);
                }
                let id = next.progress[index].guards.remove(0);
                next.step(Op::TakeGuard { process, id });
                next.in_phase(index, Phase::Taken(id))
            }
            Phase::Start => {
                let mut next = self.with_handle(index, process);
                match next.step(Op::Take { process, path: PATH }) {
                    Answer::Taken(id) => next.in_phase(index, Phase::Taken(id)),
                    _ => next.finish_step(index, Some(Outcome::NotLocked)),
                }
            }
            Phase::Taken(id) if self.refusals > 0 => {
                let mut next = self.clone();
                next.refusals -= 1;
                next.in_phase(index, Phase::Refused(id))
            }
            Phase::Taken(id) => {
                let mut next = self.clone();
                next.step(Op::Unlock { process, id });
                next.finish_step(index, Some(Outcome::Released))
            }
            Phase::Refused(id) => {
                let mut next = self.clone();
                next.step(Op::Unlock { process, id });
                next.in_phase(index, Phase::Closed)
            }
            Phase::Closed => {
                let mut next = self.clone();
                next.step(Op::Refuse { process, path: PATH });
                next.finish_step(index, Some(Outcome::Refused))
            }
            phase => unreachable!("a release is never {phase:?}"),
        }
    }
}
