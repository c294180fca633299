//! What one thread does, and what it is to the model while it does it.

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
pub(crate) enum Patience {
    ForEver,
    /// A timeout of zero.
    Try,
    /// A timeout, which is over at this look at the clock: the first is the call's own.
    Until(u32),
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// `Lock::acquire`.
    Acquire(Mode, Patience),
    /// `Lock::release`.
    Release,
    /// `Lock::lock`.
    Guard(Mode, Patience),
    /// The downgrade of the oldest guard, which is exclusive.
    Downgrade,
    /// The drop of the oldest guard.
    DropGuard,
    /// The drop of the thread's handle. The next step makes another.
    DropHandle,
    /// The process has no descriptors left: the idle ones are closed.
    GiveBack,
}

loom::thread_local! {
    static KEEPS: Cell<bool> = Cell::new(false);
    static GRANTED: Cell<u64> = Cell::new(0);
    /// Was the last attempt made at or after the deadline, and has the path been found to name its
    /// file since? Only then is there a reason to say "timed out" (L3, L9).
    static LAST_ATTEMPT: Cell<(bool, bool)> = Cell::new((false, false));
}

/// This thread makes an attempt.
pub(crate) fn attempts() {
    LAST_ATTEMPT.with(|last| last.set((Instant::has_passed(), false)));
}

/// The path names the file of this thread's last attempt.
pub(crate) fn found_current() {
    LAST_ATTEMPT.with(|last| last.set((last.get().0, true)));
}

/// Is this thread's acquisition an `acquire`?
pub(crate) fn keeps() -> bool {
    KEEPS.with(Cell::get)
}

/// The kernel's word to this thread: the model knows its hold by this number.
pub(crate) fn granted(id: u64) {
    GRANTED.with(|granted| granted.set(id));
}

/// A thread of a process.
pub(crate) struct Thread<S: Subject> {
    process: u32,
    system: Arc<System>,
    registry: Arc<S::Registry>,
    handle: Option<Arc<S::Ledger>>,
    guards: Vec<(u64, S::Hold)>,
}

/// Has the path been found to name this thread's file since its last attempt?
pub(crate) fn has_found_current() -> bool {
    LAST_ATTEMPT.with(Cell::get).1
}

impl<S: Subject> Thread<S> {
    pub(crate) fn new(process: u32, system: &Arc<System>, registry: &Arc<S::Registry>) -> Self {
        let (system, registry) = (Arc::clone(system), Arc::clone(registry));
        Self { process, system, registry, handle: None, guards: Vec::new() }
    }

    pub(crate) fn run(&mut self, step: Step) -> Option<Outcome> {
        let outcome = match step {
            Step::Acquire(mode, patience) => self.acquire(mode, patience, true),
            Step::Guard(mode, patience) => self.acquire(mode, patience, false),
            Step::Release => {
                let ledger = self.handle();
                oracle::announce(Op::Take { process: self.process, path: PATH });
                self.released(&S::release_unguarded(&ledger))
            }
            Step::DropGuard => {
                if self.guards.is_empty() {
                    return None;
                }
                let (id, hold) = self.guards.remove(0);
                let ledger = self.handle();
                oracle::announce(Op::TakeGuard { process: self.process, id });
                self.released(&S::release_guarded(&ledger, hold))
            }
            Step::Downgrade => {
                let ledger = self.handle();
                let (id, hold) = self.guards.first_mut()?;
                oracle::announce(Op::Lower { process: self.process, id: *id });
                match S::downgrade(&ledger, hold) {
                    Ok(()) => Outcome::Held,
                    Err(_) => Outcome::Failed,
                }
            }
            Step::DropHandle => {
                self.drop_handle();
                return None;
            }
            Step::GiveBack => {
                S::close_all(&self.registry);
                return None;
            }
        };
        Some(outcome)
    }

    fn acquire(&mut self, mode: Mode, patience: Patience, kept: bool) -> Outcome {
        let ledger = self.handle();
        KEEPS.with(|keeps| keeps.set(kept));
        let timeout = match patience {
            Patience::ForEver => None,
            Patience::Try => Some(Duration::ZERO),
            Patience::Until(looks) => {
                Instant::plan(looks);
                Some(Duration::from_secs(1))
            }
        };
        let options = Options { mode, timeout, ..Options::DEFAULT };
        let hold = match S::acquire(&ledger, &options) {
            Ok(hold) => hold,
            Err(error) if error.is_contended() => {
                let (at_deadline, current) = LAST_ATTEMPT.with(Cell::get);
                if !at_deadline && patience != Patience::Try {
                    oracle::violation("timed out without an attempt at the deadline");
                }
                if !current {
                    oracle::violation("timed out on a file that the path may not name");
                }
                return Outcome::TimedOut;
            }
            Err(_) => return Outcome::Failed,
        };
        let (process, id) = (self.process, GRANTED.with(Cell::get));
        oracle::announce(Op::Record { process, id });
        if kept {
            S::add_unguarded(&ledger, hold);
        } else {
            S::add(&ledger, &hold);
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

    /// This thread's handle; made when there is none.
    fn handle(&mut self) -> Arc<S::Ledger> {
        let handle = self.handle.take().unwrap_or_else(|| {
            let path = LockPath {
                system: Arc::clone(&self.system),
                process: self.process,
                path: PathBuf::from("/the.lock"),
            };
            oracle::announce(Op::FirstHandle { process: self.process, path: PATH });
            S::ledger(&self.registry, path)
        });
        self.handle = Some(Arc::clone(&handle));
        handle
    }

    pub(crate) fn drop_handle(&mut self) {
        if let Some(handle) = self.handle.take() {
            // An `Arc` is nothing that loom sees: this is, to whoever looks the path up.
            S::touch(&self.registry);
            oracle::handle_dropped(self.process, PATH);
            drop(handle);
        }
    }

    /// As `mem::forget` of each guard that is left would.
    pub(crate) fn leak_guards(self) {
        std::mem::forget(self.guards);
    }

    /// What the ledger says now, by a handle of its own.
    pub(crate) fn state(&mut self) -> locket_model::spec::State {
        S::state(&self.handle())
    }
}
