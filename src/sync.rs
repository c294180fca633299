//! The seam at which loom takes the place of the standard library.
//!
//! The modules that loom checks (`registry`, `idle`, `ledger`, `acquire`, `release`, `deadline`) take these
//! names from `super::sync`; the loom test compiles the same files over a `sync` of its own.

#[cfg(unix)]
pub(crate) use std::sync::atomic::AtomicUsize;
pub(crate) use std::sync::{Arc, Weak};
pub(crate) use std::time::Instant;

use std::fmt;
use std::sync::{MutexGuard, PoisonError};

use crossbeam_utils::atomic::AtomicCell;

/// A [`std::sync::Mutex`] without poison: nothing that runs under it can panic half-way.
#[derive(Debug)]
pub(crate) struct Mutex<T>(std::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(std::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A small value that threads change whole: one atomic step each, and no lock, which a child that
/// is forked in the midst of it would wait for for ever.
///
/// What a thread did before a change is done for every thread that makes a later one.
pub(crate) struct AtomicState<T>(AtomicCell<T>);

impl<T: Copy + Eq> AtomicState<T> {
    pub(crate) const fn new(value: T) -> Self {
        const { assert!(AtomicCell::<T>::is_lock_free(), "no processor changes that in one step") };
        Self(AtomicCell::new(value))
    }

    pub(crate) fn get(&self) -> T {
        self.0.load()
    }

    pub(crate) fn update(&self, change: impl Fn(T) -> T) {
        let _before = self.0.fetch_update(|value| Some(change(value)));
    }
}

impl<T: Copy + Eq + fmt::Debug> fmt::Debug for AtomicState<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

/// A place for one thing, which threads take and put: one atomic step each, and no lock.
pub(crate) struct AtomicBox<T>(AtomicCell<Option<Box<T>>>);

impl<T> AtomicBox<T> {
    pub(crate) const fn empty() -> Self {
        const { assert!(AtomicCell::<Option<Box<T>>>::is_lock_free(), "a pointer is") };
        Self(AtomicCell::new(None))
    }

    pub(crate) fn take(&self) -> Option<Box<T>> {
        self.0.take()
    }

    /// What was there goes to the caller.
    pub(crate) fn put(&self, thing: Box<T>) -> Option<Box<T>> {
        self.0.swap(Some(thing))
    }
}

impl<T> fmt::Debug for AtomicBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}
