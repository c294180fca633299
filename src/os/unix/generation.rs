//! Which process this is in a line of forks, and which descriptors a fork may have copied (L11).
//!
//! A child of `fork` is told by a handler (`pthread_atfork(3)`). A child of a raw `clone`, and of `_Fork`, which call
//! no handlers, finds out at its first call: the generation stands in a page that the kernel clears in every child
//! that has memory of its own (`MADV_WIPEONFORK`, Linux 4.14, madvise(2)). Without such a page the handler
//! clears the number.
//!
//! A child that shares memory with its parent (`vfork`, `CLONE_VM`) cannot be told from it.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize};

use crate::fork_count::{ForkCount, Seen};

/// The forks of this process.
pub(super) static FORKS: ForkCount =
    ForkCount { begun: AtomicUsize::new(0), ended: AtomicUsize::new(0) };

/// The greatest generation that this process or an ancestor has had.
static GREATEST: AtomicU32 = AtomicU32::new(0);

/// The generation of this process plus one, as long as there is no page for it; zero in a new child.
static ORDINARY: AtomicU32 = AtomicU32::new(1);

/// Where the generation stands: in `ORDINARY`, or in the page.
static WITNESS: AtomicPtr<AtomicU32> = AtomicPtr::new((&raw const ORDINARY).cast_mut());

/// Returns how many forks lie between this process and the one that loaded the library; at least as many, since two calls
/// of one child may count it twice.
#[inline]
pub(super) fn current() -> u32 {
    match witness().load(Acquire) {
        0 => begin(),
        known => known - 1,
    }
}

/// Returns the forks so far, to be kept before a descriptor is opened: see [`forked_since`].
pub(super) fn seen_forks() -> Seen {
    FORKS.seen()
}

/// Returns whether a fork may have copied a descriptor that was opened after `seen`.
#[inline]
pub(super) fn forked_since(seen: Seen) -> bool {
    FORKS.happened_since(seen)
}

#[inline]
fn witness() -> &'static AtomicU32 {
    // SAFETY: the pointer is to a static, or to a page that is never unmapped once it stands there. Acquire: pairs
    // with the exchange in `place_witness`, after which the page has its number.
    unsafe { &*WITNESS.load(Acquire) }
}

/// Begins the generation of a child at its first call. Two threads may do it at the same time: one of their numbers counts.
#[cold]
fn begin() -> u32 {
    FORKS.end_all();
    // AcqRel: no two processes of one line get the same number.
    let next = GREATEST.fetch_add(1, AcqRel) + 1;
    match witness().compare_exchange(0, next + 1, AcqRel, Acquire) {
        Ok(_) => next,
        Err(known) => known - 1,
    }
}

/// Marks this process as a child, in the handler of `fork`. The page is cleared by the kernel.
pub(super) fn forget() {
    if WITNESS.load(Acquire) == (&raw const ORDINARY).cast_mut() {
        // Release: pairs with the Acquire in `current`.
        ORDINARY.store(0, Release);
    }
}

/// Puts the generation where the kernel clears it in a child.
#[cfg(target_os = "linux")]
pub(super) fn place_witness() {
    let Some(page) = page_that_is_cleared() else { return };
    // SAFETY: the page is aligned, large enough, cleared, and nothing else uses it.
    let place: &AtomicU32 = unsafe { &*page };
    place.store(current() + 1, Release);
    let ordinary = (&raw const ORDINARY).cast_mut();
    // AcqRel: publishes the number in the page.
    if WITNESS.compare_exchange(ordinary, page, AcqRel, Acquire).is_err() {
        // Another thread was first.
        // SAFETY: this page was made here, and nothing refers to it.
        unsafe { libc::munmap(page.cast(), size_of::<AtomicU32>()) };
    }
}

#[cfg(target_os = "linux")]
fn page_that_is_cleared() -> Option<*mut AtomicU32> {
    const LENGTH: usize = size_of::<AtomicU32>();
    let (rights, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a mapping of its own, which touches no other memory.
    unsafe {
        let page = libc::mmap(std::ptr::null_mut(), LENGTH, rights, kind, -1, 0);
        if page == libc::MAP_FAILED {
            return None;
        }
        if libc::madvise(page, LENGTH, libc::MADV_WIPEONFORK) != 0 {
            libc::munmap(page, LENGTH);
            return None;
        }
        Some(page.cast())
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn place_witness() {}
