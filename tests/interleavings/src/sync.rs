//! The library's `sync`, with loom's locks, a clock that follows a plan, and the model's eye in
//! every critical section.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

pub(crate) use loom::sync::atomic::AtomicUsize;
pub(crate) use std::sync::{Arc, Weak};

use crate::oracle;

/// loom's, except that the end of a critical section is where its step happens in the model.
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

/// One atomic step is where a step of the model's happens, too.
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

/// No step of the model's happens here: what is in it holds no lock.
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

/// The plan of this thread's clock: how many looks from now is it past every deadline?
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

loom::thread_local! {
    static LOOKS: Cell<u32> = Cell::new(u32::MAX);
}

impl Instant {
    /// From now on, the `looks`-th look at this thread's clock is past every deadline.
    pub(crate) fn plan(looks: u32) {
        LOOKS.with(|left| left.set(looks));
    }

    /// Will the next look be past the deadline? Then a wait for it ends without a grant.
    pub(crate) fn passes_next() -> bool {
        LOOKS.with(Cell::get) <= 1
    }

    /// Has a look at the clock been past the deadline?
    pub(crate) fn has_passed() -> bool {
        LOOKS.with(Cell::get) == 0
    }

    pub(crate) fn now() -> Self {
        LOOKS.with(|left| {
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
