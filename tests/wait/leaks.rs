//! L13: a wait leaves nothing behind.

use std::time::Duration;

use super::signals;
use super::subprocess::in_subprocess;
use super::support::Scratch;
use super::threads::Remains;
use super::ways::{HOUR, contended, race, start};

/// Ten thousand timed waits, some granted and some not, by one thread and by many threads that end.
#[test]
fn l13_nothing_is_left_of_ten_thousand_waits() {
    in_subprocess(|| {
        let scratch = Scratch::new();
        let lock = scratch.lock();
        // The library keeps one idle descriptor, and closes it with the last handle.
        let without_idle = Remains::now();
        drop(lock.lock().unwrap());
        let before = Remains::now();
        assert_eq!((before.timers, before.descriptors), (0, without_idle.descriptors + 1));

        let waiter = lock.clone().timeout(Duration::from_micros(150));
        race(lock.clone(), 4000, 300, || waiter.lock().is_ok());

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

        before.until_only_these();
        assert_eq!(signals::claimed().len(), 1, "{:?}", signals::claimed());
        assert_eq!(signals::pending(), 0);
        drop((lock, waiter));
        without_idle.until_only_these();
    });
}

/// The checks above can fail: they see a timer, a thread and a descriptor that are left.
#[test]
fn l13_the_checks_see_what_is_left() {
    in_subprocess(|| {
        let (_scratch, _held, lock) = contended(HOUR);
        let Remains { threads, timers, descriptors } = Remains::now();
        let wait = start(move || lock.lock());
        Remains { threads: threads + 1, timers: timers + 1, descriptors: descriptors + 1 }
            .until_only_these();
        wait.assert_running();
    });
}
