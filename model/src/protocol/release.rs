//! The steps that end a hold or downgrade it.

use super::steps::{Steps, drop_if_unused, leave, uncount};
use super::{Action, Call, Client};
use crate::kernel::wake;
use crate::spec::{Mode, Outcome};
use crate::state::{Bug, OpenFile, Pc, Process, Thread};

impl Steps<'_> {
    /// Calls `release`, which ends the oldest unguarded hold of any thread.
    pub(super) fn release(&mut self, (process, thread): (usize, usize)) {
        let id = (process, thread);
        let bug = self.protocol.bug;
        let scripted = matches!(self.protocol.client, Client::Script(_));
        let Process { ledger, threads, .. } = self.state.processes[process];
        let held = ledger.exclusive + ledger.shared > 0;
        let is_guard = |it: &Thread| it.pc == Pc::HoldsGuard;
        let begin = move |it: &mut Thread, pc, open_file| {
            it.begun += u8::from(scripted);
            (it.pc, it.call.unguarded, it.open_file) = (pc, true, open_file);
        };
        if let Some(&oldest) = ledger.unguarded.first() {
            let peeks = bug == Some(Bug::PeeksBeforeTaking);
            let action = if peeks { Action::Peeks } else { Action::Takes };
            self.add(id, action, |next| {
                let Process { handle, ledger, threads, balance, .. } = &mut next.processes[process];
                *handle = true;
                begin(&mut threads[thread], Pc::Unlock, Some(oldest.open_file));
                if peeks {
                    let seen = OpenFile { lock: None, ..oldest.open_file };
                    begin(&mut threads[thread], Pc::Peeked, Some(seen));
                } else {
                    ledger.unguarded.pop_front();
                    *balance -= 1;
                    uncount(ledger, oldest.mode);
                }
            });
        } else if let (Some(Bug::ReleasesGuards), Some(victim)) =
            (bug, threads.iter().position(is_guard))
        {
            self.add(id, Action::Peeks, |next| {
                let Process { handle, ledger, threads, .. } = &mut next.processes[process];
                *handle = true;
                let stolen = threads[victim].open_file;
                uncount(ledger, threads[victim].call.mode);
                threads[victim].open_file = stolen.map(|it| OpenFile { lock: None, ..it });
                begin(&mut threads[thread], Pc::Unlock, stolen);
            });
        } else {
            self.add(id, Action::FindsNothing, |next| {
                let Process { handle, ledger, threads, .. } = &mut next.processes[process];
                *handle = true;
                ledger.released_error |= !held || bug == Some(Bug::ErrorWhileHeld);
                begin(&mut threads[thread], Pc::Idle, None);
                leave(&mut threads[thread]);
            });
        }
    }

    pub(super) fn end_guard(&mut self, (process, thread): (usize, usize), open: OpenFile) {
        let scripted = matches!(self.protocol.client, Client::Script(_));
        if let Client::Script(scripts) = &self.protocol.client {
            let begun = usize::from(self.state.processes[process].threads[thread].begun);
            if scripts[process][thread].get(begun) != Some(&Call::Release) {
                return; // the script ends and the guard stays
            }
        }
        if self.protocol.bug == Some(Bug::UnlocksBeforeTaking) {
            self.add((process, thread), Action::Unlocks(open.file), |next| {
                let it = &mut next.processes[process].threads[thread];
                it.open_file = Some(OpenFile { lock: None, ..open });
                it.begun += u8::from(scripted);
                it.pc = Pc::TakeAfterUnlock;
                wake(next, open.file);
            });
            return;
        }
        self.local((process, thread), Action::TakesGuard, |it, ledger| {
            uncount(ledger, it.call.mode);
            it.begun += u8::from(scripted);
            it.pc = Pc::Unlock;
        });
    }

    /// Calls `downgrade` on a guard.
    pub(super) fn lower(&mut self, id: (usize, usize), open: OpenFile) {
        if self.protocol.bug == Some(Bug::ConvertsBeforeLowering) {
            return self.add(id, Action::Converts(open.file), |next| {
                let it = &mut next.processes[id.0].threads[id.1];
                it.open_file = Some(OpenFile { lock: Some(Mode::Shared), ..open });
                wake(next, open.file);
            });
        }
        self.local(id, Action::Lowers, |it, ledger| {
            uncount(ledger, Mode::Exclusive);
            ledger.shared += 1;
            (it.pc, it.call.mode) = (Pc::Convert, Mode::Shared);
        });
    }

    pub(super) fn convert(&mut self, id: (usize, usize), open: OpenFile) {
        let unlocks = self.protocol.bug == Some(Bug::ConvertsByUnlocking) && open.lock.is_some();
        let lock = if unlocks { None } else { Some(Mode::Shared) };
        let action = if unlocks { Action::Unlocks(open.file) } else { Action::Converts(open.file) };
        self.add(id, action, |next| {
            let it = &mut next.processes[id.0].threads[id.1];
            it.open_file = Some(OpenFile { lock, ..open });
            it.pc = if unlocks { Pc::Convert } else { Pc::HoldsGuard };
            wake(next, open.file);
        });
        if self.state.refusals > 0 {
            self.add(id, Action::ConvertRefused, |next| {
                next.refusals -= 1;
                let Process { ledger, threads, .. } = &mut next.processes[id.0];
                uncount(ledger, Mode::Shared);
                ledger.exclusive += 1;
                let it = &mut threads[id.1];
                (it.pc, it.call.mode) = (Pc::HoldsGuard, Mode::Exclusive);
            });
        }
    }

    pub(super) fn unlock(&mut self, (process, thread): (usize, usize), open: OpenFile) {
        let id = (process, thread);
        self.add(id, Action::Unlocks(open.file), |next| {
            let it = &mut next.processes[process].threads[thread];
            it.open_file = Some(OpenFile { lock: None, ..open });
            it.pc = Pc::StoreIdle(Outcome::Released);
            wake(next, open.file);
        });
        if self.state.refusals > 0 {
            let swallows = self.protocol.bug == Some(Bug::ReusesAfterRefusedUnlock);
            self.add(id, Action::UnlockRefused, |next| {
                next.refusals -= 1;
                let pc = if swallows {
                    Pc::StoreIdle(Outcome::Released)
                } else {
                    Pc::Close(Outcome::Refused)
                };
                next.processes[process].threads[thread].pc = pc;
            });
        }
    }

    pub(super) fn store_idle(
        &mut self,
        (process, thread): (usize, usize),
        open: OpenFile,
        outcome: Outcome,
    ) {
        let id = (process, thread);
        let Process { handle, ledger, .. } = &self.state.processes[process];
        if self.protocol.bug == Some(Bug::LeaksOnTimeout) && outcome == Outcome::TimedOut {
            self.add(id, Action::Returns(outcome), |next| {
                next.processes[process].leaked.push(open);
                leave(&mut next.processes[process].threads[thread]);
            });
        } else if *handle && ledger.idle.len() < self.protocol.max_idle {
            self.local(id, Action::KeepsIdle, |it, ledger| {
                ledger.idle.push(open);
                leave(it);
            });
        } else {
            self.add(id, Action::DiscardsIdle, |next| {
                let Process { handle, ledger, threads, .. } = &mut next.processes[process];
                threads[thread].pc = Pc::Close(outcome);
                if !*handle {
                    drop_if_unused(ledger);
                }
            });
        }
    }
}
