//! From a hold to its end, or to a weaker one.

use super::steps::{Steps, forget, leave, uncount};
use super::{Action, Call, Client};
use crate::kernel::wake;
use crate::spec::{Mode, Outcome};
use crate::state::{Bug, Descriptor, Place, Process, Thread};

impl Steps<'_> {
    /// `release`: the oldest kept hold, whoever made it.
    pub(super) fn release(&mut self, (process, thread): (usize, usize)) {
        let who = (process, thread);
        let bug = self.protocol.bug;
        let scripted = matches!(self.protocol.client, Client::Script(_));
        let Process { ledger, threads, .. } = self.state.processes[process];
        let held = ledger.exclusive + ledger.shared > 0;
        let is_guard = |it: &Thread| it.place == Place::Guarding;
        let begin = move |it: &mut Thread, place, descriptor| {
            it.begun += u8::from(scripted);
            (it.place, it.call.kept, it.descriptor) = (place, true, descriptor);
        };
        if let Some(&oldest) = ledger.kept.first() {
            let peeks = bug == Some(Bug::PeeksBeforeTaking);
            let action = if peeks { Action::Peeks } else { Action::Takes };
            self.add(who, action, |next| {
                let Process { handle, ledger, threads, credit, .. } = &mut next.processes[process];
                *handle = true;
                begin(&mut threads[thread], Place::Unlock, Some(oldest.descriptor));
                if peeks {
                    let seen = Descriptor { lock: None, ..oldest.descriptor };
                    begin(&mut threads[thread], Place::Peeked, Some(seen));
                } else {
                    ledger.kept.pop_front();
                    *credit -= 1;
                    uncount(ledger, oldest.mode);
                }
            });
        } else if let (Some(Bug::StealsGuards), Some(victim)) =
            (bug, threads.iter().position(is_guard))
        {
            self.add(who, Action::Peeks, |next| {
                let Process { handle, ledger, threads, .. } = &mut next.processes[process];
                *handle = true;
                let stolen = threads[victim].descriptor;
                uncount(ledger, threads[victim].call.mode);
                threads[victim].descriptor = stolen.map(|it| Descriptor { lock: None, ..it });
                begin(&mut threads[thread], Place::Unlock, stolen);
            });
        } else {
            self.add(who, Action::FindsNothing, |next| {
                let Process { handle, ledger, threads, .. } = &mut next.processes[process];
                *handle = true;
                ledger.released_error |= !held || bug == Some(Bug::ErrorWhileHeld);
                begin(&mut threads[thread], Place::Idle, None);
                leave(&mut threads[thread]);
            });
        }
    }

    pub(super) fn end_guard(&mut self, (process, thread): (usize, usize), own: Descriptor) {
        let scripted = matches!(self.protocol.client, Client::Script(_));
        if let Client::Script(scripts) = &self.protocol.client {
            let begun = usize::from(self.state.processes[process].threads[thread].begun);
            if scripts[process][thread].get(begun) != Some(&Call::Release) {
                return; // the script ends with the guard alive
            }
        }
        if self.protocol.bug == Some(Bug::UnlocksBeforeTaking) {
            self.add((process, thread), Action::Unlocks(own.file), |next| {
                let it = &mut next.processes[process].threads[thread];
                it.descriptor = Some(Descriptor { lock: None, ..own });
                it.begun += u8::from(scripted);
                it.place = Place::TakeLate;
                wake(next, own.file);
            });
            return;
        }
        self.local((process, thread), Action::TakesGuard, |it, ledger| {
            uncount(ledger, it.call.mode);
            it.begun += u8::from(scripted);
            it.place = Place::Unlock;
        });
    }

    /// `downgrade` of a guard.
    pub(super) fn lower(&mut self, who: (usize, usize), own: Descriptor) {
        if self.protocol.bug == Some(Bug::ConvertsBeforeLowering) {
            return self.add(who, Action::Converts(own.file), |next| {
                let it = &mut next.processes[who.0].threads[who.1];
                it.descriptor = Some(Descriptor { lock: Some(Mode::Shared), ..own });
                wake(next, own.file);
            });
        }
        self.local(who, Action::Lowers, |it, ledger| {
            uncount(ledger, Mode::Exclusive);
            ledger.shared += 1;
            (it.place, it.call.mode) = (Place::Convert, Mode::Shared);
        });
    }

    pub(super) fn convert(&mut self, who: (usize, usize), own: Descriptor) {
        let unlocks = self.protocol.bug == Some(Bug::ConvertsByUnlocking) && own.lock.is_some();
        let lock = if unlocks { None } else { Some(Mode::Shared) };
        let action = if unlocks { Action::Unlocks(own.file) } else { Action::Converts(own.file) };
        self.add(who, action, |next| {
            let it = &mut next.processes[who.0].threads[who.1];
            it.descriptor = Some(Descriptor { lock, ..own });
            it.place = if unlocks { Place::Convert } else { Place::Guarding };
            wake(next, own.file);
        });
        if self.state.refusals > 0 {
            self.add(who, Action::ConvertRefused, |next| {
                next.refusals -= 1;
                let Process { ledger, threads, .. } = &mut next.processes[who.0];
                uncount(ledger, Mode::Shared);
                ledger.exclusive += 1;
                let it = &mut threads[who.1];
                (it.place, it.call.mode) = (Place::Guarding, Mode::Exclusive);
            });
        }
    }

    pub(super) fn unlock(&mut self, (process, thread): (usize, usize), own: Descriptor) {
        let who = (process, thread);
        self.add(who, Action::Unlocks(own.file), |next| {
            let it = &mut next.processes[process].threads[thread];
            it.descriptor = Some(Descriptor { lock: None, ..own });
            it.place = Place::Retire(Outcome::Released);
            wake(next, own.file);
        });
        if self.state.refusals > 0 {
            let swallows = self.protocol.bug == Some(Bug::SwallowsRefusal);
            self.add(who, Action::UnlockRefused, |next| {
                next.refusals -= 1;
                let place = if swallows {
                    Place::Retire(Outcome::Released)
                } else {
                    Place::Close(Outcome::Refused)
                };
                next.processes[process].threads[thread].place = place;
            });
        }
    }

    pub(super) fn retire(
        &mut self,
        (process, thread): (usize, usize),
        own: Descriptor,
        outcome: Outcome,
    ) {
        let who = (process, thread);
        let Process { handle, ledger, .. } = &self.state.processes[process];
        if self.protocol.bug == Some(Bug::LeaksOnTimeout) && outcome == Outcome::TimedOut {
            self.add(who, Action::Returns(outcome), |next| {
                next.processes[process].lost.push(own);
                leave(&mut next.processes[process].threads[thread]);
            });
        } else if *handle && ledger.spares.len() < self.protocol.spares {
            self.local(who, Action::Spares, |it, ledger| {
                ledger.spares.push(own);
                leave(it);
            });
        } else {
            self.add(who, Action::NoUse, |next| {
                let Process { handle, ledger, threads, .. } = &mut next.processes[process];
                threads[thread].place = Place::Close(outcome);
                if !*handle {
                    forget(ledger);
                }
            });
        }
    }
}
