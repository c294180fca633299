//! The ledgers of one process, by path (L10).

use std::ffi::OsString;

use super::idle::IdlePool;
use super::ledger::Ledger;
use super::os::Name;
use super::sync::{Arc, Mutex};
use super::weak_map::WeakMap;

#[derive(Debug)]
pub(crate) struct Registry(pub(crate) Mutex<Ledgers>);

/// A ledger lives as long as a handle, a guard or a hold uses it.
#[derive(Debug)]
pub(crate) struct Ledgers {
    by_path: WeakMap<OsString, Ledger>,
    /// Made with the first ledger.
    idle: Option<Arc<IdlePool>>,
}

impl Ledgers {
    pub(crate) const fn new() -> Self {
        Self { by_path: WeakMap::new(), idle: None }
    }

    /// The idle descriptors of this process.
    pub(crate) fn idle(&mut self) -> &Arc<IdlePool> {
        self.idle.get_or_insert_with(|| Arc::new(IdlePool::new()))
    }
}

impl Registry {
    /// Closes all idle descriptors. Returns whether there were any.
    pub(crate) fn give_back_idle(&self) -> bool {
        let pool = Arc::clone(self.0.lock().idle());
        pool.give_back()
    }

    /// Returns the ledger of this path: one and the same for all callers in this process.
    ///
    /// Paths are equal when they are spelled the same, to the byte: `Path` would take `x/` for
    /// `x`, which the system does not.
    pub(crate) fn ledger(&self, name: Name) -> Arc<Ledger> {
        let mut ledgers = self.0.lock();
        let spelling = name.key();
        if let Some(ledger) = ledgers.by_path.get(spelling) {
            return ledger;
        }
        let spelling = spelling.to_os_string();
        let ledger = Arc::new(Ledger::new(name, Arc::clone(ledgers.idle())));
        ledgers.by_path.insert(spelling, &ledger);
        ledger
    }
}
