//! A few threads with their steps, in every interleaving.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use locket_model::spec::{Answer, Op, Outcome};
use loom::thread;

use crate::options::Mode;
use crate::oracle;
use crate::os::{Kernel, PATH, System};
use crate::program::{Step, Thread, Wait};
use crate::subject::Subject;
use crate::sync::Arc;

/// How often the scheduler may switch away from a thread that could go on. With a bound of 2 some seeded bugs are missed.
const PREEMPTIONS: usize = 3;

#[derive(Clone, Debug)]
pub(crate) enum Actor {
    /// A thread of a process. Threads of one process share a registry.
    Thread(u32, Vec<Step>),
    /// Unlinks the file.
    Unlink,
    /// Replaces the file by another.
    Replace,
    /// Kills a process.
    Crash(u32),
}

pub(crate) const TURN: [Step; 2] = [Step::Acquire(Mode::Exclusive, Wait::Forever), Step::Release];
pub(crate) const GUARDED: [Step; 2] = guarded(Mode::Exclusive, Wait::Forever);
pub(crate) const READ: [Step; 2] = guarded(Mode::Shared, Wait::Forever);

pub(crate) const fn guarded(mode: Mode, wait: Wait) -> [Step; 2] {
    [Step::Guard(mode, wait), Step::DropGuard]
}

/// Returns the steps of a thread whose deadline is over at this read of the clock.
pub(crate) const fn guarded_until(read: u32) -> [Step; 2] {
    guarded(Mode::Exclusive, Wait::Until(read))
}

/// Returns threads, each given by its process and its steps.
pub(crate) fn threads(programs: &[(u32, &[Step])]) -> Vec<Actor> {
    programs.iter().map(|(process, steps)| Actor::Thread(*process, steps.to_vec())).collect()
}

pub(crate) fn with(mut actors: Vec<Actor>, other: Actor) -> Vec<Actor> {
    actors.push(other);
    actors
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) kernel: Kernel,
    pub(crate) actors: Vec<Actor>,
}

/// The outcome of a scenario. It contains nothing of a killed process, because its last step has no certain outcome.
///
/// Only events at one place are ordered. loom does not distinguish executions that differ only in the order of
/// independent steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct History {
    /// The outcome of each step of each thread.
    pub(crate) outcomes: Vec<Vec<Option<Outcome>>>,
    /// The processes of the granted acquisitions, in the kernel's order.
    pub(crate) grants: Vec<u32>,
    /// The events of each process's ledger, in its order.
    pub(crate) ledgers: BTreeMap<u32, Vec<&'static str>>,
}

impl History {
    pub(crate) fn new(
        scenario: &Scenario,
        mut outcomes: Vec<Vec<Option<Outcome>>>,
        trace: &[(Op, Answer)],
    ) -> Self {
        for (actor, outcomes) in scenario.actors.iter().zip(&mut outcomes) {
            if matches!(actor, Actor::Thread(process, _) if scenario.is_killed(*process)) {
                outcomes.clear();
            }
        }
        let recorded: BTreeSet<_> = trace
            .iter()
            .filter_map(|&(op, _)| match op {
                Op::Record { process, id } => Some((process, id)),
                _ => None,
            })
            .collect();
        let mut history = Self { outcomes, ..Self::default() };
        for &(op, answer) in trace {
            let (process, what) = match op {
                Op::Lock { hold }
                    if answer == Answer::Granted && recorded.contains(&(hold.process, hold.id)) =>
                {
                    if !scenario.is_killed(hold.process) {
                        history.grants.push(hold.process);
                    }
                    continue;
                }
                Op::Record { process, .. } => (process, "added"),
                Op::Take { process, .. } | Op::TakeGuard { process, .. } => (process, "taken"),
                Op::Refuse { process, .. } => (process, "refused"),
                Op::Lower { process, .. } => (process, "lowered"),
                Op::Restore { process, .. } => (process, "restored"),
                _ => continue,
            };
            if !scenario.is_killed(process) {
                history.ledgers.entry(process).or_default().push(what);
            }
        }
        history
    }
}

pub(crate) struct Explored {
    pub(crate) executions: usize,
    pub(crate) histories: BTreeSet<History>,
}

impl Scenario {
    pub(crate) fn new(actors: Vec<Actor>) -> Self {
        Self { kernel: Kernel::Sound, actors }
    }

    pub(crate) fn on(self, kernel: Kernel) -> Self {
        Self { kernel, ..self }
    }

    pub(crate) fn is_killed(&self, process: u32) -> bool {
        self.actors.iter().any(|actor| matches!(actor, Actor::Crash(killed) if *killed == process))
    }

    fn closes_idle(&self, process: u32) -> bool {
        let closes_idle = |step: &Step| matches!(step, Step::CloseIdle);
        self.actors.iter().any(|actor| {
            matches!(actor, Actor::Thread(of, steps) if *of == process && steps.iter().any(closes_idle))
        })
    }

    fn processes(&self) -> BTreeSet<u32> {
        let process = |actor: &Actor| match actor {
            Actor::Thread(process, _) => Some(*process),
            _ => None,
        };
        self.actors.iter().filter_map(process).collect()
    }

    /// Runs every interleaving. Panics at the first difference between code and model.
    pub(crate) fn explore<S: Subject>(&self) -> Explored {
        self.explore_counting::<S>(&std::sync::Arc::default())
    }

    /// The same, and counts the executions, so that a test knows the number after a panic.
    pub(crate) fn explore_counting<S: Subject>(
        &self,
        executions: &std::sync::Arc<AtomicUsize>,
    ) -> Explored {
        let histories = std::sync::Arc::new(Mutex::new(BTreeSet::new()));
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(PREEMPTIONS);
        builder.max_branches = 20_000;
        let (scenario, count, seen) = (self.clone(), executions.clone(), histories.clone());
        builder.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            let history = scenario.execute::<S>();
            seen.lock().expect("no thread panics while it holds the lock").insert(history);
        });
        let histories = std::mem::take(&mut *histories.lock().expect("as above"));
        Explored { executions: executions.load(Ordering::Relaxed), histories }
    }

    fn execute<S: Subject>(&self) -> History {
        oracle::begin();
        let system = System::new(self.kernel);
        let registries: Vec<(u32, Arc<S::Registry>)> = self
            .processes()
            .into_iter()
            .map(|process| (process, Arc::new((S::CODE.registry)())))
            .collect();
        let registry = |process: u32| {
            let found = registries.iter().find(|(of, _)| *of == process);
            Arc::clone(&found.expect("every process has one").1)
        };
        let spawned: Vec<_> = self
            .actors
            .iter()
            .map(|actor| {
                let (actor, system) = (actor.clone(), Arc::clone(&system));
                let Actor::Thread(process, steps) = actor else {
                    return thread::spawn(move || {
                        system.suffers(&actor);
                        (None, Vec::new())
                    });
                };
                let registry = registry(process);
                thread::spawn(move || {
                    let mut thread = Thread::<S>::new(process, &system, &registry);
                    let outcomes = steps.into_iter().map(|step| thread.run(step)).collect();
                    (Some(thread), outcomes)
                })
            })
            .collect();
        // Guards and handles live until everything has been compared.
        let mut threads = Vec::new();
        let mut outcomes = Vec::new();
        for handle in spawned {
            let (thread, results) = handle.join().expect("a thread of the model does not panic");
            threads.extend(thread);
            outcomes.push(results);
        }
        let history = History::new(self, outcomes, &oracle::trace());
        self.compare_final_states::<S>(&system, &registry, threads);
        history
    }

    fn compare_final_states<S: Subject>(
        &self,
        system: &Arc<System>,
        registry: &dyn Fn(u32) -> Arc<S::Registry>,
        threads: Vec<Thread<S>>,
    ) {
        for process in self.processes().into_iter().filter(|process| !oracle::is_dead(*process)) {
            let mut observer = Thread::<S>::new(process, system, &registry(process));
            let (says, holds) = (observer.state(), oracle::holds(process));
            let expected = oracle::state(process, PATH);
            if says != expected {
                oracle::violation(&format!("the ledger says {says:?}, the model {expected:?}"));
            }
            let open = system.open_descriptors(process);
            if open != holds && open != holds + 1 {
                oracle::violation(&format!("{open} descriptors are open for {holds} holds (L13)"));
            }
            // A registry that does not know an idle file could not close it (L13).
            if self.closes_idle(process) {
                (S::CODE.close_all)(&registry(process));
                let open = system.open_descriptors(process);
                if open != holds {
                    oracle::violation(&format!("{open} idle files were not closed, {holds} holds"));
                }
            }
            observer.drop_handle();
        }
        for mut thread in threads {
            thread.drop_handle();
            thread.leak_guards();
        }
        // With the last handle the idle file is closed, unless an unguarded hold keeps the ledger alive. Held files stay open
        // (L13).
        for process in self.processes().into_iter().filter(|process| !oracle::is_dead(*process)) {
            let (open, holds) = (system.open_descriptors(process), oracle::holds(process));
            if open != holds && (holds == 0 || open != holds + 1) {
                oracle::violation(&format!(
                    "{open} descriptors outlive the handles, {holds} holds"
                ));
            }
        }
        if let Err(report) = oracle::finish() {
            panic!("{report}");
        }
    }
}
