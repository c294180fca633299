//! This process in a line of forks. A forked child inherits its parent's memory, but not its holds (L11).
//!
//! A change that another thread was making to a ledger at the moment of the fork is never completed in the
//! child, so the child does not use its parent's ledgers: it has a registry of its
//! own, and finds its own ledgers there by their paths.
//!
//! A ledger that is used through an inherited handle lives as long as the child: the handle cannot keep it alive, and
//! a server that forks with a lock in a global variable uses one path again and again.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::mem;
use std::path::Path;

use once_cell::race::OnceBox;

use crate::ledger::Ledger;
use crate::os::platform::{Platform, PlatformPath};
use crate::os::{LockPath, Os};
use crate::registry::{Ledgers, Registry};
use crate::sync::{Arc, Mutex};

/// A process in a line of forks: its ancestors come before it in the list.
#[derive(Debug)]
struct Process {
    generation: u32,
    registry: Registry,
    /// This process's ledgers of the paths whose handles it has inherited.
    inherited_ledgers: Mutex<BTreeMap<OsString, Arc<Ledger>>>,
    child: OnceBox<Process>,
}

impl Process {
    const fn new(generation: u32) -> Self {
        let registry = Registry(Mutex::new(Ledgers::new()));
        Self {
            generation,
            registry,
            inherited_ledgers: Mutex::new(BTreeMap::new()),
            child: OnceBox::new(),
        }
    }

    /// Returns the ledger of a path whose handle was inherited.
    fn inherited_ledger(&self, path: &LockPath) -> Arc<Ledger> {
        let mut inherited_ledgers = self.inherited_ledgers.lock();
        if let Some(ledger) = inherited_ledgers.get(path.key()) {
            return Arc::clone(ledger);
        }
        let ledger = self.registry.ledger(path.clone());
        inherited_ledgers.insert(path.key().to_os_string(), Arc::clone(&ledger));
        ledger
    }
}

static FIRST: Process = Process::new(0);

fn this_process() -> &'static Process {
    let generation = Os::generation();
    let mut process = &FIRST;
    while process.generation != generation {
        process = process.child.get_or_init(|| Box::new(Process::new(generation)));
    }
    process
}

/// A ledger as a handle or guard refers to it, possibly inherited through a fork.
#[derive(Debug)]
pub(crate) struct LedgerRef(Arc<Ledger>);

impl LedgerRef {
    /// Finds or creates the ledger of a path. A path may need a descriptor: if there are none left, all idle files are closed
    /// for it.
    pub(crate) fn new(given: &Path) -> Self {
        Os::watch_forks();
        let mut path = LockPath::new(given);
        if path.lacks_descriptor() && this_process().registry.close_idle() {
            path = LockPath::new(given);
        }
        Self(this_process().registry.ledger(path))
    }

    pub(crate) fn path(&self) -> &LockPath {
        self.0.path()
    }

    pub(crate) fn is_inherited(&self) -> bool {
        self.0.generation() != Os::generation()
    }

    /// Returns this process's own ledger of the path.
    pub(crate) fn for_current_process(&self) -> Cow<'_, Self> {
        if self.is_inherited() {
            return Cow::Owned(Self(this_process().inherited_ledger(self.path())));
        }
        Cow::Borrowed(self)
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.0
    }
}

/// The clone of an inherited handle refers to this process's own ledger.
impl Clone for LedgerRef {
    fn clone(&self) -> Self {
        if self.is_inherited() {
            return Self(this_process().inherited_ledger(self.path()));
        }
        Self(Arc::clone(&self.0))
    }
}

impl Drop for LedgerRef {
    fn drop(&mut self) {
        // The parent's ledger may be half-written in a child: it must never be dropped there.
        if self.is_inherited() {
            mem::forget(Arc::clone(&self.0));
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::fairness::MAX_REMEMBERED;

    /// A process that makes a handle for each acquisition yields, too: fairness belongs to the path.
    #[test]
    fn a_path_is_remembered_after_its_last_handle() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("lock");
        let start = Instant::now();
        loop {
            crate::lock_file(&path).lock()?.release()?;
            if LedgerRef::new(&path).ledger().should_yield() {
                return Ok(());
            }
            assert!(start.elapsed() < Duration::from_secs(60), "it never yields");
        }
    }

    #[test]
    fn few_paths_are_remembered() {
        let registry = Registry(Mutex::new(Ledgers::new()));
        for n in 0..3 * MAX_REMEMBERED {
            drop(registry.ledger(LockPath::new(Path::new(&format!("/nowhere/{n}")))));
            let remembered = registry.0.lock().remembered.len();
            assert_eq!(remembered, MAX_REMEMBERED.min(n + 1));
        }
    }
}
