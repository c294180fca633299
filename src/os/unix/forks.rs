//! What `fork` does to descriptors and holds (L11).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// How many forks there were in this process's line before it was born.
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// How many forks this process has seen, as a child or as a parent.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// How many are going on: the child may have its copies already, and the host's own handlers may
/// take their time before this process hears of it.
static FORKING: AtomicU32 = AtomicU32::new(0);
static WATCHING: AtomicBool = AtomicBool::new(false);

#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn before_fork() {
    FORKING.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn after_fork_in_parent() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    // Not below zero: this one may have begun before it was watched.
    let _ =
        FORKING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |forks| forks.checked_sub(1));
}

extern "C" fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    FORKS.fetch_add(1, Ordering::Relaxed);
    FORKING.store(0, Ordering::Relaxed); // Those of other threads are not this process's.
}

/// Two threads may both be first, and each fork then counts twice: any other number will do. A
/// `Once` would not, since a child born in the middle of one would wait for it for ever.
pub(crate) fn watch_forks() {
    if !WATCHING.load(Ordering::Relaxed) {
        // SAFETY: the functions only touch atomics, which is legal in a forked child, and they
        // live as long as the program.
        let refused = unsafe {
            libc::pthread_atfork(
                Some(before_fork),
                Some(after_fork_in_parent),
                Some(after_fork_in_child),
            )
        };
        WATCHING.store(refused == 0, Ordering::Relaxed);
    }
}

/// How many forks this process has seen; with [`happened_since`].
pub(super) fn seen() -> u32 {
    FORKS.load(Ordering::Relaxed)
}

/// Whether a fork has happened since `seen` was this, or is going on.
#[inline]
pub(super) fn happened_since(seen: u32) -> bool {
    seen != FORKS.load(Ordering::Relaxed) || FORKING.load(Ordering::Relaxed) != 0
}
