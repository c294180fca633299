//! What happens to a process or to the path, at any moment.

use super::Action;
use super::steps::{Steps, forget, uncount};
use crate::kernel::{crash, overlook};
use crate::spec::Outcome;
use crate::state::{Bug, Place, Process, Thread};

impl Steps<'_> {
    pub(super) fn of_process(&mut self, process: usize) {
        let it = &self.state.processes[process];
        let in_use = it.threads.iter().any(uses_handle);
        if self.protocol.drops_handles && it.handle && !in_use {
            let drops_kept = self.protocol.bug == Some(Bug::DropsKept);
            self.add((process, 0), Action::DropsHandle, |next| {
                let Process { handle, ledger, .. } = &mut next.processes[process];
                *handle = false;
                if drops_kept {
                    while let Some(kept) = ledger.kept.pop() {
                        uncount(ledger, kept.mode);
                    }
                }
                forget(ledger);
            });
        }
        if self.state.crashes > 0 {
            self.add((process, 0), Action::Crashes, |next| {
                next.crashes -= 1;
                let it = next.processes[process];
                crash(next, process);
                if self.protocol.bug == Some(Bug::LosesWakeUp) {
                    for own in it.descriptors().filter(|own| own.lock.is_some()) {
                        overlook(next, own.file);
                    }
                }
            });
        }
    }

    pub(super) fn of_path(&mut self) {
        if self.state.renames == 0 {
            return;
        }
        // Away, to a file of before (renamed back), or to a new one.
        let targets = (0..=self.state.files).map(Some).chain([None]);
        for target in targets.filter(|&target| target != self.state.names) {
            self.add((0, 0), Action::Renames(target), |next| {
                next.renames -= 1;
                next.names = target;
                next.files = next.files.max(target.map_or(0, |file| file + 1));
                for it in next.processes.iter_mut().flat_map(|process| process.threads.iter_mut()) {
                    let file = it.descriptor.map(|own| own.file);
                    let granted = matches!(it.place, Place::Check | Place::Record | Place::Reopen)
                        && it.descriptor.is_some_and(|own| own.lock.is_some());
                    it.ghost.named |= granted && target.is_some() && file == target;
                    it.ghost.undisturbed = false;
                }
            });
        }
    }
}

/// Whether the thread is in a call that it made on a handle: the end of a guard needs none.
fn uses_handle(it: &Thread) -> bool {
    match it.place {
        Place::Idle | Place::Guarding | Place::Convert | Place::Owing => false,
        Place::Unlock | Place::Refuse | Place::TakeLate => it.call.kept,
        Place::Retire(outcome) | Place::Close(outcome) => {
            it.call.kept || outcome == Outcome::TimedOut
        }
        _ => true,
    }
}
