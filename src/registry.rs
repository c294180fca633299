//! The ledgers of one process, by path (L10).

use std::collections::BTreeMap;
use std::ffi::OsString;

use super::ledger::Ledger;
use super::os::Name;
use super::sync::{Arc, Mutex, Weak};

#[derive(Debug)]
pub(crate) struct Registry(pub(crate) Mutex<Ledgers>);

/// Ledgers live as long as somebody uses them; what is left of one is swept out when the map has
/// doubled since the last sweep.
#[derive(Debug)]
pub(crate) struct Ledgers {
    by_path: BTreeMap<OsString, Weak<Ledger>>,
    sweep_at: usize,
}

impl Ledgers {
    pub(crate) const fn new() -> Self {
        Self { by_path: BTreeMap::new(), sweep_at: 16 }
    }

    fn sweep(&mut self) {
        self.by_path.retain(|_, ledger| ledger.strong_count() > 0);
        self.sweep_at = 16.max(self.by_path.len() * 2);
    }
}

impl Registry {
    /// The ledger of this path, the one that everybody in this process gets.
    ///
    /// Paths are equal when they are spelled the same, to the byte: `Path` would take `x/` for
    /// `x`, which the system does not.
    pub(crate) fn ledger(&self, name: Name) -> Arc<Ledger> {
        let mut ledgers = self.0.lock();
        let spelling = name.path().as_os_str();
        if let Some(ledger) = ledgers.by_path.get(spelling).and_then(Weak::upgrade) {
            return ledger;
        }
        if ledgers.by_path.len() >= ledgers.sweep_at {
            ledgers.sweep();
        }
        let spelling = spelling.to_os_string();
        let ledger = Arc::new(Ledger::new(name));
        ledgers.by_path.insert(spelling, Arc::downgrade(&ledger));
        ledger
    }
}
