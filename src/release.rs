//! Out of the ledger, then out of the kernel.

use super::deadline::Deadline;
use super::diagnosis;
use super::error::LockError;
use super::ledger::{Hold, Ledger};
use super::os;
use super::sync::Arc;

/// Ends the oldest hold of `acquire`: of many that try, one gets it (L5).
pub(crate) fn release_kept(ledger: &Arc<Ledger>) -> Result<(), LockError> {
    let Some(kept) = ledger.take_kept() else {
        return Err(LockError::NotLocked { path: ledger.name().path().into() });
    };
    end(ledger, kept.hold)
}

/// Ends a guard's hold.
pub(crate) fn release_guarded(ledger: &Arc<Ledger>, hold: Hold) -> Result<(), LockError> {
    ledger.leave(hold.mode);
    end(ledger, hold)
}

fn end(ledger: &Arc<Ledger>, hold: Hold) -> Result<(), LockError> {
    match Deadline::Passed.outlast_signals(|| os::unlock(&hold.descriptor)) {
        Ok(()) => {
            ledger.put_released(hold);
            Ok(())
        }
        Err(failure) => {
            drop(hold); // Closed, so unlocked: the hold is given up all the same (L6).
            ledger.fail_release();
            Err(diagnosis::refused(ledger.name(), failure))
        }
    }
}
