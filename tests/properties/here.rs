//! The lock in this process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use locket::{ErrorKind, Guard, Lock, LockError, lock_file};
use locket_model::spec::{Mode, Outcome, Process, State};

use super::place::Place;
use super::reference::Waiter;
use super::story::{Deed, End, Keep, Patience, Slot, Spelling, Step, Told};
use super::subject::Subject;

#[derive(Default)]
pub(crate) struct Here {
    handles: BTreeMap<Spelling, Lock>,
    guards: BTreeMap<Slot, Guard>,
    /// Every path there was a handle of.
    paths: BTreeSet<PathBuf>,
    /// Dropped with the story only, so that a thousand stories do not add up.
    leaked: Vec<Guard>,
}

impl Here {
    fn handle(&mut self, place: &Place, via: Spelling) -> Lock {
        self.paths.insert(place.path(via));
        self.handles.entry(via).or_insert_with(|| lock_file(place.path(via))).clone()
    }

    fn acquire(&mut self, lock: Lock, mode: Mode, keep: Keep, patience: Patience) -> Told {
        let lock = if mode == Mode::Shared { lock.shared() } else { lock };
        let (lock, try_once) = match patience {
            // Whatever timeout a handle has, a try has none.
            Patience::Try => (lock.timeout(Duration::from_secs(60)), true),
            Patience::Zero => (lock.timeout(Duration::ZERO), false),
            Patience::Millisecond => (lock.timeout(Duration::from_millis(1)), false),
        };
        match keep {
            Keep::Kept if try_once => told(lock.try_acquire(), Outcome::Held),
            Keep::Kept => told(lock.acquire(), Outcome::Held),
            Keep::Guard(slot) => {
                let guard = if try_once { lock.try_lock() } else { lock.lock() };
                let put = guard.map(|guard| drop(self.guards.insert(slot, guard)));
                told(put, Outcome::Held)
            }
        }
    }
}

impl Subject for Here {
    fn act(&mut self, place: &Place, Step { deed, .. }: Step) -> Told {
        match deed {
            Deed::Acquire { via, mode, keep, patience } => {
                let lock = self.handle(place, via);
                self.acquire(lock, mode, keep, patience)
            }
            Deed::Release { via } => told(self.handle(place, via).release(), Outcome::Released),
            Deed::DropHandle { via } => {
                self.handles.remove(&via);
                Told::Nothing
            }
            Deed::EndGuard { slot, end } => match (self.guards.remove(&slot), end) {
                (None, _) => Told::Trouble("there is no such guard".into()),
                (Some(guard), End::Release) => told(guard.release(), Outcome::Released),
                (Some(guard), End::Drop) => {
                    drop(guard);
                    Told::Nothing
                }
                (Some(guard), End::Leak) => {
                    self.leaked.push(guard);
                    Told::Nothing
                }
            },
            Deed::IsCurrent { slot } => match self.guards.get(&slot).map(Guard::is_current) {
                Some(Ok(is_current)) => Told::Current(is_current),
                answer => Told::Trouble(format!("{answer:?}")),
            },
            Deed::Wait { .. } | Deed::Kill | Deed::Change(_) => {
                Told::Trouble("nothing that one thread can do".into())
            }
        }
    }

    fn state(&mut self, place: &Place, _: Process, via: Spelling) -> Option<State> {
        Some(match lock_file(place.path(via)).state() {
            locket::State::Unlocked => State::Unlocked,
            locket::State::HeldExclusive => State::HeldExclusive,
            locket::State::HeldShared(count) => State::HeldShared(count),
            locket::State::ReleasedError => State::ReleasedError,
        })
    }

    fn end_of_wait(&mut self, _: &Waiter) -> Told {
        Told::Trouble("nobody waits here".into())
    }

    fn still_waits(&mut self, _: &Place, _: &Waiter) -> bool {
        false
    }

    fn processes(&self) -> Vec<(Process, u32)> {
        vec![(1, std::process::id())]
    }
}

/// What is kept belongs to the process, and the process has other stories before it.
impl Drop for Here {
    fn drop(&mut self) {
        for path in &self.paths {
            while lock_file(path).release().is_ok() {}
        }
    }
}

fn told(result: Result<(), LockError>, done: Outcome) -> Told {
    match result {
        Ok(()) => Told::Call(done),
        Err(error) if error.is_contended() => Told::TimedOut(error.elapsed()),
        Err(error) if error.kind() == ErrorKind::NotLocked => Told::Call(Outcome::NotLocked),
        Err(error) => Told::Trouble(error.to_string()),
    }
}
