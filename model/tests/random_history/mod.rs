//! Random histories with known bounds: a small simulation of processes over the specification. It
//! obeys all laws, or breaks one of them with some probability.

use locket_model::{
    Answer, Attempt, Call, History, Hold, Kill, Mode, Op, Outcome, Return, Stage, Time, Wait, World,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// A defect of the simulated lock. It shows with some probability at each occasion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Grants although a conflicting hold exists.
    GrantsHeldLock,
    /// Times out although no conflicting hold exists.
    RefusesFreeLock,
    /// Times out before the deadline.
    TimesOutEarly,
    /// Returns "not locked" for a hold that exists, and leaves the hold.
    DeniesHold,
    /// Returns "released" although no hold existed.
    ReportsFalseRelease,
    /// Frees a lock before its release is called.
    FreesHeldLock,
    /// Counts a failed try before the deadline as the last attempt.
    NoLastAttempt,
}

impl Defect {
    pub(crate) const ALL: [Self; 7] = [
        Self::GrantsHeldLock,
        Self::RefusesFreeLock,
        Self::TimesOutEarly,
        Self::DeniesHold,
        Self::ReportsFalseRelease,
        Self::FreesHeldLock,
        Self::NoLastAttempt,
    ];
}

/// The shape of the histories.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) processes: u32,
    pub(crate) threads: u32,
    pub(crate) files: u64,
    pub(crate) calls: usize,
    pub(crate) shared: bool,
    pub(crate) kills: bool,
    pub(crate) defect: Option<Defect>,
}

#[derive(Clone, Copy)]
enum Phase {
    Idle,
    /// In an acquisition that is not decided.
    Trying {
        refused: bool,
    },
    Granted,
    Releasing,
    Unlocking(u64),
    Returning(Outcome),
}

struct Thread {
    process: u32,
    number: u32,
    phase: Phase,
    call: usize, // the current call
    seen: Time,  // of the last call or return
}

struct Simulation {
    random: SmallRng,
    shape: Shape,
    now: Time,
    world: World,
    history: History,
    threads: Vec<Thread>,
    at: usize, // the thread that runs
    dead: Vec<u32>,
    /// The process that was sent a signal and still runs, with the time of the signal.
    dying: Option<(u32, Time)>,
    /// The holds to be released: the process, and the guard if there is one.
    held: Vec<(u32, Option<u64>)>,
}

pub(crate) fn random_history(seed: u64, shape: Shape) -> History {
    let threads = (0..shape.processes * shape.threads)
        .map(|n| {
            let (process, number) = (n % shape.processes, n / shape.processes);
            Thread { process, number, phase: Phase::Idle, call: 0, seen: 0 }
        })
        .collect();
    let mut simulation = Simulation {
        random: SmallRng::seed_from_u64(seed),
        shape,
        now: 100,
        world: World::default(),
        history: History::default(),
        threads,
        at: 0,
        dead: Vec::new(),
        dying: None,
        held: Vec::new(),
    };
    for _ in 0..shape.calls * 12 {
        simulation.turn();
    }
    simulation.die();
    simulation.history.check().expect("the simulation makes possible histories");
    simulation.history
}

impl Simulation {
    fn turn(&mut self) {
        self.now += self.random.random_range(0..4u64);
        // Often the same thread again: overlapping calls constrain the history little.
        if self.random.random_ratio(1, 3) {
            self.at = self.random.random_range(0..self.threads.len());
        }
        if self.dying.is_some() && self.random.random_ratio(1, 4) {
            self.die();
        }
        let at = self.at;
        let process = self.threads[at].process;
        if self.dead.contains(&process) {
            return;
        }
        let mortal = self.shape.kills && self.dead.is_empty() && self.dying.is_none();
        if mortal && self.random.random_ratio(1, 60) {
            self.now += 1;
            self.dying = Some((process, self.now));
            return;
        }
        match self.threads[at].phase {
            Phase::Idle if self.history.calls.len() < self.shape.calls => self.call(at),
            Phase::Idle => {}
            Phase::Trying { refused } => self.try_once(at, refused),
            Phase::Granted => {
                let id = self.threads[at].call as u64;
                self.world.apply(Op::Record { process, id });
                if self.current(at).guard.is_none() {
                    self.held.push((process, None)); // any thread may release it from now on
                }
                self.threads[at].phase = Phase::Returning(Outcome::Held);
            }
            Phase::Releasing => self.take(at),
            Phase::Unlocking(id) => {
                self.world.apply(Op::Unlock { process, id });
                let refused = self.random.random_ratio(1, 20);
                let outcome = if refused { Outcome::Refused } else { Outcome::Released };
                self.threads[at].phase = Phase::Returning(outcome);
            }
            Phase::Returning(outcome) => {
                self.tick(at);
                let call = &mut self.history.calls[self.threads[at].call];
                call.returned = Some(Return { at: self.now, outcome });
                if outcome == Outcome::Held && call.guard.is_some() {
                    self.held.push((process, call.guard));
                }
                self.threads[at].phase = Phase::Idle;
            }
        }
    }

    fn current(&self, at: usize) -> Call {
        self.history.calls[self.threads[at].call]
    }

    /// Advances the clock if needed: calls and returns of one thread have different times; those of two
    /// threads may have the same.
    fn tick(&mut self, at: usize) {
        if self.threads[at].seen == self.now {
            self.now += 1;
        }
        self.threads[at].seen = self.now;
    }

    fn breaks(&mut self, defect: Defect) -> bool {
        self.shape.defect == Some(defect) && self.random.random_ratio(4, 5)
    }

    /// Begins a call: mostly acquisitions, and releases of holds of the process.
    fn call(&mut self, at: usize) {
        self.tick(at);
        let process = self.threads[at].process;
        let fresh = self.history.calls.len() as u64;
        let mine: Vec<usize> =
            (0..self.held.len()).filter(|&held| self.held[held].0 == process).collect();
        let ends = !mine.is_empty() && self.random.random_ratio(2, 3);
        let (attempt, guard) = if ends {
            let chosen = mine[self.random.random_range(0..mine.len())];
            // A guard is released once; several calls may release one unguarded hold.
            let (_, guard) = self.held[chosen];
            if guard.is_some() || self.random.random_ratio(3, 4) {
                self.held.remove(chosen);
            }
            (Attempt::Release, guard)
        } else if self.random.random_ratio(1, 12) {
            (Attempt::Release, None)
        } else {
            let mode = match self.random.random_range(0..2) {
                0 if self.shape.shared => Mode::Shared,
                _ => Mode::Exclusive,
            };
            let wait = match self.random.random_range(0..5) {
                0 => Wait::Forever,
                1 | 2 => Wait::Until(self.now + self.random.random_range(0..12u64)),
                _ => Wait::Try,
            };
            let file = Some(self.random.random_range(0..self.shape.files));
            let guard = self.random.random_bool(0.5).then_some(fresh);
            (Attempt::Acquire { file, mode, wait }, guard)
        };
        let phase = if attempt == Attempt::Release {
            Phase::Releasing
        } else {
            Phase::Trying { refused: false }
        };
        let thread = self.threads[at].number;
        self.threads[at].phase = phase;
        self.threads[at].call = self.history.calls.len();
        let (path, called) = (0, self.now);
        self.history.calls.push(Call {
            process,
            thread,
            path,
            guard,
            attempt,
            called,
            returned: None,
        });
    }

    fn try_once(&mut self, at: usize, refused: bool) {
        let call = self.current(at);
        let Call { process, path, attempt, .. } = call;
        let Attempt::Acquire { file, mode, wait } = attempt else { return };
        let (file, unguarded) = (file.unwrap_or_default(), call.guard.is_none());
        let id = self.threads[at].call as u64;
        let due = match wait {
            Wait::Try => true,
            Wait::Until(deadline) => self.now >= deadline,
            Wait::Forever => false,
        };
        let timed = wait != Wait::Forever;
        self.world.apply(Op::SetFile { path, file: Some(file) });
        let stage = Stage::Granted;
        let hold = Hold { process, id, path, file, mode, unguarded, stage, named: true };
        let (granted, answer) = self.world.step(Op::Lock { hold });
        let free = answer == Answer::Granted;
        let turned_away = free && timed && self.breaks(Defect::RefusesFreeLock);
        if turned_away || refused && due && self.breaks(Defect::NoLastAttempt) {
            self.threads[at].phase = Phase::Returning(Outcome::TimedOut);
        } else if free {
            self.world = granted;
            self.threads[at].phase = Phase::Granted;
        } else if self.breaks(Defect::GrantsHeldLock) {
            // The simulated lock reports a hold; the specification's world has none.
            self.threads[at].phase = Phase::Granted;
        } else if due || timed && self.breaks(Defect::TimesOutEarly) {
            self.forget_file(at);
            self.threads[at].phase = Phase::Returning(Outcome::TimedOut);
        } else {
            self.threads[at].phase = Phase::Trying { refused: true };
        }
    }

    /// Clears the file of a timeout at random: some programs do not know the file.
    fn forget_file(&mut self, at: usize) {
        let call = self.threads[at].call;
        if self.random.random_ratio(1, 8) {
            if let Attempt::Acquire { file, .. } = &mut self.history.calls[call].attempt {
                *file = None;
            }
        }
    }

    fn take(&mut self, at: usize) {
        let Call { process, path, guard, .. } = self.current(at);
        if guard.is_none() && self.breaks(Defect::DeniesHold) {
            self.threads[at].phase = Phase::Returning(Outcome::NotLocked);
            return;
        }
        // The number of a guard and of its hold is the index of its acquisition.
        let take = guard.map_or(Op::Take { process, path }, |id| Op::TakeGuard { process, id });
        let answer = self.world.apply(take);
        self.threads[at].phase = match answer {
            Answer::Taken(id) => {
                if self.breaks(Defect::FreesHeldLock) {
                    self.free_early(process);
                }
                Phase::Unlocking(id)
            }
            _ if guard.is_some() || self.breaks(Defect::ReportsFalseRelease) => {
                Phase::Returning(Outcome::Released)
            }
            _ => Phase::Returning(Outcome::NotLocked),
        };
    }

    /// Frees the hold of another process, which does not notice.
    fn free_early(&mut self, process: u32) {
        let victim = self.world.holds().iter().find(|hold| hold.process != process).copied();
        if let Some(Hold { process, id, stage: Stage::Recorded, unguarded: false, .. }) = victim {
            self.world.apply(Op::TakeGuard { process, id });
            self.world.apply(Op::Unlock { process, id });
        }
    }

    fn die(&mut self) {
        let Some((process, after)) = self.dying.take() else { return };
        self.world.apply(Op::Crash { process });
        self.dead.push(process);
        self.now += self.random.random_range(0..4u64);
        self.history.kills.push(Kill { process, after, before: self.now });
    }
}
