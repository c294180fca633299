//! Operations on the handles of one file: one after the other, and on several threads.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use locket::{ErrorKind, Guard, Lock, LockError, State};
use locket_model::history::{Attempt, Call, History, Return, Wait};
use locket_model::spec::{self, Mode, Outcome, World};
use locket_model::{judge, timeline::explain};

const PROCESS: u32 = 0;
const PATH: u32 = 0;

/// Each byte is an operation on one of two handles. The library gives the answers of the specification.
pub fn operations(operations: &[u8]) {
    let dir = tempfile::tempdir().expect("a directory can be created");
    let exclusive = Lock::new(dir.path().join("lock"));
    let shared = exclusive.clone().shared();
    let (mut world, mut guards) = (World::default(), Vec::<(u64, Guard)>::new());
    for (id, operation) in (0..).zip(operations) {
        let (handle, mode) = match operation & 1 {
            0 => (&exclusive, Mode::Exclusive),
            _ => (&shared, Mode::Shared),
        };
        let (next, expected, outcome) = match operation >> 1 & 3 {
            0 => {
                let (next, expected) = world.acquire(PROCESS, PATH, id, mode, true);
                (next, expected, acquired(&handle.try_acquire()))
            }
            1 => {
                let (next, expected) = world.acquire(PROCESS, PATH, id, mode, false);
                let guard = handle.try_lock();
                let outcome = acquired(&guard);
                guards.extend(guard.ok().map(|guard| (id, guard)));
                (next, expected, outcome)
            }
            2 => {
                let (next, expected) = world.release(PROCESS, PATH, false);
                (next, expected, released(&handle.release()))
            }
            _ => {
                if guards.is_empty() {
                    continue;
                }
                let (id, guard) = guards.remove(usize::from(operation >> 3) % guards.len());
                let (next, expected) =
                    world.release_guard(PROCESS, id, false).expect("the model has this hold");
                (next, expected, released(&guard.release()))
            }
        };
        assert_eq!(outcome, expected);
        assert_eq!(state(handle.state()), next.state(PROCESS, PATH));
        world = next;
    }
    while exclusive.release().is_ok() {}
}

/// The bytes are shared out to three threads, each byte an operation on one of two handles. The calls, with their times, are
/// those of a correct lock.
pub fn threads(operations: &[u8]) {
    const THREADS: u32 = 3;
    /// Longer inputs take longer and show nothing more.
    const OPERATIONS: usize = 300;
    let dir = tempfile::tempdir().expect("a directory can be created");
    let exclusive = Lock::new(dir.path().join("lock"));
    let shared = exclusive.clone().shared();
    let (start, all_run) = (Instant::now(), Barrier::new(THREADS as usize));
    let operations = &operations[..operations.len().min(OPERATIONS)];
    let of_thread = |id: u32| {
        let mut thread = Thread { id, start, guards: vec![], calls: vec![] };
        all_run.wait();
        for operation in operations.iter().skip(id as usize).step_by(THREADS as usize) {
            thread.operate(if operation & 1 == 0 { &exclusive } else { &shared }, *operation);
        }
        while !thread.guards.is_empty() {
            thread.end_guard(0);
        }
        thread.calls
    };
    let calls = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|id| {
                scope.spawn({
                    let of_thread = &of_thread;
                    move || of_thread(id)
                })
            })
            .collect();
        threads.into_iter().flat_map(|it| it.join().expect("no call panics")).collect()
    });
    let history = History { calls, kills: vec![] };
    history.check().expect("the calls are possible");
    let verdict = judge(&history);
    assert!(verdict.anomalies.is_empty(), "{}", explain(&history, &verdict));
    while exclusive.release().is_ok() {}
}

/// A thread that writes down its calls.
struct Thread {
    id: u32,
    start: Instant,
    guards: Vec<(u64, Guard)>,
    calls: Vec<Call>,
}

impl Thread {
    fn operate(&mut self, handle: &Lock, operation: u8) {
        let mode = if operation & 1 == 0 { Mode::Exclusive } else { Mode::Shared };
        let argument = usize::from(operation >> 3);
        match operation >> 1 & 3 {
            0 => {
                let attempt = Attempt::Acquire { file: Some(0), mode, wait: Wait::Try };
                self.call(None, attempt, || acquired(&handle.try_acquire()));
            }
            1 => {
                let timeout = Duration::from_micros(if argument < 16 { 0 } else { 200 });
                // A deadline begins when the call does: not before the time that is noted here.
                let wait = match self.now() + timeout.as_nanos() as u64 {
                    _ if timeout.is_zero() => Wait::Try,
                    deadline => Wait::Until(deadline),
                };
                let attempt = Attempt::Acquire { file: Some(0), mode, wait };
                let id = u64::from(self.id) << 32 | self.calls.len() as u64;
                let handle = handle.clone().timeout(timeout);
                let mut guard = None;
                self.call(Some(id), attempt, || {
                    let result = handle.lock();
                    let outcome = acquired(&result);
                    guard = result.ok();
                    outcome
                });
                self.guards.extend(guard.map(|guard| (id, guard)));
            }
            2 => self.call(None, Attempt::Release, || released(&handle.release())),
            _ if self.guards.is_empty() => {}
            _ => self.end_guard(argument % self.guards.len()),
        }
    }

    fn end_guard(&mut self, at: usize) {
        let (id, guard) = self.guards.swap_remove(at);
        self.call(Some(id), Attempt::Release, || released(&guard.release()));
    }

    fn call(&mut self, guard: Option<u64>, attempt: Attempt, call: impl FnOnce() -> Outcome) {
        let called = self.now();
        let outcome = call();
        let returned = Some(Return { at: self.now(), outcome });
        let (process, thread, path) = (PROCESS, self.id, PATH);
        self.calls.push(Call { process, thread, path, guard, attempt, called, returned });
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

fn acquired<T>(result: &Result<T, LockError>) -> Outcome {
    match result {
        Ok(_) => Outcome::Held,
        Err(error) if error.is_contended() => Outcome::TimedOut,
        Err(_) => Outcome::Failed,
    }
}

fn released(result: &Result<(), LockError>) -> Outcome {
    match result {
        Ok(()) => Outcome::Released,
        Err(error) if error.kind() == ErrorKind::NotLocked => Outcome::NotLocked,
        Err(_) => Outcome::Refused,
    }
}

fn state(state: State) -> spec::State {
    match state {
        State::Unlocked => spec::State::Unlocked,
        State::HeldExclusive => spec::State::HeldExclusive,
        State::HeldShared(holds) => spec::State::HeldShared(holds),
        State::ReleasedError => spec::State::ReleasedError,
    }
}
