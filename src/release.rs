//! Out of the ledger, then out of the kernel. And the downgrade, in the same order.

use std::time::Duration;

use super::deadline::Deadline;
use super::diagnosis;
use super::error::LockError;
use super::holders::Holders;
use super::ledger::{Hold, Ledger};
use super::options::Mode;
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

/// Makes a guard's exclusive hold a shared one. On an error the hold is as it was, unless that is
/// contention: then it is over.
pub(crate) fn downgrade(ledger: &Ledger, hold: &mut Hold) -> Result<(), LockError> {
    if hold.mode == Mode::Shared {
        return Ok(());
    }
    ledger.lower();
    match Deadline::Passed.outlast_signals(|| os::downgrade(&hold.descriptor)) {
        Ok(true) => {
            hold.mode = Mode::Shared;
            Ok(())
        }
        Ok(false) => {
            ledger.leave(Mode::Shared);
            let (waited, holders) = (Duration::ZERO, Holders::default());
            Err(LockError::TimedOut { path: ledger.name().path().into(), waited, holders })
        }
        Err(failure) => {
            ledger.restore();
            Err(diagnosis::refused(ledger.name(), failure))
        }
    }
}

fn end(ledger: &Arc<Ledger>, hold: Hold) -> Result<(), LockError> {
    // One that is not its own any more is for `unlock` to refuse.
    if hold.descriptor.is_kept_on_fork() && hold.descriptor.is_own() {
        // Closed, not unlocked: other processes may have the same hold.
        return Ok(());
    }
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
