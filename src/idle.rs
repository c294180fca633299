//! The idle files of a process: few, and closed when descriptors run out (L13).
//!
//! A ledger may keep one file open without a lock for its next acquisition. This file decides which ledgers may:
//! at most [`MAX_IDLE`], and the one that was used least recently makes room for the next. The frequent case, to
//! take the file of a path and put it back, does not come here.

use super::os::platform::{Clock, Platform};
use super::os::{OpenFile, Os};
use super::sync::{Arc, Mutex, Weak};

/// Enough for a program that uses a few locks in turn, and little beside the 1,024 descriptors that a
/// process usually may have.
pub(crate) const MAX_IDLE: usize = 32;

/// A ledger, as the pool sees it.
pub(crate) trait KeepsIdle: Send + Sync + std::fmt::Debug {
    /// Returns whether the ledger may keep an idle file.
    fn may_keep_idle(&self) -> bool;

    /// Allows the ledger to keep an idle file from now on.
    fn allow_idle(&self);

    /// Forbids the ledger to keep an idle file from now on, and returns the one that it has.
    fn revoke_idle(&self) -> Option<Box<OpenFile>>;

    /// Returns how long ago the lock was last released, in microseconds of `Platform::clock`.
    fn unused_for(&self, now: usize) -> usize;
}

/// The ledgers that may keep an idle file, in no order.
#[derive(Debug)]
pub(crate) struct IdlePool(Mutex<Vec<Weak<dyn KeepsIdle>>>);

impl IdlePool {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Allows the ledger to keep a file. If there are too many, the least recently used ledger loses its permission, and
    /// its file is closed.
    pub(crate) fn admit(&self, ledger: &Arc<dyn KeepsIdle>) {
        let mut keepers = self.0.lock();
        // Another thread may have admitted it since the caller looked.
        if ledger.may_keep_idle() {
            return;
        }
        keepers.retain(|keeper| keeper.strong_count() > 0);
        let oldest = if keepers.len() < MAX_IDLE { None } else { remove_oldest(&mut keepers) };
        keepers.push(Arc::downgrade(ledger));
        ledger.allow_idle();
        drop(keepers);
        drop(oldest.and_then(|ledger| ledger.revoke_idle()));
    }

    /// Closes all idle files. Returns whether there were any.
    pub(crate) fn close_all(&self) -> bool {
        let keepers = std::mem::take(&mut *self.0.lock());
        let keepers = keepers.iter().filter_map(Weak::upgrade);
        keepers.filter_map(|ledger| ledger.revoke_idle()).count() > 0
    }
}

fn remove_oldest(keepers: &mut Vec<Weak<dyn KeepsIdle>>) -> Option<Arc<dyn KeepsIdle>> {
    let now = Os::clock(Clock::Exact);
    let ages = keepers.iter().map(|keeper| Some(keeper.upgrade()?.unused_for(now)));
    let (oldest, _) = ages.enumerate().max_by_key(|(at, age)| (*age, usize::MAX - at))?;
    keepers.swap_remove(oldest).upgrade()
}
