//! The comparison after every step, and the search for a sequence of steps that fails.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use locket_model::spec::Outcome;
use proptest::strategy::{BoxedStrategy, Just, Strategy};
use proptest::test_runner::{
    Config, FileFailurePersistence, RngSeed, TestCaseError, TestError, TestRunner,
};
use proptest_state_machine::strategy::Sequential;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};

use super::in_process::InProcess;
use super::ops::{Op, Response, Spelling, Step, Subject, Timeout};
use super::peers::Peers;
use super::reference::{Reference, Setting};
use super::seeded::WrongSpec;
use super::test_dir::TestDir;

/// The system under test in one run, and the lines of the report so far.
pub(crate) struct Trace {
    subject: Box<dyn Subject>,
    dir: TestDir,
    lines: Vec<String>,
}

impl Trace {
    fn new(setting: Setting) -> Self {
        let subject: Box<dyn Subject> =
            if setting.peers { Box::<Peers>::default() } else { Box::<InProcess>::default() };
        Self { subject, dir: TestDir::new(), lines: Vec::new() }
    }

    fn act(&mut self, step: Step, expected: &Reference) -> Response {
        let start = Instant::now();
        let response = match step.op {
            Op::Change(change) => match self.dir.change(change) {
                Ok(()) => Response::Nothing,
                Err(error) => Response::Unexpected(error.to_string()),
            },
            _ => self.subject.act(&self.dir, step),
        };
        check_timeout(step.op, response, start.elapsed(), expected)
    }

    fn compare(
        &mut self,
        what: &str,
        response: &Response,
        expected: &Response,
    ) -> Result<(), String> {
        self.lines.push(format!("{what} -> {response:?}"));
        if response == expected { Ok(()) } else { Err(format!("should be: {expected:?}")) }
    }

    fn step(&mut self, step: Step, expected: &Reference) -> Result<(), String> {
        let response = self.act(step, expected);
        self.compare(&format!("{step:?}"), &response, &expected.response)?;
        for waiter in &expected.admitted {
            let response = self.subject.end_of_wait(waiter);
            let event = format!("process {}: the wait is over", waiter.process);
            self.compare(&event, &response, &Response::Call(Outcome::Held))?;
        }
        self.check_waiters(expected)?;
        self.check_states(expected)?;
        self.dir.check(expected)?;
        #[cfg(target_os = "linux")]
        self.check_descriptors(expected)?;
        Ok(())
    }

    fn check_waiters(&mut self, expected: &Reference) -> Result<(), String> {
        for waiter in &expected.waiters {
            if !self.subject.still_waits(&self.dir, waiter) {
                return Err(format!("process {} should still wait", waiter.process));
            }
        }
        Ok(())
    }

    fn check_states(&mut self, expected: &Reference) -> Result<(), String> {
        for process in 1..=expected.setting.processes() {
            for &via in Spelling::ALL {
                let should = expected.state(process, via);
                match self.subject.state(&self.dir, process, via) {
                    Some(state) if state != should => {
                        return Err(format!(
                            "process {process}: the state via {via:?} is {state:?}, and should be {should:?}"
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
            let open = self.dir.descriptors(pid);
            if open > limit {
                return Err(format!(
                    "process {process} has {open} descriptors open, and should have {limit} at most"
                ));
            }
        }
        Ok(())
    }
}

/// Checks that a call did not time out too early, by the test's clock and by the lock's own account. Both count, because
/// on a slow machine a call that returned too early can still have taken long enough.
fn check_timeout(op: Op, response: Response, took: Duration, expected: &Reference) -> Response {
    let Response::TimedOut(after) = response else { return response };
    let least = match op {
        Op::Acquire { timeout: Timeout::Millisecond, .. } => {
            let is_longer = expected.is_wrong(WrongSpec::TimeoutsAreLonger);
            Duration::from_millis(if is_longer { 3_600_000 } else { 1 })
        }
        _ => Duration::ZERO,
    };
    if took.min(after) < least {
        return Response::Unexpected(format!(
            "timed out after {took:?}, by its own account {after:?}"
        ));
    }
    Response::Call(Outcome::TimedOut)
}

impl StateMachineTest for Trace {
    type SystemUnderTest = Self;
    type Reference = Reference;

    fn init_test(start: &Reference) -> Self {
        Self::new(start.setting)
    }

    fn apply(mut trace: Self, expected: &Reference, step: Step) -> Self {
        if let Err(message) = trace.step(step, expected) {
            // Not `panic!`, which would print every failing trace on the way to the shortest.
            resume_unwind(Box::new(format!("{}\n=> {message}", trace.lines.join("\n"))));
        }
        trace
    }
}

/// A trace that violates the specification.
#[derive(Debug)]
pub(crate) struct Violation {
    /// The steps with their responses, and what is wrong with the last.
    pub(crate) report: String,
    pub(crate) steps: usize,
}

/// Serializes the start of processes with the runs in this process. A child has copies of all descriptors until `execve`
/// closes them. Until then a lock of this process that is released by `close` is still held.
static SPAWNING: RwLock<()> = RwLock::new(());

fn block_spawning(setting: Setting) -> Option<RwLockReadGuard<'static, ()>> {
    (!setting.peers).then(|| SPAWNING.read().unwrap_or_else(PoisonError::into_inner))
}

/// Starts a process while no run is in progress in this process.
pub(crate) fn spawning<T>(spawn: impl FnOnce() -> T) -> T {
    let _alone = SPAWNING.write().unwrap_or_else(PoisonError::into_inner);
    spawn()
}

type Sequences = Sequential<Reference, Step, BoxedStrategy<Reference>, BoxedStrategy<Step>>;

fn sequences(setting: Setting) -> Sequences {
    Sequential::new(
        (1..=24).into(),
        move || Just(Reference::new(setting)).boxed(),
        Reference::preconditions,
        Reference::transitions,
        <Reference as ReferenceStateMachine>::apply,
    )
}

/// Runs random sequences until one fails, and shrinks that one.
pub(crate) fn find_violation(setting: Setting, config: &Config) -> Option<Violation> {
    let result =
        TestRunner::new(config.clone()).run(&sequences(setting), |(start, steps, seen)| {
            let _no_spawning = block_spawning(setting);
            Trace::test_sequential(config.clone(), start, steps, seen);
            Ok::<(), TestCaseError>(())
        });
    match result {
        Ok(()) => None,
        Err(TestError::Fail(reason, (_, steps, _))) => {
            let found = Violation { report: reason.to_string(), steps: steps.len() };
            Some(shorten(setting, steps).unwrap_or(found))
        }
        Err(error) => panic!("no sequence could be generated: {error}"),
    }
}

/// Removes one step, or two that belong together, as long as the trace still fails. Proptest tries each step alone, once,
/// and before it simplifies the others.
fn shorten(setting: Setting, mut steps: Vec<Step>) -> Option<Violation> {
    let mut shortest = None;
    loop {
        let one = (0..steps.len()).rev().map(|at| vec![at]);
        let two = (0..steps.len()).rev().flat_map(|at| (0..at).rev().map(move |to| vec![at, to]));
        let shorter = one.chain(two).find_map(|left_out| {
            let mut rest = steps.clone();
            for at in left_out {
                rest.remove(at);
            }
            Some((run_steps(setting, &rest)?, rest))
        });
        let Some((report, rest)) = shorter else { return shortest };
        shortest = Some(Violation { report, steps: rest.len() });
        steps = rest;
    }
}

fn run_steps(setting: Setting, steps: &[Step]) -> Option<String> {
    let start = Reference::new(setting);
    steps.iter().try_fold(start.clone(), |state, step| {
        Reference::preconditions(&state, step)
            .then(|| <Reference as ReferenceStateMachine>::apply(state, step))
    })?;
    let _no_spawning = block_spawning(setting);
    let run = || Trace::test_sequential(Config::default(), start, steps.to_vec(), None);
    let panic = catch_unwind(AssertUnwindSafe(run)).err()?;
    panic.downcast().ok().map(|text: Box<String>| *text)
}

/// Asserts that `PROPTEST_CASES` sequences pass, or `cases` if that is not set. The same `PROPTEST_RNG_SEED` gives the
/// same sequences.
pub(crate) fn assert_passes(setting: Setting, sequences: u32, regressions: &'static str) {
    let config = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { config.cases } else { sequences };
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
    if let Some(Violation { report, steps }) = find_violation(setting, &config) {
        panic!("PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases}; {steps} steps:\n{report}");
    }
}
