//! What `fork` does to descriptors and holds (L11).

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::fork_count::ForkCount;

/// How many forks there were in this process's line before it was born.
static GENERATION: AtomicU32 = AtomicU32::new(0);
static COUNT: ForkCount = ForkCount { ended: AtomicU32::new(0), going_on: AtomicU32::new(0) };
static WATCHING: AtomicBool = AtomicBool::new(false);

#[inline]
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn before_fork() {
    COUNT.begin();
}

extern "C" fn after_fork_in_parent() {
    COUNT.end();
}

extern "C" fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    COUNT.end_in_child();
    // Else a lock of a parent that is killed would live on in this process (L7).
    super::open_files::close_copies();
}

/// Two threads may both be first, and each fork then counts twice: any other number will do. A
/// `Once` would not, since a child born in the middle of one would wait for it for ever.
pub(crate) fn watch_forks() {
    if !WATCHING.load(Ordering::Relaxed) {
        // SAFETY: the functions change atomics and call `fstat`, `lseek` and `close`, which is legal in a
        // forked child (signal-safety(7)), and they live as long as the program.
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

/// Returns how many forks this process has seen; for [`happened_since`].
pub(super) fn seen() -> u32 {
    COUNT.seen()
}

/// Returns whether a fork has happened since `seen` was this, or is going on.
#[inline]
pub(super) fn happened_since(seen: u32) -> bool {
    COUNT.happened_since(seen)
}
