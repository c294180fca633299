//! L3: each call has one monotonic deadline for everything that it does. It never ends early, and its last attempt comes at
//! or after the deadline.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::prelude::*;

/// Returns a handle for each way in which a timed wait can wait.
fn ways(scratch: &Scratch, timeout: Duration) -> [Lock; 5] {
    let lock = scratch.lock().timeout(timeout);
    let retrying = lock.clone().use_signals(false);
    [
        lock.clone(),
        lock.shared(),
        retrying.clone().retry_period(Duration::ZERO),
        retrying.clone().retry_period(Duration::from_millis(1)),
        // The last pause ends at the deadline even if the retry period is longer.
        retrying.retry_period(Duration::from_secs(3600)),
    ]
}

#[test]
fn l3_never_early() -> Outcome {
    let scratch = Scratch::new();
    let held = scratch.lock().lock()?;
    for millis in [1, 7, 50, 200] {
        let timeout = Duration::from_millis(millis);
        for lock in ways(&scratch, timeout) {
            for wait in [|lock: &Lock| lock.lock().map(drop), Lock::acquire] {
                let start = Instant::now();
                let outcome = wait(&lock);
                let took = start.elapsed();
                let error = outcome.expect_err("the lock is held");
                let waited = error.elapsed();
                assert_eq!((error.kind(), error.path()), (TimedOut, &*scratch.lock_path()));
                assert!(timeout <= waited, "{waited:?} of {timeout:?} with {lock:?}");
                assert!(waited <= took, "the error says {waited:?}, but the call took {took:?}");
                assert!(took < timeout + PATIENCE, "{took:?} with {lock:?}");
                let message = error.to_string();
                let start = format!("cannot lock {} within ", scratch.lock_path().display());
                assert!(
                    message.starts_with(&start) && message.contains("ms: held by "),
                    "{message}"
                );
                assert_eq!(io::Error::from(error).kind(), io::ErrorKind::TimedOut);
            }
        }
    }
    assert!(held.is_current()?);
    held.release()?;
    scratch.lock().lock()?.release()?;
    Ok(())
}

#[test]
fn l3_a_lock_that_becomes_free_in_time_is_acquired() {
    let (_scratch, path, [mut holder]) = peers();
    for settings in [&[Timeout(600_000)][..], &[Timeout(600_000), Shared]] {
        let mut waiter = Peer::with(&path, settings);
        holder.lock("a", "g");
        waiter.start_waiting("w", Lock("a", "g"), &path);
        holder.drop_guard("g");
        waiter.wait_ok("w");
        assert!(!holder.finds_free("a"));
        waiter.drop_guard("g");
    }
    for period in [0, 5] {
        let settings = [Timeout(600_000), UseSignals(false), RetryPeriod(period)];
        let mut waiter = Peer::with(&path, &settings);
        holder.lock("a", "g");
        waiter.start("w", Lock("a", "g"));
        waiter.assert_waiting("w");
        holder.drop_guard("g");
        waiter.wait_ok("w");
        waiter.drop_guard("g");
    }
}

#[test]
fn l3_a_timeout_too_long_for_the_clock_is_forever() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let timeouts =
        [Duration::MAX, Duration::from_secs(i64::MAX as u64), Duration::from_secs(1 << 40)];
    for timeout in timeouts {
        let lock = scratch.lock().timeout(timeout);
        let guard = lock.lock()?;
        let waiting = lock.clone();
        let waiter = thread::spawn(move || waiting.lock());
        until_waiting(std::process::id(), &path, 1);
        thread::sleep(Duration::from_millis(20));
        assert!(!waiter.is_finished(), "the wait ended before {timeout:?}");
        guard.release()?;
        waiter.join().expect("no panic")?.release()?;
    }
    Ok(())
}

/// Stops the waiter, and continues it after its deadline. `meanwhile` runs while the waiter is stopped.
#[cfg(unix)]
fn stop_past_deadline(waiter: &mut Peer, meanwhile: impl FnOnce()) {
    waiter.signal("STOP");
    thread::sleep(AFTER_TIMEOUT);
    meanwhile();
    waiter.signal("CONT");
}

#[cfg(unix)]
const TIMEOUT: Setting = Timeout(2_000);
#[cfg(unix)]
const AFTER_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(unix)]
#[test]
fn l3_the_last_attempt_is_after_the_deadline() {
    let (_scratch, path) = Scratch::with_path();
    for settings in [&[][..], &[UseSignals(false), RetryPeriod(1_000_000)]] {
        let mut holder = Peer::on(&path);
        holder.lock("a", "g");
        let mut waiter = Peer::with(&path, &[&[TIMEOUT], settings].concat());
        waiter.start("w", Acquire("a"));
        waiter.assert_waiting("w");
        stop_past_deadline(&mut waiter, || {
            holder.drop_guard("g");
        });
        // The lock is free now, so "timed out" would be false.
        let answer = waiter.wait("w");
        assert_eq!(answer.outcome, Ok(Value::Nothing), "{settings:?}");
        assert!(
            answer.took() >= AFTER_TIMEOUT,
            "the waiter should be stopped until after the deadline"
        );
    }
}

#[cfg(unix)]
#[test]
fn l3_one_deadline_holds_for_all_files() {
    let scratch = Scratch::new();
    let (path, other) = (scratch.lock_path(), scratch.join("other"));
    let mut holder = Peer::on(&path);
    holder.lock("a", "g");
    holder.open_foreign("f", &other);
    holder.lock_foreign("f", Mode::Exclusive);
    let mut waiter = Peer::with(&path, &[TIMEOUT]);
    waiter.start_waiting("w", Acquire("a"), &path);
    stop_past_deadline(&mut waiter, || {
        std::fs::rename(&other, &path).expect("the test should own the directory");
        holder.drop_guard("g");
    });
    // The first file is free, the file that the path names now is locked, and the deadline has passed. The waiter must
    // not wait for the second file. On a system that does not show its waiters, this checks only the answer.
    until("the wait ends", || {
        assert_eq!(waiting(waiter.pid(), &path), 0, "the waiter waits for the other file");
        waiter.is_done("w")
    });
    let answer = waiter.wait("w");
    assert_eq!(answer.kind(), Some(TimedOut));
    assert!(answer.took() >= AFTER_TIMEOUT);
}
