//! Crashes, dropped handles and changes of the path. They can happen at any moment.

use super::Action;
use super::steps::{Steps, drop_if_unused, uncount};
use crate::kernel::{crash, lose_wakeup};
use crate::spec::Outcome;
use crate::state::{Bug, Pc, Process, Thread};

impl Steps<'_> {
    pub(super) fn of_process(&mut self, process: usize) {
        let it = &self.state.processes[process];
        let in_use = it.threads.iter().any(uses_handle);
        if self.protocol.drops_handles && it.handle && !in_use {
            let drops_kept = self.protocol.bug == Some(Bug::DropsUnguarded);
            self.add((process, 0), Action::DropsHandle, |next| {
                let Process { handle, ledger, .. } = &mut next.processes[process];
                *handle = false;
                if drops_kept {
                    while let Some(unguarded) = ledger.unguarded.pop() {
                        uncount(ledger, unguarded.mode);
                    }
                }
                drop_if_unused(ledger);
            });
        }
        if self.state.crashes > 0 {
            self.add((process, 0), Action::Crashes, |next| {
                next.crashes -= 1;
                let it = next.processes[process];
                crash(next, process);
                if self.protocol.bug == Some(Bug::LosesWakeup) {
                    for open in it.open_files().filter(|open| open.lock.is_some()) {
                        lose_wakeup(next, open.file);
                    }
                }
            });
        }
    }

    pub(super) fn of_path(&mut self) {
        if self.state.renames == 0 {
            return;
        }
        // None, an earlier file (renamed back), or a new file.
        let targets = (0..=self.state.files).map(Some).chain([None]);
        for target in targets.filter(|&target| target != self.state.names) {
            self.add((0, 0), Action::Renames(target), |next| {
                next.renames -= 1;
                next.names = target;
                next.files = next.files.max(target.map_or(0, |file| file + 1));
                for it in next.processes.iter_mut().flat_map(|process| process.threads.iter_mut()) {
                    let file = it.open_file.map(|open| open.file);
                    let granted = matches!(it.pc, Pc::Verify | Pc::Record | Pc::Reopen)
                        && it.open_file.is_some_and(|open| open.lock.is_some());
                    it.ghost.named |= granted && target.is_some() && file == target;
                    it.ghost.path_unchanged = false;
                }
            });
        }
    }
}

/// Returns whether the thread is in a call on a handle. The end of a guard needs no handle.
fn uses_handle(it: &Thread) -> bool {
    match it.pc {
        Pc::Idle | Pc::HoldsGuard | Pc::Convert | Pc::HoldsUnguarded => false,
        Pc::Unlock | Pc::RecordRefusal | Pc::TakeAfterUnlock => it.call.unguarded,
        Pc::StoreIdle(outcome) | Pc::Close(outcome) => {
            it.call.unguarded || outcome == Outcome::TimedOut
        }
        _ => true,
    }
}
