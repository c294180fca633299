//! Ending and converting holds: first in the ledger, then in the kernel.

use super::deadline::Deadline;
use super::error::{Action, LockError};
use super::ledger::{Hold, Ledger};
use super::options::Mode;
use super::os::Os;
use super::os::platform::{Platform, PlatformFile, PlatformPath, retry_on_intr};
use super::report::lock_status::LockStatus;
use super::report::to_lock_error;
use super::sync::Arc;

/// Ends the oldest hold of `acquire`. Of many concurrent calls one gets it (L5).
pub(crate) fn release_unguarded(ledger: &Arc<Ledger>) -> Result<(), LockError> {
    let Some(unguarded) = ledger.take_unguarded() else {
        return Err(LockError::not_locked(ledger.path().path(), Action::Unlock));
    };
    end(ledger, unguarded.hold)
}

/// Ends a guard's hold.
pub(crate) fn release_guarded(ledger: &Arc<Ledger>, hold: Hold) -> Result<(), LockError> {
    ledger.remove(hold.mode);
    end(ledger, hold)
}

/// Converts a guard's exclusive hold to a shared one. After an error the hold is as it was, except after
/// contention: then it is over.
pub(crate) fn downgrade(ledger: &Ledger, hold: &mut Hold) -> Result<(), LockError> {
    if hold.mode == Mode::Shared {
        return Ok(());
    }
    ledger.begin_downgrade();
    match retry_on_intr(&Deadline::Passed, || Os::downgrade(&hold.file)) {
        Ok(true) => {
            hold.mode = Mode::Shared;
            Ok(())
        }
        Ok(false) => {
            ledger.remove(Mode::Shared);
            Err(LockError::contended(ledger.path().path(), None, LockStatus::default()))
        }
        Err(error) => {
            ledger.undo_downgrade();
            Err(to_lock_error(ledger.path(), error))
        }
    }
}

fn end(ledger: &Arc<Ledger>, hold: Hold) -> Result<(), LockError> {
    // `unlock` refuses a descriptor that is not the file's own any more.
    if hold.file.is_inherited_on_fork() && hold.file.is_own() {
        // Closed and not unlocked: other processes may have the same hold.
        return Ok(());
    }
    match retry_on_intr(&Deadline::Passed, || Os::unlock(&hold.file)) {
        Ok(()) => {
            ledger.put_released(hold);
            Ok(())
        }
        Err(error) => {
            drop(hold); // Closed, so unlocked: the hold ends nevertheless (L6).
            ledger.fail_release();
            Err(to_lock_error(ledger.path(), error))
        }
    }
}
