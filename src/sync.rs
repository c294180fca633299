//! The seam at which loom takes the place of the standard library.
//!
//! The modules that loom checks (`registry`, `ledger`, `acquire`, `release`, `deadline`) take these
//! names from `super::sync`; the loom test compiles the same files over a `sync` of its own.

pub(crate) use std::sync::{Arc, Weak};
pub(crate) use std::time::Instant;

use std::sync::{MutexGuard, PoisonError};

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
