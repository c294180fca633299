//! The steps from a call to a hold, or to a timeout.

use super::steps::{Steps, leave};
use super::{Action, Call, Client};
use crate::kernel::{dequeue, note_grant};
use crate::spec::Mode;
use crate::state::{Acquire, Bug, Ghost, OpenFile, Pc, Process, Thread, Unguarded, Wait};

impl Steps<'_> {
    pub(super) fn begin_call(&mut self, id: (usize, usize), it: Thread) {
        match &self.protocol.client {
            Client::Any { calls, releases_unheld } => {
                for &call in calls {
                    self.call(id, call);
                }
                if *releases_unheld {
                    self.release(id);
                }
            }
            Client::Script(scripts) => match scripts[id.0][id.1].get(usize::from(it.begun)) {
                Some(&Call::Acquire(call)) => self.call(id, call),
                Some(Call::Release) => self.release(id),
                None => {}
            },
        }
    }

    pub(super) fn call(&mut self, id: (usize, usize), call: Acquire) {
        let idle = self.state.processes[id.0].ledger.idle.last().map(|idle| idle.file);
        self.add(id, Action::Calls(call, idle), |next| {
            let Process { handle, ledger, threads, .. } = &mut next.processes[id.0];
            *handle = true;
            let it = &mut threads[id.1];
            it.call = call;
            it.begun += u8::from(matches!(self.protocol.client, Client::Script(_)));
            it.open_file = ledger.idle.pop();
            it.pc = if it.open_file.is_some() { Pc::Try } else { Pc::Open };
            it.ghost.path_unchanged = it.ghost.tracked;
            it.ghost.reused = self.protocol.bug == Some(Bug::TrustsIdle) && it.open_file.is_some();
        });
    }

    pub(super) fn attempt(&mut self, id: (usize, usize), it: Thread, file: u8) {
        let mode = it.call.mode;
        if self.kernel.admits(self.state, file, mode) {
            return self.grant(id, Action::Locks(file, mode));
        }
        let last = it.saw_deadline || it.call.wait == Wait::Try;
        if last || it.call.wait == Wait::Timed {
            // The deadline had passed at this try.
            self.local(id, Action::Refused(file, mode, true), |it, _| {
                it.saw_deadline = it.call.wait == Wait::Timed;
                (it.ghost.deadline_passed, it.ghost.refused) = (it.saw_deadline, true);
                it.pc = Pc::VerifyAtDeadline;
            });
        }
        if !last {
            let blind = self.protocol.bug == Some(Bug::WaitsWithoutVerifying);
            let pc = if blind { Pc::Block } else { Pc::VerifyBeforeWait };
            self.local(id, Action::Refused(file, mode, false), |it, _| it.pc = pc);
        }
    }

    /// Verifies after a failed try that the path names the open file.
    pub(super) fn verify_then(&mut self, id: (usize, usize), open: OpenFile, then: Pc) {
        let named = self.state.names == Some(open.file);
        let action = if named { Action::Verified } else { Action::FoundReplaced };
        let pc = if named { then } else { Pc::Reopen };
        self.local(id, action, |it, _| it.pc = pc);
    }

    pub(super) fn grant(&mut self, id: (usize, usize), action: Action) {
        self.add(id, action, |next| {
            let it = &mut next.processes[id.0].threads[id.1];
            let mode = it.call.mode;
            it.open_file = it.open_file.map(|open| OpenFile { lock: Some(mode), ..open });
            if it.pc == Pc::Queued {
                dequeue(next, id.0, id.1, Pc::Verify);
            } else {
                it.pc = Pc::Verify;
            }
            note_grant(next, id.0, id.1, self.protocol.track.unwrap_or(0));
        });
    }

    pub(super) fn reopen(&mut self, id: (usize, usize), open: OpenFile) {
        let (bug, kernel) = (self.protocol.bug, self.kernel);
        self.add(id, Action::Closes(open.lock.is_some()), |next| {
            if bug == Some(Bug::LeaksOnReopen) {
                next.processes[id.0].leaked.push(open);
                next.processes[id.0].threads[id.1].open_file = None;
            } else {
                kernel.close(next, id);
            }
            let it = &mut next.processes[id.0].threads[id.1];
            it.pc = Pc::Open;
            it.ghost = Ghost { refused: false, named: false, reused: false, ..it.ghost };
            it.saw_deadline &= bug != Some(Bug::DeadlinePerFile);
        });
    }

    pub(super) fn record(&mut self, id: (usize, usize), it: Thread, open: OpenFile) {
        let miscounts = self.protocol.bug == Some(Bug::CountsSharedAsExclusive);
        self.add(id, Action::Records(it.call), |next| {
            let Process { ledger, threads, balance, .. } = &mut next.processes[id.0];
            match it.call.mode {
                Mode::Shared if !miscounts => ledger.shared += 1,
                _ => ledger.exclusive += 1,
            }
            ledger.released_error = false;
            let it = &mut threads[id.1];
            let call = it.call;
            if call.unguarded {
                ledger.unguarded.push(Unguarded { mode: call.mode, open_file: open });
                *balance += 1;
                leave(it);
                if matches!(self.protocol.client, Client::Any { .. }) {
                    it.pc = Pc::HoldsUnguarded;
                }
            } else {
                leave(it);
                (it.pc, it.call, it.open_file) = (Pc::HoldsGuard, call, Some(open));
            }
        });
    }
}
