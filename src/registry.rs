//! The ledgers of one process, by path (L10).

use std::ffi::OsString;

use super::ledger::Ledger;
use super::os::Name;
use super::sync::{Arc, Mutex};
use super::weak_map::WeakMap;

/// A ledger lives as long as a handle, a guard or a hold uses it.
pub(crate) type Ledgers = WeakMap<OsString, Ledger>;

#[derive(Debug)]
pub(crate) struct Registry(pub(crate) Mutex<Ledgers>);

impl Registry {
    /// Returns the ledger of this path: one and the same for all callers in this process.
    ///
    /// Paths are equal when they are spelled the same, to the byte: `Path` would take `x/` for
    /// `x`, which the system does not.
    pub(crate) fn ledger(&self, name: Name) -> Arc<Ledger> {
        let mut ledgers = self.0.lock();
        let spelling = name.path().as_os_str();
        if let Some(ledger) = ledgers.get(spelling) {
            return ledger;
        }
        let spelling = spelling.to_os_string();
        let ledger = Arc::new(Ledger::new(name));
        ledgers.insert(spelling, &ledger);
        ledger
    }
}
