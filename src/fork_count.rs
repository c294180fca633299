//! Tells whether a `fork` may have copied a descriptor.
//!
//! There are two counters, of the forks that have begun and of those that have ended. A fork copies the table of
//! descriptors at some moment between the two. loom explores this file (`tests/interleavings`).

use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

use super::sync::AtomicUsize;

/// The forks of one process.
#[derive(Debug)]
pub(crate) struct ForkCount {
    pub(crate) begun: AtomicUsize,
    pub(crate) ended: AtomicUsize,
}

/// The forks that had begun before a descriptor was opened; none if one of them was not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen(Option<usize>);

impl ForkCount {
    /// Counts a fork that begins, in the thread that forks.
    ///
    /// `AcqRel`: the copy, which follows, is not made before the count is visible.
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, AcqRel);
    }

    /// Counts a fork that has ended, in the parent. Never beyond the forks that have begun: this one may have begun before
    /// the handlers were registered.
    pub(crate) fn end(&self) {
        let next = |ended| (ended < self.begun.load(Acquire)).then_some(ended + 1);
        let _before = self.ended.fetch_update(AcqRel, Acquire, next);
    }

    /// Counts all forks as ended, in a child: the forks of other threads are not its own.
    pub(crate) fn end_all(&self) {
        self.ended.store(self.begun.load(Acquire), Release);
    }

    /// Returns the forks so far, before a descriptor is opened.
    ///
    /// Acquire: pairs with `end`, so a fork that has ended makes no copy later.
    pub(crate) fn seen(&self) -> Seen {
        let ended = self.ended.load(Acquire);
        let begun = self.begun.load(Acquire);
        Seen((begun == ended).then_some(begun))
    }

    /// Returns whether a fork may have copied a descriptor that was opened after `seen` was read: a fork that was not over
    /// then, or has begun since.
    ///
    /// One load: a fork counts from its beginning, so none can end unseen between two loads.
    #[inline]
    pub(crate) fn happened_since(&self, seen: Seen) -> bool {
        seen.0 != Some(self.begun.load(Acquire))
    }
}
