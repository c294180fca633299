//! Deadlines of waits in the kernel's queue and of waits that retry.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use rand::RngExt;

use super::support::{PATIENCE, Scratch, until};
use super::ways::{HOUR, Way, start, timed};

/// L3: a wait never ends early, by the elapsed time in the error and by the test's clock. Many timeouts are so short that the
/// deadline often passes while the wait begins.
#[test]
fn l3_never_early() {
    for way in Way::BOTH {
        let (_scratch, _held, lock) = way.contended(None);
        let waits = start(move || {
            let mut random = rand::rng();
            let tiny = (1..20_000).step_by(10);
            for nanos in tiny.chain((0..1000).map(|_| random.random_range(1..1_000_000))) {
                let timeout = Duration::from_nanos(nanos);
                timed(&lock.clone().timeout(timeout)).assert_timed_out(timeout);
            }
        });
        waits.result_of_many();
    }
}

/// Timeouts of an hour, of more seconds than 32 bits hold, and of more than the clock can hold. No such wait ends early,
/// and each acquires the lock when it becomes free.
#[test]
fn l3_huge_timeouts_are_not_short() {
    let seconds = [3600, 1 << 31, 1 << 32, 1 << 33, 1 << 40, i64::MAX as u64 / 2, i64::MAX as u64];
    let mut timeouts: Vec<_> = seconds.map(Duration::from_secs).map(Some).to_vec();
    timeouts.extend([Some(Duration::MAX), None]);
    // The longest timeout that the clock can hold, and a few seconds less.
    let now = Instant::now();
    let mut latest = Duration::ZERO;
    for bit in (0..63).rev() {
        let longer = latest + Duration::from_secs(1 << bit);
        latest = if now.checked_add(longer).is_some() { longer } else { latest };
    }
    timeouts.extend([0, 1, 2, 3600].map(|less| latest.checked_sub(Duration::from_secs(less))));

    for way in Way::BOTH {
        let (_scratch, held, lock) = way.contended(None);
        let waits: Vec<_> = timeouts
            .iter()
            .map(|&timeout| {
                let lock = lock.clone().timeout(timeout);
                start(move || lock.lock().map(drop).map_err(|error| (timeout, error)))
            })
            .collect();
        for wait in &waits {
            wait.assert_running();
        }
        drop(held);
        for wait in waits {
            wait.result().unwrap();
        }
    }
}

/// Readers wait for a writer and then hold the lock together. A writer waits for all readers.
#[test]
fn l1_readers_share_and_a_writer_waits_for_all() {
    const READERS: usize = 5;
    for way in Way::BOTH {
        let (_scratch, writer, lock) = way.contended(None);
        let hour = lock.clone().timeout(HOUR);
        let together = Arc::new(Barrier::new(READERS));
        let readers: Vec<_> = (0..READERS)
            .map(|_| {
                let (lock, together) = (hour.clone().shared(), Arc::clone(&together));
                start(move || {
                    let guard = lock.lock().unwrap();
                    together.wait();
                    guard
                })
            })
            .collect();
        for reader in &readers {
            reader.assert_running();
        }
        drop(writer);
        let mut readers: Vec<_> = readers.into_iter().map(|reader| reader.result()).collect();

        let timeout = Duration::from_millis(5);
        timed(&lock.clone().timeout(timeout)).assert_timed_out(timeout);
        let wait = start(move || hour.lock().unwrap());
        while let Some(reader) = readers.pop() {
            wait.assert_running();
            drop(reader);
        }
        let _writer = wait.result();
        timed(&lock.shared().timeout(timeout)).assert_timed_out(timeout);
    }
}

/// L3: the last attempt is made at or after the deadline. So "timed out" means that the lock was held at the deadline.
/// Here the lock becomes free around the deadline, more than a thousand times.
#[test]
fn l3_timed_out_means_held_at_the_deadline() {
    const TURNS: u64 = 1500;
    for way in Way::BOTH {
        let scratch = Scratch::new();
        let (begun, mut turn, mut granted) = (Instant::now(), 0, 0);
        // More turns are needed on a machine where almost every turn ends in the same way.
        while turn < TURNS || (granted % turn == 0 && begun.elapsed() < PATIENCE) {
            turn += 1;
            let timeout = Duration::from_micros(300);
            let held = scratch.lock().lock().unwrap();
            let lock = way.of(scratch.lock()).timeout(timeout);
            let together = Arc::new(Barrier::new(2));
            let wait = {
                let together = Arc::clone(&together);
                start(move || {
                    together.wait();
                    let start = Instant::now();
                    (start, timed(&lock))
                })
            };
            together.wait();
            // The extra turns spread the release over a longer time, for machines where an attempt takes longer.
            let late = if turn <= TURNS { turn % 600 } else { (turn - TURNS) % 100 * 600 };
            let release_at = Instant::now() + Duration::from_micros(late);
            while Instant::now() < release_at {}
            drop(held);
            let released = Instant::now();
            let (start, took) = wait.result();
            if took.result.is_ok() {
                granted += 1;
                continue;
            }
            took.assert_timed_out(timeout);
            let spare = (start + timeout).checked_duration_since(released);
            assert!(spare.is_none(), "the lock was free {spare:?} before the deadline");
        }
        assert!(
            (1..turn).contains(&granted),
            "{way:?}: there was no race: {granted} of {turn} granted"
        );
    }
}

/// Many waiters with different deadlines. Half of them time out. Then the lock becomes free, and the others get it in
/// turn.
#[test]
fn l3_two_hundred_deadlines_are_kept() {
    const WAITERS: u32 = 200;
    for way in Way::BOTH {
        let (_scratch, held, lock) = way.contended(None);
        let inside = Arc::new(AtomicU32::new(0));
        let over = Arc::new(AtomicU32::new(0));
        let waits: Vec<_> = (0..WAITERS)
            .map(|waiter| {
                // Half of the deadlines come soon, the others not during the test.
                let timeout = match waiter % 2 {
                    0 => Duration::from_millis(1 + u64::from(waiter)),
                    _ => Duration::from_secs(3600 + u64::from(waiter)),
                };
                let lock = lock.clone().timeout(timeout);
                let (inside, over) = (Arc::clone(&inside), Arc::clone(&over));
                start(move || {
                    let took = timed(&lock);
                    if took.result.is_ok() {
                        assert_eq!(
                            inside.fetch_add(1, Ordering::SeqCst),
                            0,
                            "two holders at the same time"
                        );
                        inside.fetch_sub(1, Ordering::SeqCst);
                    } else {
                        took.assert_timed_out(timeout);
                    }
                    over.fetch_add(1, Ordering::SeqCst);
                    took.result.map(drop)
                })
            })
            .collect();
        until("half of them time out", || over.load(Ordering::SeqCst) == WAITERS / 2);
        drop(held);
        for (waiter, wait) in waits.into_iter().enumerate() {
            match (waiter % 2, wait.result()) {
                (0, Err(error)) if error.kind() == locket::ErrorKind::TimedOut => {}
                (1, Ok(())) => {}
                (_, other) => panic!("{way:?}, waiter {waiter}: {other:?}"),
            }
        }
    }
}
