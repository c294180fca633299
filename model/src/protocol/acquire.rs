//! From a call to a hold, or to a time-out.

use super::steps::{Steps, leave};
use super::{Action, Call, Client};
use crate::kernel::{dequeue, note_grant};
use crate::spec::Mode;
use crate::state::{Acquire, Bug, Descriptor, Ghost, Kept, Patience, Place, Process, Thread};

impl Steps<'_> {
    pub(super) fn idle(&mut self, who: (usize, usize), it: Thread) {
        match &self.protocol.client {
            Client::Any { calls, stray } => {
                for &call in calls {
                    self.call(who, call);
                }
                if *stray {
                    self.release(who);
                }
            }
            Client::Script(scripts) => match scripts[who.0][who.1].get(usize::from(it.begun)) {
                Some(&Call::Acquire(call)) => self.call(who, call),
                Some(Call::Release) => self.release(who),
                None => {}
            },
        }
    }

    pub(super) fn call(&mut self, who: (usize, usize), call: Acquire) {
        let spare = self.state.processes[who.0].ledger.spares.last().map(|spare| spare.file);
        self.add(who, Action::Calls(call, spare), |next| {
            let Process { handle, ledger, threads, .. } = &mut next.processes[who.0];
            *handle = true;
            let it = &mut threads[who.1];
            it.call = call;
            it.begun += u8::from(matches!(self.protocol.client, Client::Script(_)));
            it.descriptor = ledger.spares.pop();
            it.place = if it.descriptor.is_some() { Place::Try } else { Place::Open };
            it.ghost.undisturbed = it.ghost.watched;
            it.ghost.spare = self.protocol.bug == Some(Bug::TrustsSpare) && it.descriptor.is_some();
        });
    }

    pub(super) fn attempt(&mut self, who: (usize, usize), it: Thread, file: u8) {
        let mode = it.call.mode;
        if self.kernel.admits(self.state, file, mode) {
            return self.grant(who, Action::Gets(file, mode));
        }
        let last = it.overdue || it.call.patience == Patience::Once;
        if last || it.call.patience == Patience::Deadline {
            // Its deadline had passed when it tried.
            self.local(who, Action::Refused(file, mode, true), |it, _| {
                it.overdue = it.call.patience == Patience::Deadline;
                (it.ghost.late, it.ghost.refused) = (it.overdue, true);
                it.place = Place::CheckLate;
            });
        }
        if !last {
            let blind = self.protocol.bug == Some(Bug::SleepsWithoutLooking);
            let place = if blind { Place::Block } else { Place::Look };
            self.local(who, Action::Refused(file, mode, false), |it, _| it.place = place);
        }
    }

    /// Refused, by the file that the path names?
    pub(super) fn look(&mut self, who: (usize, usize), own: Descriptor, then: Place) {
        let named = self.state.names == Some(own.file);
        let action = if named { Action::StillNamed } else { Action::Moved };
        let place = if named { then } else { Place::Reopen };
        self.local(who, action, |it, _| it.place = place);
    }

    pub(super) fn grant(&mut self, who: (usize, usize), action: Action) {
        self.add(who, action, |next| {
            let it = &mut next.processes[who.0].threads[who.1];
            let mode = it.call.mode;
            it.descriptor = it.descriptor.map(|own| Descriptor { lock: Some(mode), ..own });
            if it.place == Place::Queued {
                dequeue(next, who.0, who.1, Place::Check);
            } else {
                it.place = Place::Check;
            }
            note_grant(next, who.0, who.1, self.protocol.watch.unwrap_or(0));
        });
    }

    pub(super) fn reopen(&mut self, who: (usize, usize), own: Descriptor) {
        let (bug, kernel) = (self.protocol.bug, self.kernel);
        self.add(who, Action::Closes(own.lock.is_some()), |next| {
            if bug == Some(Bug::LeaksOnReopen) {
                next.processes[who.0].lost.push(own);
                next.processes[who.0].threads[who.1].descriptor = None;
            } else {
                kernel.close(next, who);
            }
            let it = &mut next.processes[who.0].threads[who.1];
            it.place = Place::Open;
            it.ghost = Ghost { refused: false, named: false, spare: false, ..it.ghost };
            it.overdue &= bug != Some(Bug::DeadlinePerFile);
        });
    }

    pub(super) fn record(&mut self, who: (usize, usize), it: Thread, own: Descriptor) {
        let miscounts = self.protocol.bug == Some(Bug::CountsSharedAsExclusive);
        self.add(who, Action::Holds(it.call), |next| {
            let Process { ledger, threads, credit, .. } = &mut next.processes[who.0];
            match it.call.mode {
                Mode::Shared if !miscounts => ledger.shared += 1,
                _ => ledger.exclusive += 1,
            }
            ledger.released_error = false;
            let it = &mut threads[who.1];
            let call = it.call;
            if call.kept {
                ledger.kept.push(Kept { mode: call.mode, descriptor: own });
                *credit += 1;
                leave(it);
                if matches!(self.protocol.client, Client::Any { .. }) {
                    it.place = Place::Owing;
                }
            } else {
                leave(it);
                (it.place, it.call, it.descriptor) = (Place::Guarding, call, Some(own));
            }
        });
    }
}
