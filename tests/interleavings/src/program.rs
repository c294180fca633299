//! The steps of a thread, and how they are announced to the model.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use locket_model::spec::{Answer, Op, Outcome};

use crate::error::{ErrorKind, LockError};
use crate::options::{Mode, Options};
use crate::oracle;
use crate::os::{LockPath, PATH, System};
use crate::subject::Subject;
use crate::sync::{Arc, Instant};

/// How long an acquisition waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wait {
    Forever,
    /// A timeout of zero.
    Try,
    /// A timeout that is over at this read of the clock. The first read is the call's own.
    Until(u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// `Lock::acquire`.
    Acquire(Mode, Wait),
    /// `Lock::release`.
    Release,
    /// `Lock::lock`.
    Guard(Mode, Wait),
    /// The downgrade of the oldest guard, which is exclusive.
    Downgrade,
    /// The drop of the oldest guard.
    DropGuard,
    /// The drop of the thread's handle. The next step creates another.
    DropHandle,
    /// All idle files of the process are closed, as when it has no descriptors left.
    CloseIdle,
}

/// What is known of a thread's acquisition. "Timed out" is correct only if the last attempt was made at or after the deadline
/// (L3) and the path was found to name its file since (L9).
#[derive(Clone, Copy, Default)]
pub(crate) struct Acquisition {
    /// `acquire`, without a guard.
    pub(crate) unguarded: bool,
    /// The number by which the model knows the hold.
    pub(crate) granted: u64,
    pub(crate) tried_at_deadline: bool,
    pub(crate) found_current: bool,
}

loom::thread_local! {
    static ACQUISITION: Cell<Acquisition> = Cell::new(Acquisition::default());
}

/// Returns this thread's acquisition.
pub(crate) fn acquisition() -> Acquisition {
    ACQUISITION.with(Cell::get)
}

/// Records something of this thread's acquisition.
pub(crate) fn record(change: impl FnOnce(&mut Acquisition)) {
    let mut acquisition = acquisition();
    change(&mut acquisition);
    ACQUISITION.with(|it| it.set(acquisition));
}

/// A thread of a process.
pub(crate) struct Thread<S: Subject> {
    process: u32,
    system: Arc<System>,
    registry: Arc<S::Registry>,
    handle: Option<Arc<S::Ledger>>,
    guards: Vec<(u64, S::Hold)>,
}

impl<S: Subject> Thread<S> {
    pub(crate) fn new(process: u32, system: &Arc<System>, registry: &Arc<S::Registry>) -> Self {
        let (system, registry) = (Arc::clone(system), Arc::clone(registry));
        Self { process, system, registry, handle: None, guards: Vec::new() }
    }

    pub(crate) fn run(&mut self, step: Step) -> Option<Outcome> {
        let outcome = match step {
            Step::Acquire(mode, wait) => self.acquire(mode, wait, true),
            Step::Guard(mode, wait) => self.acquire(mode, wait, false),
            Step::Release => {
                let ledger = self.handle();
                oracle::announce(Op::Take { process: self.process, path: PATH });
                self.released(&(S::CODE.release_unguarded)(&ledger))
            }
            Step::DropGuard => {
                if self.guards.is_empty() {
                    return None;
                }
                let (id, hold) = self.guards.remove(0);
                let ledger = self.handle();
                oracle::announce(Op::TakeGuard { process: self.process, id });
                self.released(&(S::CODE.release_guarded)(&ledger, hold))
            }
            Step::Downgrade => {
                let ledger = self.handle();
                let (id, hold) = self.guards.first_mut()?;
                oracle::announce(Op::Lower { process: self.process, id: *id });
                match (S::CODE.downgrade)(&ledger, hold) {
                    Ok(()) => Outcome::Held,
                    Err(_) => Outcome::Failed,
                }
            }
            Step::DropHandle => {
                self.drop_handle();
                return None;
            }
            Step::CloseIdle => {
                (S::CODE.close_all)(&self.registry);
                return None;
            }
        };
        Some(outcome)
    }

    fn acquire(&mut self, mode: Mode, wait: Wait, unguarded: bool) -> Outcome {
        let ledger = self.handle();
        record(|it| it.unguarded = unguarded);
        let timeout = match wait {
            Wait::Forever => None,
            Wait::Try => Some(Duration::ZERO),
            Wait::Until(reads) => {
                Instant::plan(reads);
                Some(Duration::from_secs(1))
            }
        };
        let options = Options { mode, timeout, ..Options::DEFAULT };
        let hold = match (S::CODE.acquire)(&ledger, &options) {
            Ok(hold) => hold,
            Err(error) if error.is_contended() => {
                let Acquisition { tried_at_deadline, found_current, .. } = acquisition();
                if !tried_at_deadline && wait != Wait::Try {
                    oracle::violation("timed out without an attempt at the deadline");
                }
                if !found_current {
                    oracle::violation("timed out on a file that the path may not name");
                }
                return Outcome::TimedOut;
            }
            Err(_) => return Outcome::Failed,
        };
        let (process, id) = (self.process, acquisition().granted);
        oracle::announce(Op::Record { process, id });
        if unguarded {
            (S::CODE.add_unguarded)(&ledger, hold);
        } else {
            (S::CODE.add)(&ledger, &hold);
            self.guards.push((id, hold));
        }
        Outcome::Held
    }

    fn released(&self, result: &Result<(), LockError>) -> Outcome {
        let outcome = match result {
            Ok(()) => Outcome::Released,
            Err(error) if error.kind() == ErrorKind::NotLocked => Outcome::NotLocked,
            Err(_) => Outcome::Refused,
        };
        match (oracle::announced_answer(), outcome) {
            (Some(Answer::Taken(_)), Outcome::Released) => {}
            (Some(Answer::Returned(expected)), _) if expected == outcome => {}
            _ if oracle::is_dead(self.process) => {}
            (answer, _) => {
                oracle::violation(&format!("a release ended with {outcome:?} after {answer:?}"));
            }
        }
        outcome
    }

    /// Returns this thread's handle. Creates it if there is none.
    fn handle(&mut self) -> Arc<S::Ledger> {
        let handle = self.handle.take().unwrap_or_else(|| {
            let path = LockPath {
                system: Arc::clone(&self.system),
                process: self.process,
                path: PathBuf::from("/the.lock"),
            };
            oracle::announce(Op::FirstHandle { process: self.process, path: PATH });
            (S::CODE.ledger)(&self.registry, path)
        });
        self.handle = Some(Arc::clone(&handle));
        handle
    }

    pub(crate) fn drop_handle(&mut self) {
        if let Some(handle) = self.handle.take() {
            // loom does not see the drop of an `Arc`. It sees the registry's lock, which a thread that looks the path up takes.
            (S::CODE.touch)(&self.registry);
            oracle::handle_dropped(self.process, PATH);
            drop(handle);
        }
    }

    /// Leaks each guard that is left, like `mem::forget`.
    pub(crate) fn leak_guards(self) {
        std::mem::forget(self.guards);
    }

    /// Returns the state of the ledger, read through a handle.
    pub(crate) fn state(&mut self) -> locket_model::spec::State {
        (S::CODE.state)(&self.handle())
    }
}
