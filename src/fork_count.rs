//! The count of this process's forks, by which a descriptor that a child has a copy of is told.
//!
//! A fork is counted when it has ended, and is marked as going on from before the child gets its
//! copies. So a fork that has copied a descriptor is always either marked or counted. A reader has
//! to look at the mark first: in the other order a fork that ends between the two looks is missed.
//! loom checks this (`tests/interleavings/src/forks.rs`).

use super::sync::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

#[derive(Debug)]
pub(crate) struct ForkCount {
    /// The forks that have ended, as seen by the parent or by the child.
    pub(crate) ended: AtomicU32,
    /// The forks that are going on. The child may have its copies already, and other handlers of
    /// the program may take their time before the end is counted.
    pub(crate) going_on: AtomicU32,
}

impl ForkCount {
    /// Marks a fork, before the child gets its copies.
    pub(crate) fn begin(&self) {
        self.going_on.fetch_add(1, Relaxed); // The system call that copies comes after it.
    }

    /// Counts the fork and takes the mark away, in the parent.
    pub(crate) fn end(&self) {
        self.ended.fetch_add(1, Relaxed);
        // Release: pairs with the Acquire in `happened_since`. A reader that no longer finds the mark
        // finds the count. Not below zero: this fork may have begun before it was watched.
        let _ = self.going_on.fetch_update(Release, Relaxed, |forks| forks.checked_sub(1));
    }

    /// Counts the fork in the child, which has one thread. Forks of the parent's other threads are not
    /// the child's.
    pub(crate) fn end_in_child(&self) {
        self.ended.fetch_add(1, AcqRel);
        self.going_on.store(0, Release);
    }

    /// Returns the number of forks that have ended; to be read before a descriptor is opened.
    pub(crate) fn seen(&self) -> u32 {
        self.ended.load(Acquire) // Acquire: nothing that comes after it is done before it.
    }

    /// Returns whether a fork has ended since `seen` was read, or is going on.
    #[inline]
    pub(crate) fn happened_since(&self, seen: u32) -> bool {
        // Acquire: pairs with the Release in `end`, and keeps the second look after the first.
        self.going_on.load(Acquire) != 0 || self.ended.load(Relaxed) != seen
    }
}
