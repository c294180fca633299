//! The synchronization that loom replaces.
//!
//! The files that loom checks (`fork_count`, `registry`, `idle`, `ledger`, `acquire`, `release`) import these
//! types from `super::sync`; the loom tests compile the same files over a `sync` of their own.

#[cfg(unix)]
pub(crate) use std::sync::atomic::AtomicUsize;
pub(crate) use std::sync::{Arc, Weak};
pub(crate) use std::time::Instant;

use std::fmt;
use std::sync::{MutexGuard, PoisonError};

use crossbeam_utils::atomic::AtomicCell;

/// A [`std::sync::Mutex`] without poisoning: no code under it panics in the middle of a change.
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

/// A small value that threads change in one atomic step. It has no mutex: a child that is forked while another thread
/// holds a mutex would wait for it forever.
///
/// A change synchronizes with every later change (`SeqCst` in crossbeam's `AtomicCell`).
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

/// A box that threads take and put in one atomic step, without a mutex.
pub(crate) struct AtomicBox<T>(AtomicCell<Option<Box<T>>>);

impl<T> AtomicBox<T> {
    pub(crate) const fn empty() -> Self {
        const { assert!(AtomicCell::<Option<Box<T>>>::is_lock_free(), "a pointer is") };
        Self(AtomicCell::new(None))
    }

    pub(crate) fn take(&self) -> Option<Box<T>> {
        self.0.take()
    }

    /// Puts a box, and returns the one that was there.
    pub(crate) fn put(&self, thing: Box<T>) -> Option<Box<T>> {
        self.0.swap(Some(thing))
    }
}

impl<T> fmt::Debug for AtomicBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Slot")
    }
}
