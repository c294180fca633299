//! The library's `sync` with loom's locks, a planned clock, and a step of the model in every critical section.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

pub(crate) use loom::sync::atomic::AtomicUsize;
pub(crate) use std::sync::{Arc, Weak};

use crate::oracle;

/// loom's mutex. The announced step is taken in the model at the end of the critical section.
#[derive(Debug)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        MutexGuard(self.0.lock().expect("no thread of the model panics under a lock"))
    }
}

pub(crate) struct MutexGuard<'a, T>(loom::sync::MutexGuard<'a, T>);

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        oracle::step_announced();
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// An atomic cell. The announced step is taken in the model at each update.
#[derive(Debug)]
pub(crate) struct AtomicState<T>(loom::sync::Mutex<T>);

impl<T: Copy> AtomicState<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(loom::sync::Mutex::new(value))
    }

    pub(crate) fn get(&self) -> T {
        *self.0.lock().expect("no thread of the model panics under a lock")
    }

    pub(crate) fn update(&self, change: impl Fn(T) -> T) {
        let mut value = self.0.lock().expect("no thread of the model panics under a lock");
        *value = change(*value);
        oracle::step_announced();
    }
}

/// An atomic cell without a step of the model: its content holds no lock.
#[derive(Debug)]
pub(crate) struct AtomicBox<T>(loom::sync::Mutex<Option<Box<T>>>);

impl<T> AtomicBox<T> {
    pub(crate) fn empty() -> Self {
        Self(loom::sync::Mutex::new(None))
    }

    pub(crate) fn take(&self) -> Option<Box<T>> {
        self.0.lock().expect("no thread of the model panics under a lock").take()
    }

    pub(crate) fn put(&self, thing: Box<T>) -> Option<Box<T>> {
        self.0.lock().expect("no thread of the model panics under a lock").replace(thing)
    }
}

/// A time on this thread's clock, whose plan says at which read it is past every deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

loom::thread_local! {
    static READS: Cell<u32> = Cell::new(u32::MAX);
}

impl Instant {
    /// From now on, the `reads`-th read of this thread's clock is past every deadline.
    pub(crate) fn plan(reads: u32) {
        READS.with(|left| left.set(reads));
    }

    /// Returns whether the next read is past the deadline. A wait then ends without a grant.
    pub(crate) fn passes_next() -> bool {
        READS.with(Cell::get) <= 1
    }

    /// Returns whether a read of the clock has been past the deadline.
    pub(crate) fn has_passed() -> bool {
        READS.with(Cell::get) == 0
    }

    pub(crate) fn now() -> Self {
        READS.with(|left| {
            let next = left.get().saturating_sub(1);
            left.set(next);
            Self(if next == 0 { Duration::from_secs(3600) } else { Duration::ZERO })
        })
    }

    pub(crate) fn checked_add(self, duration: Duration) -> Option<Self> {
        self.0.checked_add(duration).map(Self)
    }

    pub(crate) fn saturating_duration_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}
