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
    /// Created with the first ledger.
    idle: Option<Arc<IdlePool>>,
    /// The fairness of a path outlives its last handle: a program that makes a handle for
    /// each acquisition yields like one that keeps it. At most [`MAX_REMEMBERED`] paths, in no order.
    pub(crate) remembered: Vec<(OsString, Arc<Fairness>)>,
}

impl Ledgers {
    pub(crate) const fn new() -> Self {
        Self { by_path: WeakMap::new(), idle: None, remembered: Vec::new() }
    }

    /// Returns the idle files of this process.
    pub(crate) fn idle(&mut self) -> &Arc<IdlePool> {
        self.idle.get_or_insert_with(|| Arc::new(IdlePool::new()))
    }

    /// Returns the fairness of a path. A new one replaces that of the path that was released least recently.
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
    /// Closes all idle files. Returns whether there were any.
    pub(crate) fn close_idle(&self) -> bool {
        let pool = Arc::clone(self.0.lock().idle());
        pool.close_all()
    }

    /// Returns the ledger of this path: the same one for all callers in this process.
    ///
    /// Keys are compared byte by byte: `Path` treats `x/` and
    /// `x` as equal, and the system does not.
    pub(crate) fn ledger(&self, path: LockPath) -> Arc<Ledger> {
        self.0.lock().ledger(path)
    }
}
