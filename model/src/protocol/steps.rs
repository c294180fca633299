//! All steps of a state, by the program counter of each thread.

use super::{Action, Protocol, Step};
use crate::kernel::{Kernel, dequeue, enqueue};
use crate::spec::{Mode, Outcome};
use crate::state::{Bug, Ghost, Ledger, OpenFile, Pc, Process, State, Thread, Wait};

/// Collects the possible steps of a state.
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

    /// Adds a step; `change` makes the state after it.
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

    /// Adds a step of a thread that changes only the thread and its process's ledger.
    pub(super) fn local(
        &mut self,
        id: (usize, usize),
        action: Action,
        change: impl FnOnce(&mut Thread, &mut Ledger),
    ) {
        self.add(id, action, |next| {
            let Process { threads, ledger, .. } = &mut next.processes[id.0];
            change(&mut threads[id.1], ledger);
        });
    }

    pub(super) fn of_thread(&mut self, process: usize, thread: usize) {
        let (id, kernel) = ((process, thread), self.kernel);
        let it = self.state.processes[process].threads[thread];
        match (it.pc, it.open_file) {
            (Pc::Idle, _) => self.begin_call(id, it),
            (Pc::HoldsUnguarded, _) => self.release(id),
            (Pc::HoldsGuard, Some(open)) => {
                self.end_guard(id, open);
                if self.protocol.downgrades && it.call.mode == Mode::Exclusive {
                    self.lower(id, open);
                }
            }
            (Pc::Convert, Some(open)) => self.convert(id, open),
            (Pc::Open, _) => {
                let created = self.state.names.is_none();
                let file = self.state.names.unwrap_or(self.state.files);
                self.add(id, Action::Opens(file, created), |next| {
                    next.files += u8::from(created);
                    next.names = Some(file);
                    let it = &mut next.processes[process].threads[thread];
                    it.open_file = Some(OpenFile { file, lock: None });
                    it.pc = Pc::Try;
                });
            }
            (Pc::Try, Some(open)) => self.attempt(id, it, open.file),
            (Pc::Block, Some(open)) if self.kernel.admits(self.state, open.file, it.call.mode) => {
                self.grant(id, Action::Locks(open.file, it.call.mode));
            }
            (Pc::Block, Some(open)) => {
                let action = Action::Queues(open.file, it.call.mode);
                self.add(id, action, |next| enqueue(next, process, thread));
            }
            (Pc::Queued, Some(open)) => {
                if self.kernel.wakes(self.state, &it) {
                    self.grant(id, Action::Wakes(open.file, it.call.mode));
                }
                if it.call.wait == Wait::Timed {
                    let gives_up = self.protocol.bug == Some(Bug::NoLastAttempt);
                    let pc = if gives_up { Pc::VerifyAtDeadline } else { Pc::Try };
                    self.add(id, Action::Interrupted, |next| {
                        dequeue(next, process, thread, pc);
                        let it = &mut next.processes[process].threads[thread];
                        (it.saw_deadline, it.ghost.deadline_passed) = (true, true);
                    });
                }
            }
            (Pc::Verify, Some(open)) => {
                let trusted = match self.protocol.bug {
                    Some(Bug::SkipsVerify) => true,
                    Some(Bug::TrustsIdle) => it.ghost.reused,
                    _ => false,
                };
                if trusted || self.state.names == Some(open.file) {
                    self.local(id, Action::Verified, |it, _| it.pc = Pc::Record);
                } else {
                    self.local(id, Action::FoundReplaced, |it, _| it.pc = Pc::Reopen);
                }
            }
            (Pc::VerifyBeforeWait, Some(open)) => self.verify_then(id, open, Pc::Block),
            (Pc::VerifyAtDeadline, Some(open)) => {
                self.verify_then(id, open, Pc::StoreIdle(Outcome::TimedOut));
            }
            (Pc::Reopen, Some(open)) => self.reopen(id, open),
            (Pc::Record, Some(open)) => self.record(id, it, open),
            (Pc::Peeked, Some(_)) => self.add(id, Action::Takes, |next| {
                let Process { ledger, threads, balance, .. } = &mut next.processes[process];
                let it = &mut threads[thread];
                if let Some(unguarded) = ledger.unguarded.pop_front() {
                    uncount(ledger, unguarded.mode);
                    it.open_file = Some(unguarded.open_file);
                }
                *balance -= 1;
                it.pc = Pc::Unlock;
            }),
            (Pc::TakeAfterUnlock, Some(_)) => self.local(id, Action::TakesGuard, |it, ledger| {
                uncount(ledger, it.call.mode);
                it.pc = Pc::StoreIdle(Outcome::Released);
            }),
            (Pc::Unlock, Some(open)) => self.unlock(id, open),
            (Pc::StoreIdle(outcome), Some(open)) => self.store_idle(id, open, outcome),
            (Pc::Close(outcome), Some(open)) => {
                self.add(id, Action::Closes(open.lock.is_some()), |next| {
                    kernel.close(next, id);
                    let it = &mut next.processes[process].threads[thread];
                    if outcome == Outcome::Refused {
                        it.pc = Pc::RecordRefusal;
                    } else {
                        leave(it);
                    }
                });
            }
            (Pc::RecordRefusal, _) => self.add(id, Action::RecordsRefusal, |next| {
                let Process { handle, ledger, threads, .. } = &mut next.processes[process];
                ledger.released_error |= *handle && ledger.exclusive + ledger.shared == 0;
                if !*handle {
                    drop_if_unused(ledger);
                }
                leave(&mut threads[thread]);
            }),
            (_, None) => unreachable!("{it:?} has no open file"),
        }
    }
}

/// Makes the thread idle and clears the ghost variables of the call.
pub(super) fn leave(it: &mut Thread) {
    let ghost = Ghost { tracked: it.ghost.tracked, ..Ghost::default() };
    *it = Thread { begun: it.begun, ghost, ..Thread::default() };
}

pub(super) fn uncount(ledger: &mut Ledger, mode: Mode) {
    match mode {
        Mode::Exclusive => ledger.exclusive = ledger.exclusive.saturating_sub(1),
        Mode::Shared => ledger.shared = ledger.shared.saturating_sub(1),
    }
}

/// Drops a ledger, with its idle open files, if nothing is held. Called when no handle is left.
pub(super) fn drop_if_unused(ledger: &mut Ledger) {
    if ledger.exclusive + ledger.shared == 0 {
        *ledger = Ledger::default();
    }
}
