//! All histories that the model allows for a scenario, found by a search over every order of its steps.
//!
//! The result is a set of [`History`]. If loom sees a history that is not in it, the code is wrong. If loom never sees one
//! that is in it, the test has covered less than it claims.

use std::collections::BTreeSet;

use locket_model::spec::{self, Answer, HoldId, Op, Outcome, Stage, World};

use crate::options::Mode;
use crate::os::{Kernel, PATH, to_spec};
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
        let (next, at) = (self.clone(), self.progress[index].next);
        match actor {
            Actor::Thread(process, _) if self.dead.contains(process) => vec![],
            Actor::Thread(process, steps) => match steps.get(at) {
                Some(step) => next.thread(index, *process, *step),
                None => vec![],
            },
            _ if at == 1 => vec![],
            _ => vec![next.outsider(index, actor)],
        }
    }

    /// Takes the only step of an actor outside the processes.
    fn outsider(mut self, index: usize, actor: &Actor) -> Self {
        self.progress[index].next = 1;
        match *actor {
            Actor::Unlink => self.name(None),
            Actor::Crash(process) => {
                self.step(Op::Crash { process });
                self.dead.insert(process);
            }
            _ => drop(self.create()),
        }
        self
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

    fn thread(mut self, index: usize, process: u32, step: Step) -> Vec<Self> {
        match step {
            Step::Acquire(mode, wait) => self.acquire(index, process, mode, wait, true),
            Step::Guard(mode, wait) => self.acquire(index, process, mode, wait, false),
            Step::Release | Step::DropGuard => vec![self.release(index, process, step)],
            Step::Downgrade => vec![self.downgrade(index, process)],
            // No lock is on an idle file, so the model has no step for it.
            Step::CloseIdle => vec![self.finish_step(index, None)],
            Step::DropHandle => {
                self.progress[index].has_handle = false;
                // Only scenarios with one process drop handles, so all actors belong to that process.
                if !self.progress.iter().any(|progress| progress.has_handle) {
                    self.step(Op::LastHandle { process, path: PATH });
                }
                vec![self.finish_step(index, None)]
            }
        }
    }

    fn finish_step(mut self, index: usize, outcome: Option<Outcome>) -> Self {
        self.outcomes[index].push(outcome);
        self.progress[index].next += 1;
        self.in_phase(index, Phase::Start)
    }

    fn in_phase(mut self, index: usize, phase: Phase) -> Self {
        self.progress[index].phase = phase;
        self
    }

    fn make_handle(&mut self, index: usize, process: u32) {
        if !std::mem::replace(&mut self.progress[index].has_handle, true) {
            self.step(Op::FirstHandle { process, path: PATH });
        }
    }

    fn acquire(
        mut self,
        index: usize,
        process: u32,
        mode: Mode,
        wait: Wait,
        unguarded: bool,
    ) -> Vec<Self> {
        let named = self.world.named(PATH);
        let next = match self.progress[index].phase {
            Phase::Start => {
                self.make_handle(index, process);
                let file = named.unwrap_or_else(|| self.create());
                self.in_phase(index, Phase::Opened(file))
            }
            Phase::Opened(file) => {
                let (id, path, mode) = (self.attempts + 1, PATH, to_spec(mode));
                let (stage, named) = (Stage::Granted, false);
                let hold = spec::Hold { process, id, path, file, mode, unguarded, stage, named };
                match self.step(Op::Lock { hold }) {
                    Answer::Granted => {
                        self.attempts = id;
                        self.in_phase(index, Phase::Granted(file, id))
                    }
                    _ if wait == Wait::Forever => return vec![],
                    _ => self.in_phase(index, Phase::Contended(file)),
                }
            }
            Phase::Contended(file) if named == Some(file) => {
                self.finish_step(index, Some(Outcome::TimedOut))
            }
            Phase::Contended(_) => self.in_phase(index, Phase::Start),
            Phase::Granted(file, id) if named == Some(file) => {
                self.in_phase(index, Phase::Checked(id))
            }
            Phase::Granted(_, id) => {
                self.step(Op::Unlock { process, id });
                self.in_phase(index, Phase::Start)
            }
            Phase::Checked(id) => {
                self.step(Op::Record { process, id });
                if !unguarded {
                    self.progress[index].guards.push(id);
                }
                self.finish_step(index, Some(Outcome::Held))
            }
            phase => unreachable!("an acquisition is never {phase:?}"),
        };
        vec![next]
    }

    /// Returns whether the kernel refuses this call.
    fn refuses(&mut self) -> bool {
        let refuses = self.refusals > 0;
        self.refusals -= u32::from(refuses);
        refuses
    }

    fn downgrade(mut self, index: usize, process: u32) -> Self {
        let phase = self.progress[index].phase;
        match phase {
            Phase::Start => {
                self.make_handle(index, process);
                let Some(&id) = self.progress[index].guards.first() else {
                    return self.finish_step(index, None);
                };
                self.step(Op::Lower { process, id });
                self.in_phase(index, Phase::Lowered(id))
            }
            Phase::Lowered(id) if self.refuses() => {
                self.step(Op::Restore { process, id });
                self.finish_step(index, Some(Outcome::Failed))
            }
            Phase::Lowered(id) => {
                self.step(Op::Convert { process, id });
                self.finish_step(index, Some(Outcome::Held))
            }
            _ => unreachable!("a downgrade is never {phase:?}"),
        }
    }

    fn release(mut self, index: usize, process: u32, step: Step) -> Self {
        let phase = self.progress[index].phase;
        match phase {
            Phase::Start if matches!(step, Step::DropGuard) => {
                if self.progress[index].guards.is_empty() {
                    return self.finish_step(index, None);
                }
                let id = self.progress[index].guards.remove(0);
                self.step(Op::TakeGuard { process, id });
                self.in_phase(index, Phase::Taken(id))
            }
            Phase::Start => {
                self.make_handle(index, process);
                match self.step(Op::Take { process, path: PATH }) {
                    Answer::Taken(id) => self.in_phase(index, Phase::Taken(id)),
                    _ => self.finish_step(index, Some(Outcome::NotLocked)),
                }
            }
            Phase::Taken(id) if self.refuses() => self.in_phase(index, Phase::Refused(id)),
            Phase::Taken(id) => {
                self.step(Op::Unlock { process, id });
                self.finish_step(index, Some(Outcome::Released))
            }
            Phase::Refused(id) => {
                self.step(Op::Unlock { process, id });
                self.in_phase(index, Phase::Closed)
            }
            Phase::Closed => {
                self.step(Op::Refuse { process, path: PATH });
                self.finish_step(index, Some(Outcome::Refused))
            }
            _ => unreachable!("a release is never {phase:?}"),
        }
    }
}
