//! Checks that a repeated acquisition and release allocates no memory.
#![allow(unsafe_code, reason = "it implements a counting allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::error::Error;
use std::hint::black_box;
use std::time::Duration;

/// The system's allocator with a counter for each thread. The test harness allocates in other threads.
struct Counting;

thread_local! {
    static REQUESTS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending has no counter any more.
    let _ = REQUESTS.try_with(|requests| requests.set(requests.get() + 1));
}

// SAFETY: every request goes to the system's allocator. Counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the conditions of the method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps the conditions of the method.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the conditions of the method.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the conditions of the method.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Counts how often this thread allocates, frees or reallocates memory during the work.
fn requests<T>(work: impl FnOnce() -> T) -> u64 {
    let before = REQUESTS.get();
    let result = work();
    let requests = REQUESTS.get() - before;
    drop(result);
    requests
}

#[test]
#[cfg_attr(windows, ignore = "std allocates for each path that it opens there")]
fn a_repeated_acquisition_and_release_allocate_nothing() -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let lock = locket::lock_file(scratch.path().join("test.lock"));
    let handles = [
        lock.clone(),
        lock.clone().timeout(Duration::from_secs(60)),
        lock.clone().timeout(Duration::ZERO),
        lock.shared().use_signals(false),
    ];
    for lock in &handles {
        for warm in [true, false] {
            let requests = requests(|| {
                for _ in 0..1000 {
                    lock.acquire()?;
                    lock.release()?;
                    lock.lock()?.release()?;
                    drop(lock.lock()?);
                    lock.try_acquire()?;
                    black_box(lock.state());
                    lock.release()?;
                }
                Ok::<(), locket::LockError>(())
            });
            assert!(warm || requests == 0, "{requests} with {lock:?}");
        }
    }
    Ok(())
}

/// The check above can fail: an allocation and a deallocation are counted.
#[test]
fn the_counter_counts_allocations() {
    assert_eq!(requests(|| ()), 0);
    assert_eq!(requests(|| black_box(Box::new(1))), 1);
    assert_eq!(requests(|| drop(black_box(Box::new(1)))), 2);
}
