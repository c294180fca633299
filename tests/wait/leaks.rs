//! L13: a wait leaves nothing behind.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use super::signals;
use super::subprocess::in_subprocess;
use super::support::{Scratch, until};
use super::threads;
use super::ways::start;

/// Ten thousand timed waits, some granted and some not, by one thread and by many threads that end.
#[test]
fn l13_nothing_is_left_of_ten_thousand_waits() {
    in_subprocess("leaks::l13_nothing_is_left_of_ten_thousand_waits", || {
        const TURNS: u32 = 4000;
        let scratch = Scratch::new();
        let lock = scratch.lock();
        drop(lock.lock().unwrap());
        let until_threads = |threads: usize| {
            until("the threads of the test end", || threads::threads() == threads);
        };
        let descriptors = threads::descriptors();
        let threads_before = threads::threads();
        assert_eq!(threads::timers(), 0);

        let mut granted = 0;
        let waiter = lock.clone().timeout(Duration::from_micros(150));
        let together = Arc::new(Barrier::new(2));
        let holder = {
            let (lock, together) = (lock.clone(), Arc::clone(&together));
            start(move || {
                for turn in 0..TURNS {
                    let held = lock.lock().unwrap();
                    together.wait();
                    let release_at = Instant::now() + Duration::from_micros(u64::from(turn) % 300);
                    while Instant::now() < release_at {}
                    drop(held);
                    together.wait();
                }
            })
        };
        for _ in 0..TURNS {
            together.wait();
            granted += u32::from(waiter.lock().is_ok());
            together.wait();
        }
        holder.result_of_many();
        assert!((1..TURNS).contains(&granted), "{granted} of {TURNS} granted");

        let held = lock.lock().unwrap();
        let waits: Vec<_> = (0..300)
            .map(|_| {
                let lock = lock.clone().timeout(Duration::from_micros(10));
                start(move || (0..20).for_each(|_| assert!(lock.lock().is_err())))
            })
            .collect();
        for wait in waits {
            wait.result_of_many();
        }
        drop(held);

        until_threads(threads_before);
        assert_eq!(threads::timers(), 0, "timers are left");
        assert_eq!(threads::descriptors(), descriptors, "descriptors are left");
        assert_eq!(signals::claimed().len(), 1, "{:?}", signals::claimed());
        assert_eq!(signals::pending(), 0);
        // The library keeps one idle descriptor and closes it with the last handle.
        drop((lock, waiter));
        assert_eq!(threads::descriptors(), descriptors - 1);
    });
}

/// The checks above can fail: they see a timer, a thread and a descriptor that are left.
#[test]
fn l13_the_checks_see_what_is_left() {
    in_subprocess("leaks::l13_the_checks_see_what_is_left", || {
        let scratch = Scratch::new();
        let _held = scratch.lock().lock().unwrap();
        let (timers, threads, descriptors) =
            (threads::timers(), threads::threads(), threads::descriptors());
        let lock = scratch.lock().timeout(Duration::from_secs(3600));
        let wait = start(move || lock.lock());
        until("a timer, a thread and a descriptor", || {
            threads::timers() == timers + 1
                && threads::threads() == threads + 1
                && threads::descriptors() == descriptors + 1
        });
        wait.assert_running();
    });
}
