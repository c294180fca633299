//! The idle descriptors of a process: few, and given back when descriptors run out (L13).
//!
//! A ledger keeps one descriptor without a lock for its next acquisition. Here is which ledgers may:
//! at most [`MOST`], and the one that was used last before all others makes room for the next. What
//! happens again and again with one path, to take the descriptor and put it back, does not come here.

use super::courtesy::Clock;
use super::ledger::Ledger;
use super::os;
use super::sync::{Arc, Mutex, Weak};

/// Enough for a program that uses a few locks in turn, and little beside the 1,024 descriptors that a
/// process usually may have.
pub(crate) const MOST: usize = 32;

/// The ledgers that may keep an idle descriptor, in no order.
#[derive(Debug)]
pub(crate) struct IdlePool(Mutex<Vec<Weak<Ledger>>>);

impl IdlePool {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Lets the ledger keep a descriptor. The ledger that was least recently used may be dismissed
    /// for it, and its idle descriptor is closed.
    pub(crate) fn admit(&self, ledger: &Arc<Ledger>) {
        let mut keepers = self.0.lock();
        // Another thread may have been here since the caller looked.
        if ledger.is_keeper() {
            return;
        }
        keepers.retain(|keeper| keeper.strong_count() > 0);
        let dismissed = if keepers.len() < MOST { None } else { remove_oldest(&mut keepers) };
        keepers.push(Arc::downgrade(ledger));
        ledger.become_keeper();
        drop(keepers);
        drop(dismissed.and_then(|ledger| ledger.dismiss()));
    }

    /// Closes all idle descriptors. Returns whether there were any.
    pub(crate) fn give_back(&self) -> bool {
        let keepers = std::mem::take(&mut *self.0.lock());
        let keepers = keepers.iter().filter_map(Weak::upgrade);
        keepers.filter_map(|ledger| ledger.dismiss()).count() > 0
    }
}

fn remove_oldest(keepers: &mut Vec<Weak<Ledger>>) -> Option<Arc<Ledger>> {
    let now = os::clock(Clock::Exact);
    let ages = keepers.iter().map(|keeper| Some(keeper.upgrade()?.unused_for(now)));
    let (oldest, _) = ages.enumerate().max_by_key(|(at, age)| (*age, usize::MAX - at))?;
    keepers.swap_remove(oldest).upgrade()
}
