//! Which process is this? A forked child inherits its parent's memory, but not its holds (L11).
//!
//! Whatever another thread was doing to a ledger at the moment of the fork stays half done in the
//! child for ever, so the child never looks into its parent's ledgers: it has a registry of its
//! own, and finds its own ledgers there by their paths.

use std::borrow::Cow;
use std::mem;
use std::path::Path;

use once_cell::race::OnceBox;

use super::ledger::Ledger;
use super::os::{self, Name};
use super::registry::{Ledgers, Registry};
use super::sync::{Arc, Mutex};

/// A process in a line of forks: its ancestors come before it in the list.
#[derive(Debug)]
struct Process {
    generation: u32,
    registry: Registry,
    child: OnceBox<Process>,
}

impl Process {
    const fn new(generation: u32) -> Self {
        let registry = Registry(Mutex::new(Ledgers::new()));
        Self { generation, registry, child: OnceBox::new() }
    }
}

static FIRST: Process = Process::new(0);

fn registry() -> &'static Registry {
    let generation = os::generation();
    let mut process = &FIRST;
    while process.generation != generation {
        process = process.child.get_or_init(|| Box::new(Process::new(generation)));
    }
    &process.registry
}

/// A ledger as a handle or guard refers to it, possibly inherited through a fork.
#[derive(Debug)]
pub(crate) struct LedgerRef(Arc<Ledger>);

impl LedgerRef {
    /// A name may need a descriptor: where there are no more, all idle ones are closed for it.
    pub(crate) fn of(path: &Path) -> Self {
        os::watch_forks();
        let mut name = Name::new(path);
        if name.lacks_descriptor() && registry().give_back_idle() {
            name = Name::new(path);
        }
        Self(registry().ledger(name))
    }

    pub(crate) fn name(&self) -> &Name {
        self.0.name()
    }

    pub(crate) fn is_inherited(&self) -> bool {
        self.0.generation() != os::generation()
    }

    /// This process's own ledger of the path.
    pub(crate) fn here(&self) -> Cow<'_, Self> {
        if self.is_inherited() {
            return Cow::Owned(Self(registry().ledger_of_inherited(self.name())));
        }
        Cow::Borrowed(self)
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.0
    }
}

/// A copy that is made in a child refers to the child's own ledger: to refer to the parent's, which is
/// never taken apart here, would leak a count of it.
impl Clone for LedgerRef {
    fn clone(&self) -> Self {
        match self.here() {
            Cow::Owned(own) => own,
            Cow::Borrowed(own) => Self(Arc::clone(&own.0)),
        }
    }
}

impl Drop for LedgerRef {
    fn drop(&mut self) {
        // The parent's ledger may be half-written here: it must never be taken apart.
        if self.is_inherited() {
            mem::forget(Arc::clone(&self.0));
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::courtesy::MOST_REMEMBERED;

    /// Without a kept handle the process yields, too: fairness belongs to the path.
    #[test]
    fn a_path_is_remembered_after_its_last_handle() -> Result<(), Box<dyn std::error::Error>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("lock");
        let start = Instant::now();
        loop {
            crate::lock_file(&path).lock()?.release()?;
            if LedgerRef::of(&path).ledger().gives_way() {
                return Ok(());
            }
            assert!(start.elapsed() < Duration::from_secs(60), "it never yields");
        }
    }

    #[test]
    fn few_paths_are_remembered() {
        let registry = Registry(Mutex::new(Ledgers::new()));
        for n in 0..3 * MOST_REMEMBERED {
            drop(registry.ledger(Name::new(Path::new(&format!("/nowhere/{n}")))));
            let remembered = registry.0.lock().remembered.len();
            assert_eq!(remembered, MOST_REMEMBERED.min(n + 1));
        }
    }
}
