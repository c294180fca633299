//! The handlers of `fork` (L11): a child closes its copies of the library's descriptors when it is born.
//!
//! A handler of the host's that was registered earlier runs in the child before this one. Where the
//! generation stands in a page that the kernel clears, it may use the library nevertheless.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use crate::os::unix::descriptor_table;
use crate::os::unix::generation::{self, FORKS};

static WATCHING: AtomicBool = AtomicBool::new(false);

extern "C" fn before_fork() {
    FORKS.begin();
}

extern "C" fn after_fork_in_parent() {
    FORKS.end();
}

extern "C" fn after_fork_in_child() {
    generation::forget();
    descriptor_table::close_inherited(generation::current());
}

/// Registers the handlers.
///
/// Two threads may both be first, and each fork then counts twice, which does no harm: any other number will do. A
/// `Once` would do harm, since a child born in the middle of one would wait for it forever.
pub(super) fn watch() {
    // Acquire: pairs with the Release below, so the page stands before a caller goes on.
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
        generation::place_witness();
        WATCHING.store(refused == 0, Release);
    }
}
