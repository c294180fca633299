//! The lock file is replaced while a thread waits (L3, L9).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::support::{PATIENCE, Scratch, until};
use super::ways::{Way, start, timed};

/// One deadline holds for all the files that the path names in turn (L3, L9). The test replaces the lock file until the
/// wait ends. If the timeout started again for each file, the wait would never end.
#[test]
fn l3_one_deadline_holds_for_replaced_files() {
    for way in Way::BOTH {
        // On a busy machine a wait may end before the file was replaced three times.
        until("a wait for three files", || files_in_one_wait(way) >= 3);
    }
}

fn files_in_one_wait(way: Way) -> usize {
    let scratch = Scratch::new();
    let mut held = scratch.lock().lock().unwrap();
    let timeout = Duration::from_millis(100);
    let lock = way.of(scratch.lock()).timeout(timeout);
    let over = Arc::new(AtomicBool::new(false));
    let is_over = Arc::clone(&over);
    let wait = start(move || {
        let took = timed(&lock);
        over.store(true, Ordering::SeqCst);
        took
    });
    let start = Instant::now();
    let mut files = 0;
    while !is_over.load(Ordering::SeqCst) && start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
        let new = scratch.join(&format!("new{files}"));
        let next = locket::lock_file(&new).lock().unwrap();
        std::fs::rename(&new, scratch.lock_path()).unwrap();
        held = next; // The waiter gets the lock of the old file, and then finds the new file locked.
        files += 1;
    }
    drop(held);
    assert!(is_over.load(Ordering::SeqCst), "{way:?}: the deadline does not come");
    wait.result().assert_timed_out(timeout);
    files
}
