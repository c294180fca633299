//! Everything that can happen next, by the place of each thread.

use super::{Action, Protocol, Step};
use crate::kernel::{Kernel, dequeue, enqueue};
use crate::spec::{Mode, Outcome};
use crate::state::{Bug, Descriptor, Ghost, Ledger, Patience, Place, Process, State, Thread};

/// Collects what can happen in a state.
pub(super) struct Steps<'a> {
    pub(super) protocol: &'a Protocol,
    pub(super) state: &'a State,
    pub(super) kernel: Kernel,
    pub(super) found: Vec<(Step, State)>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(protocol: &'a Protocol, state: &'a State) -> Self {
        let Protocol { barging, bug, .. } = *protocol;
        Self { protocol, state, kernel: Kernel { barging, bug }, found: Vec::new() }
    }

    /// One more step: `change` makes the state after it.
    pub(super) fn add(
        &mut self,
        (process, thread): (usize, usize),
        action: Action,
        change: impl FnOnce(&mut State),
    ) {
        let mut next = *self.state;
        change(&mut next);
        self.found.push((Step { process, thread, action }, next));
    }

    /// One more step of a thread that changes nothing but itself and its process's ledger.
    pub(super) fn local(
        &mut self,
        who: (usize, usize),
        action: Action,
        change: impl FnOnce(&mut Thread, &mut Ledger),
    ) {
        self.add(who, action, |next| {
            let Process { threads, ledger, .. } = &mut next.processes[who.0];
            change(&mut threads[who.1], ledger);
        });
    }

    pub(super) fn of_thread(&mut self, process: usize, thread: usize) {
        let (who, kernel) = ((process, thread), self.kernel);
        let it = self.state.processes[process].threads[thread];
        match (it.place, it.descriptor) {
            (Place::Idle, _) => self.idle(who, it),
            (Place::Owing, _) => self.release(who),
            (Place::Guarding, Some(own)) => {
                self.end_guard(who, own);
                if self.protocol.downgrades && it.call.mode == Mode::Exclusive {
                    self.lower(who, own);
                }
            }
            (Place::Convert, Some(own)) => self.convert(who, own),
            (Place::Open, _) => {
                let created = self.state.names.is_none();
                let file = self.state.names.unwrap_or(self.state.files);
                self.add(who, Action::Opens(file, created), |next| {
                    next.files += u8::from(created);
                    next.names = Some(file);
                    let it = &mut next.processes[process].threads[thread];
                    it.descriptor = Some(Descriptor { file, lock: None });
                    it.place = Place::Try;
                });
            }
            (Place::Try, Some(own)) => self.attempt(who, it, own.file),
            (Place::Block, Some(own)) if self.kernel.admits(self.state, own.file, it.call.mode) => {
                self.grant(who, Action::Gets(own.file, it.call.mode));
            }
            (Place::Block, Some(own)) => {
                let action = Action::Queues(own.file, it.call.mode);
                self.add(who, action, |next| enqueue(next, process, thread));
            }
            (Place::Queued, Some(own)) => {
                if self.kernel.wakes(self.state, &it) {
                    self.grant(who, Action::Wakes(own.file, it.call.mode));
                }
                if it.call.patience == Patience::Deadline {
                    let gives_up = self.protocol.bug == Some(Bug::NoLastAttempt);
                    let place = if gives_up { Place::CheckLate } else { Place::Try };
                    self.add(who, Action::Interrupted, |next| {
                        dequeue(next, process, thread, place);
                        let it = &mut next.processes[process].threads[thread];
                        (it.overdue, it.ghost.late) = (true, true);
                    });
                }
            }
            (Place::Check, Some(own)) => {
                let trusted = match self.protocol.bug {
                    Some(Bug::SkipsCheck) => true,
                    Some(Bug::TrustsSpare) => it.ghost.spare,
                    _ => false,
                };
                if trusted || self.state.names == Some(own.file) {
                    self.local(who, Action::StillNamed, |it, _| it.place = Place::Record);
                } else {
                    self.local(who, Action::Moved, |it, _| it.place = Place::Reopen);
                }
            }
            (Place::Look, Some(own)) => self.look(who, own, Place::Block),
            (Place::CheckLate, Some(own)) => {
                self.look(who, own, Place::Retire(Outcome::TimedOut));
            }
            (Place::Reopen, Some(own)) => self.reopen(who, own),
            (Place::Record, Some(own)) => self.record(who, it, own),
            (Place::Peeked, Some(_)) => self.add(who, Action::Takes, |next| {
                let Process { ledger, threads, credit, .. } = &mut next.processes[process];
                let it = &mut threads[thread];
                if let Some(kept) = ledger.kept.pop_front() {
                    uncount(ledger, kept.mode);
                    it.descriptor = Some(kept.descriptor);
                }
                *credit -= 1;
                it.place = Place::Unlock;
            }),
            (Place::TakeLate, Some(_)) => self.local(who, Action::TakesGuard, |it, ledger| {
                uncount(ledger, it.call.mode);
                it.place = Place::Retire(Outcome::Released);
            }),
            (Place::Unlock, Some(own)) => self.unlock(who, own),
            (Place::Retire(outcome), Some(own)) => self.retire(who, own, outcome),
            (Place::Close(outcome), Some(own)) => {
                self.add(who, Action::Closes(own.lock.is_some()), |next| {
                    kernel.close(next, who);
                    let it = &mut next.processes[process].threads[thread];
                    if outcome == Outcome::Refused {
                        it.place = Place::Refuse;
                    } else {
                        leave(it);
                    }
                });
            }
            (Place::Refuse, _) => self.add(who, Action::TellsRefusal, |next| {
                let Process { handle, ledger, threads, .. } = &mut next.processes[process];
                ledger.released_error |= *handle && ledger.exclusive + ledger.shared == 0;
                if !*handle {
                    forget(ledger);
                }
                leave(&mut threads[thread]);
            }),
            (_, None) => unreachable!("{it:?} has no descriptor"),
        }
    }
}

/// The thread is outside again; what it remembers of the call is gone.
pub(super) fn leave(it: &mut Thread) {
    let ghost = Ghost { watched: it.ghost.watched, ..Ghost::default() };
    *it = Thread { begun: it.begun, ghost, ..Thread::default() };
}

pub(super) fn uncount(ledger: &mut Ledger, mode: Mode) {
    match mode {
        Mode::Exclusive => ledger.exclusive = ledger.exclusive.saturating_sub(1),
        Mode::Shared => ledger.shared = ledger.shared.saturating_sub(1),
    }
}

/// A ledger without handles goes when nothing is held, and its spares with it.
pub(super) fn forget(ledger: &mut Ledger) {
    if ledger.exclusive + ledger.shared == 0 {
        *ledger = Ledger::default();
    }
}
