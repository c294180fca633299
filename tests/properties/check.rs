//! The comparison, after every step, and the search for a story in which it fails.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use locket_model::spec::Outcome;
use proptest::strategy::{BoxedStrategy, Just, Strategy, ValueTree};
use proptest::test_runner::{
    Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner,
};
use proptest_state_machine::strategy::Sequential;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use super::here::Here;
use super::peers::Peers;
use super::place::Place;
use super::reference::{Reference, Setting};
use super::seeded::Broken;
use super::story::{Deed, Patience, Spelling, Step, Told};
use super::subject::Subject;

/// A story as it goes on: what happened so far, and to whom.
pub(crate) struct Tale {
    subject: Box<dyn Subject>,
    place: Place,
    lines: Vec<String>,
}

impl Tale {
    fn new(setting: Setting) -> Self {
        let honest: Box<dyn Subject> =
            if setting.peers { Box::<Peers>::default() } else { Box::<Here>::default() };
        let subject = match setting.broken_lock {
            Some(bug) => Box::new(Broken::new(bug, honest)),
            None => honest,
        };
        Self { subject, place: Place::new(), lines: Vec::new() }
    }

    fn act(&mut self, step: Step) -> Told {
        let start = Instant::now();
        let told = match step.deed {
            Deed::Change(change) => match self.place.change(change) {
                Ok(()) => Told::Nothing,
                Err(error) => Told::Trouble(error.to_string()),
            },
            _ => self.subject.act(&self.place, step),
        };
        on_time(step.deed, told, start.elapsed())
    }

    fn tell(&mut self, what: &str, told: &Told, expected: &Told) -> Result<(), String> {
        self.lines.push(format!("{what} -> {told}"));
        if told == expected { Ok(()) } else { Err(format!("it should be: {expected}")) }
    }

    fn go_on(&mut self, step: Step, expected: &Reference) -> Result<(), String> {
        let told = self.act(step);
        self.tell(&format!("{step:?}"), &told, &expected.told)?;
        for waiter in &expected.let_in {
            let told = self.subject.end_of_wait(waiter);
            let who = format!("process {}: the wait is over", waiter.process);
            self.tell(&who, &told, &Told::Call(Outcome::Held))?;
        }
        self.check_waiters(expected)?;
        self.check_states(expected)?;
        self.place.check(expected)?;
        self.check_descriptors(expected)
    }

    fn check_waiters(&mut self, expected: &Reference) -> Result<(), String> {
        for waiter in &expected.waiters {
            if !self.subject.still_waits(&self.place, waiter) {
                return Err(format!("process {} should still wait", waiter.process));
            }
        }
        Ok(())
    }

    fn check_states(&mut self, expected: &Reference) -> Result<(), String> {
        for process in 1..=expected.setting.processes() {
            for &via in Spelling::ALL {
                let should = expected.state(process, via);
                match self.subject.state(&self.place, process, via) {
                    Some(state) if state != should => {
                        return Err(format!(
                            "process {process}: the state via {via} is {state:?}, and should be {should:?}"
                        ));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn check_descriptors(&self, expected: &Reference) -> Result<(), String> {
        for (process, pid) in self.subject.processes() {
            let limit = expected.limit_of_descriptors(process);
            let open = self.place.descriptors(pid);
            if open > limit {
                return Err(format!(
                    "process {process} has {open} descriptors open, and should have {limit} at most"
                ));
            }
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    #[allow(clippy::unnecessary_wraps, clippy::unused_self, reason = "nobody can look")]
    fn check_descriptors(&self, _: &Reference) -> Result<(), String> {
        Ok(())
    }
}

/// Too early by the clock, or by the lock's own account: a machine may be so slow that what took no
/// time at all seems to have taken its time.
fn on_time(deed: Deed, told: Told, took: Duration) -> Told {
    let Told::TimedOut(after) = told else { return told };
    let least = match deed {
        Deed::Acquire { patience: Patience::Millisecond, .. } => Duration::from_millis(1),
        _ => Duration::ZERO,
    };
    if took.min(after) < least {
        return Told::Trouble(format!("timed out after {took:?}, or {after:?} as it says"));
    }
    Told::Call(Outcome::TimedOut)
}

impl StateMachineTest for Tale {
    type SystemUnderTest = Self;
    type Reference = Reference;

    fn init_test(start: &Reference) -> Self {
        Self::new(start.setting)
    }

    fn apply(mut tale: Self, expected: &Reference, step: Step) -> Self {
        if let Err(complaint) = tale.go_on(step, expected) {
            // Not `panic!`, which would print every story on the way to the shortest.
            resume_unwind(Box::new(format!("{}\n=> {complaint}", tale.lines.join("\n"))));
        }
        tale
    }
}

/// A story that should not be.
#[derive(Debug)]
pub(crate) struct Conviction {
    /// The steps with what they said, and what was wrong with the last.
    pub(crate) report: String,
    pub(crate) steps: usize,
}

/// A new process is born with copies of all our descriptors, which it closes a moment later. Until
/// then what this process unlocks by closing is still locked.
static BIRTHS: RwLock<()> = RwLock::new(());

fn births_wait_for(setting: Setting) -> Option<RwLockReadGuard<'static, ()>> {
    (!setting.peers).then(|| BIRTHS.read().unwrap_or_else(PoisonError::into_inner))
}

/// No story is told in this process meanwhile.
pub(crate) fn spawning<T>(spawn: impl FnOnce() -> T) -> T {
    let _alone = BIRTHS.write().unwrap_or_else(PoisonError::into_inner);
    spawn()
}

type Stories = Sequential<Reference, Step, BoxedStrategy<Reference>, BoxedStrategy<Step>>;

fn stories(setting: Setting) -> Stories {
    Sequential::new(
        (1..=24).into(),
        move || Just(Reference::new(setting)).boxed(),
        Reference::preconditions,
        Reference::transitions,
        <Reference as ReferenceStateMachine>::apply,
    )
}

/// Shows every step of so many stories, with the world before it and after it, to somebody who
/// wants to know what stories there are. The lock plays no part.
pub(crate) fn look_at(
    setting: Setting,
    config: &Config,
    mut look: impl FnMut(&Reference, Step, &Reference),
) {
    let (mut runner, cases) = (TestRunner::new(config.clone()), config.cases);
    for _ in 0..cases {
        let story = stories(setting).new_tree(&mut runner).expect("there should be a story");
        let (mut before, steps, _) = story.current();
        for step in steps {
            let after = <Reference as ReferenceStateMachine>::apply(before.clone(), &step);
            look(&before, step, &after);
            before = after;
        }
    }
}

/// Tells stories until one goes wrong, and makes that one short.
pub(crate) fn convict(setting: Setting, config: &Config) -> Option<Conviction> {
    let result = TestRunner::new(config.clone()).run(&stories(setting), |(start, steps, seen)| {
        let _births = births_wait_for(setting);
        Tale::test_sequential(config.clone(), start, steps, seen);
        Ok::<(), TestCaseError>(())
    });
    match result {
        Ok(()) => None,
        Err(TestError::Fail(reason, (_, steps, _))) => {
            let found = Conviction { report: reason.to_string(), steps: steps.len() };
            Some(shorten(setting, steps).unwrap_or(found))
        }
        Err(error) => panic!("no story could be made up: {error}"),
    }
}

/// Leaves out a step, or two that belong together, as long as the story goes wrong without. Proptest
/// tries each step alone, once, and before it makes the others simpler.
fn shorten(setting: Setting, mut steps: Vec<Step>) -> Option<Conviction> {
    let mut shortest = None;
    loop {
        let one = (0..steps.len()).rev().map(|at| vec![at]);
        let two = (0..steps.len()).rev().flat_map(|at| (0..at).rev().map(move |to| vec![at, to]));
        let shorter = one.chain(two).find_map(|left_out| {
            let mut rest = steps.clone();
            for at in left_out {
                rest.remove(at);
            }
            Some((complaint(setting, &rest)?, rest))
        });
        let Some((report, rest)) = shorter else { return shortest };
        shortest = Some(Conviction { report, steps: rest.len() });
        steps = rest;
    }
}

fn complaint(setting: Setting, steps: &[Step]) -> Option<String> {
    let start = Reference::new(setting);
    steps.iter().try_fold(start.clone(), |state, step| {
        Reference::preconditions(&state, step)
            .then(|| <Reference as ReferenceStateMachine>::apply(state, step))
    })?;
    let _births = births_wait_for(setting);
    let tell = || Tale::test_sequential(Config::default(), start, steps.to_vec(), None);
    let panic = catch_unwind(AssertUnwindSafe(tell)).err()?;
    panic.downcast().ok().map(|text: Box<String>| *text)
}

/// `PROPTEST_CASES` stories, or as many as there is time for; the same ones for the same
/// `PROPTEST_RNG_SEED`.
pub(crate) fn acquit(setting: Setting, stories: u32, regressions: &'static str) {
    let config = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { stories };
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => rand::random(),
    };
    let persistence = FileFailurePersistence::Direct(regressions);
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: Some(Box::new(persistence)),
        max_shrink_iters: 2_000,
        ..config
    };
    if let Some(Conviction { report, steps }) = convict(setting, &config) {
        panic!("PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases}; {steps} steps:\n{report}");
    }
}
