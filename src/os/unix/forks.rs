//! Which process this is in a line of forks, and which descriptors a fork has copied (L11).
//!
//! A child of `fork` is told by a handler (`pthread_atfork`). A child of a raw `clone`, and of `_Fork`, which call
//! no handlers, finds out at its first call: the number of this process stands in a page that the kernel clears in every child
//! that has memory of its own (`MADV_WIPEONFORK`, Linux 4.14, madvise(2)). Where there is no such page, the handler
//! clears the number. A handler of the host's that was registered earlier runs before this one; with the page that
//! makes no difference.
//!
//! A child that shares memory with its parent (`vfork`, `CLONE_VM`) is not told apart from it.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize};

use crate::fork_count::{ForkCount, Seen};

use super::copies;

/// The forks of this process.
static FORKS: ForkCount = ForkCount { begun: AtomicUsize::new(0), ended: AtomicUsize::new(0) };

/// The greatest generation that this process or an ancestor has had.
static GREATEST: AtomicU32 = AtomicU32::new(0);

/// The generation of this process plus one, as long as there is no page for it.
static ORDINARY: AtomicU32 = AtomicU32::new(1);

/// Where the generation stands.
static WITNESS: AtomicPtr<AtomicU32> = AtomicPtr::new((&raw const ORDINARY).cast_mut());

static WATCHING: AtomicBool = AtomicBool::new(false);

/// How many forks lie between this process and the one that loaded the library; at least as many, since two calls
/// of one child may count it twice.
#[inline]
pub(crate) fn generation() -> u32 {
    match witness().load(Acquire) {
        0 => begin_generation(),
        known => known - 1,
    }
}

#[inline]
fn witness() -> &'static AtomicU32 {
    // SAFETY: the pointer is to a static, or to a page that is never unmapped once it stands there. Acquire: pairs
    // with the exchange in `place_witness`, after which the page has its number.
    unsafe { &*WITNESS.load(Acquire) }
}

/// This process is a child, and has not known that so far. Two threads may find it out at once: one of their numbers
/// counts.
#[cold]
fn begin_generation() -> u32 {
    FORKS.end_all();
    let next = GREATEST.fetch_add(1, AcqRel) + 1;
    match witness().compare_exchange(0, next + 1, AcqRel, Acquire) {
        Ok(_) => next,
        Err(known) => known - 1,
    }
}

extern "C" fn before_fork() {
    FORKS.begin();
}

extern "C" fn after_fork_in_parent() {
    FORKS.end();
}

extern "C" fn after_fork_in_child() {
    if WITNESS.load(Acquire) == (&raw const ORDINARY).cast_mut() {
        ORDINARY.store(0, Release);
    }
    copies::close_inherited(generation());
}

/// Two threads may both be first, and each fork then counts twice: any other number will do. A
/// `Once` would not, since a child born in the middle of one would wait for it forever.
pub(crate) fn watch_forks() {
    if !WATCHING.load(Acquire) {
        // SAFETY: the functions only change atomics and make system calls that are legal in a forked
        // child (signal-safety(7)), and they live as long as the program.
        let refused = unsafe {
            libc::pthread_atfork(
                Some(before_fork),
                Some(after_fork_in_parent),
                Some(after_fork_in_child),
            )
        };
        place_witness();
        WATCHING.store(refused == 0, Release);
    }
}

/// Puts the generation where the kernel clears it in a child.
#[cfg(target_os = "linux")]
fn place_witness() {
    let Some(page) = page_that_is_cleared() else { return };
    // SAFETY: the page is aligned, large enough, cleared, and nothing else uses it.
    let place: &AtomicU32 = unsafe { &*page };
    place.store(generation() + 1, Release);
    let ordinary = (&raw const ORDINARY).cast_mut();
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
fn place_witness() {}

/// What is to be kept of the forks before a descriptor is opened, for [`happened_since`].
pub(super) fn seen() -> Seen {
    FORKS.seen()
}

/// Whether a fork may have copied a descriptor that was opened after `seen`.
#[inline]
pub(super) fn happened_since(seen: Seen) -> bool {
    FORKS.happened_since(seen)
}
