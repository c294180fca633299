//! The ledgers of one process, by path (L10).

use std::ffi::{OsStr, OsString};

use super::fairness::{Fairness, MAX_REMEMBERED};
use super::idle::IdlePool;
use super::ledger::Ledger;
use super::os::platform::{Clock, Platform, PlatformPath};
use super::os::{LockPath, Os};
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
    /// What fairness remembers of a path outlives the last handle: a program that makes a handle for
    /// each turn yields like one that keeps it. At most [`MAX_REMEMBERED`] paths, in no order.
    pub(crate) remembered: Vec<(OsString, Arc<Fairness>)>,
}

impl Ledgers {
    pub(crate) const fn new() -> Self {
        Self { by_path: WeakMap::new(), idle: None, remembered: Vec::new() }
    }

    /// The idle descriptors of this process.
    pub(crate) fn idle(&mut self) -> &Arc<IdlePool> {
        self.idle.get_or_insert_with(|| Arc::new(IdlePool::new()))
    }

    /// Returns what fairness knows of a path. The path that was released least recently makes room for
    /// a new one.
    fn fairness(&mut self, spelling: &OsStr) -> Arc<Fairness> {
        if let Some((_, fairness)) = self.remembered.iter().find(|(known, _)| known == spelling) {
            return Arc::clone(fairness);
        }
        if self.remembered.len() >= MAX_REMEMBERED {
            let now = Os::clock(Clock::Exact);
            let age = |(_, fairness): &(OsString, Arc<Fairness>)| {
                now.wrapping_sub(fairness.last_released())
            };
            let oldest = self.remembered.iter().enumerate().max_by_key(|(_, entry)| age(entry));
            if let Some((oldest, _)) = oldest {
                self.remembered.swap_remove(oldest);
            }
        }
        let fairness = Arc::new(Fairness::new(Os::clock));
        self.remembered.push((spelling.to_os_string(), Arc::clone(&fairness)));
        fairness
    }

    fn ledger(&mut self, path: LockPath) -> Arc<Ledger> {
        let spelling = path.key();
        if let Some(ledger) = self.by_path.get(spelling) {
            return ledger;
        }
        let spelling = spelling.to_os_string();
        let fairness = self.fairness(&spelling);
        let ledger = Arc::new(Ledger::new(path, Arc::clone(self.idle()), fairness));
        self.by_path.insert(spelling, &ledger);
        ledger
    }
}

impl Registry {
    /// Closes all idle descriptors. Returns whether there were any.
    pub(crate) fn close_idle(&self) -> bool {
        let pool = Arc::clone(self.0.lock().idle());
        pool.close_all()
    }

    /// Returns the ledger of this path: one and the same for all callers in this process.
    ///
    /// Paths are equal when they are spelled the same, to the byte: `Path` would take `x/` for
    /// `x`, which the system does not.
    pub(crate) fn ledger(&self, path: LockPath) -> Arc<Ledger> {
        self.0.lock().ledger(path)
    }
}
