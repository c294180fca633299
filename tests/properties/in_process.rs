//! The lock in the test's own process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use locket::{ErrorKind, Guard, Lock, LockError, lock_file};
use locket_model::spec::{Mode, Outcome, Process, State};

use super::ops::{End, HoldKind, Op, Response, Slot, Spelling, Step, Subject, Timeout};
use super::reference::Waiter;
use super::test_dir::TestDir;

#[derive(Default)]
pub(crate) struct InProcess {
    handles: BTreeMap<Spelling, Lock>,
    guards: BTreeMap<Slot, Guard>,
    /// All paths that had a handle.
    paths: BTreeSet<PathBuf>,
    /// Leaked guards. They are dropped at the end of the run, so that a thousand runs do not use up the descriptors.
    leaked: Vec<Guard>,
}

impl InProcess {
    fn handle(&mut self, dir: &TestDir, via: Spelling) -> Lock {
        self.paths.insert(dir.path(via));
        self.handles.entry(via).or_insert_with(|| lock_file(dir.path(via))).clone()
    }

    fn acquire(&mut self, lock: Lock, mode: Mode, kind: HoldKind, timeout: Timeout) -> Response {
        let lock = if mode == Mode::Shared { lock.shared() } else { lock };
        let (lock, try_once) = match timeout {
            // A try ignores the timeout of its handle.
            Timeout::Try => (lock.timeout(Duration::from_secs(60)), true),
            Timeout::Zero => (lock.timeout(Duration::ZERO), false),
            Timeout::Millisecond => (lock.timeout(Duration::from_millis(1)), false),
        };
        match kind {
            HoldKind::Unguarded if try_once => response_of(lock.try_acquire(), Outcome::Held),
            HoldKind::Unguarded => response_of(lock.acquire(), Outcome::Held),
            HoldKind::Guard(slot) => {
                let guard = if try_once { lock.try_lock() } else { lock.lock() };
                let put = guard.map(|guard| drop(self.guards.insert(slot, guard)));
                response_of(put, Outcome::Held)
            }
        }
    }
}

impl Subject for InProcess {
    fn act(&mut self, dir: &TestDir, Step { op, .. }: Step) -> Response {
        match op {
            Op::Acquire { via, mode, kind, timeout } => {
                let lock = self.handle(dir, via);
                self.acquire(lock, mode, kind, timeout)
            }
            Op::Release { via } => response_of(self.handle(dir, via).release(), Outcome::Released),
            Op::DropHandle { via } => {
                self.handles.remove(&via);
                Response::Nothing
            }
            Op::EndGuard { slot, end } => match (self.guards.remove(&slot), end) {
                (None, _) => Response::Unexpected("no such guard".into()),
                (Some(guard), End::Release) => response_of(guard.release(), Outcome::Released),
                (Some(guard), End::Drop) => {
                    drop(guard);
                    Response::Nothing
                }
                (Some(guard), End::Leak) => {
                    self.leaked.push(guard);
                    Response::Nothing
                }
            },
            Op::IsCurrent { slot } => match self.guards.get(&slot).map(Guard::is_current) {
                Some(Ok(is_current)) => Response::Current(is_current),
                answer => Response::Unexpected(format!("{answer:?}")),
            },
            Op::Wait { .. } | Op::Kill | Op::Change(_) => {
                Response::Unexpected("one thread cannot do that".into())
            }
        }
    }

    fn state(&mut self, dir: &TestDir, _: Process, via: Spelling) -> Option<State> {
        Some(match lock_file(dir.path(via)).state() {
            locket::State::Unlocked => State::Unlocked,
            locket::State::HeldExclusive => State::HeldExclusive,
            locket::State::HeldShared(count) => State::HeldShared(count),
            locket::State::ReleasedError => State::ReleasedError,
        })
    }

    fn end_of_wait(&mut self, _: &Waiter) -> Response {
        Response::Unexpected("no call waits in this process".into())
    }

    fn still_waits(&mut self, _: &TestDir, _: &Waiter) -> bool {
        false
    }

    fn processes(&self) -> Vec<(Process, u32)> {
        vec![(1, std::process::id())]
    }
}

/// Releases the unguarded holds, which belong to the process and would outlast the run.
impl Drop for InProcess {
    fn drop(&mut self) {
        for path in &self.paths {
            while lock_file(path).release().is_ok() {}
        }
    }
}

fn response_of(result: Result<(), LockError>, done: Outcome) -> Response {
    match result {
        Ok(()) => Response::Call(done),
        Err(error) if error.is_contended() => Response::TimedOut(error.elapsed()),
        Err(error) if error.kind() == ErrorKind::NotLocked => Response::Call(Outcome::NotLocked),
        Err(error) => Response::Unexpected(error.to_string()),
    }
}
