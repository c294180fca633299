//! - L4: a timed waiter retries, at first more often than every `retry_period`.
//! - L12: the caller does not see a cancelled system call.
//! - L13: nothing is left behind.

use std::thread;
use std::time::Duration;

use locket::lock_file;

use crate::support::prelude::*;
use crate::system::{cancel, handles_of, is_real_windows, open};

const LONG: Duration = Duration::from_secs(600);

/// A waiter that slept for a whole `retry_period` would not return in time.
#[test]
fn l4_the_first_retries_come_sooner() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::on(&path);
    let mut waiter = Peer::with(&path, &[Timeout(900_000), RetryPeriod(600_000)]);
    holder.acquire("a");
    waiter.start_waiting("w", Acquire("a"), &path);
    holder.release("a");
    waiter.wait_ok("w");
}

/// A waiter whose last pause went beyond the deadline would not return in time.
#[test]
fn l3_the_last_pause_ends_at_the_deadline() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::on(&path);
    let mut waiter = Peer::with(&path, &[Timeout(3000), RetryPeriod(600_000)]);
    holder.acquire("a");
    let answer = waiter.ask(Acquire("a"));
    assert_eq!(answer.kind(), Some(TimedOut));
    assert!(answer.took() >= Duration::from_secs(3));
}

#[test]
fn l12_a_cancelled_system_call_does_not_end_the_wait() -> Outcome {
    let check = "l12_a_cancelled_system_call_does_not_end_the_wait";
    if !is_real_windows(check, "Wine cannot cancel the wait for a lock") {
        return Ok(());
    }
    let scratch = Scratch::new();
    for lock in [scratch.lock(), scratch.lock().timeout(LONG)] {
        let held = scratch.lock().lock()?;
        let waiter = thread::spawn(move || lock.lock().map(drop));
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(5));
            cancel(&waiter);
        }
        assert!(!waiter.is_finished(), "the lock is held");
        held.release()?;
        waiter.join().expect("no panic")?;
    }
    Ok(())
}

/// Requests with every possible outcome, by the handles `HANDLES`.
fn turn() -> [Request<&'static str>; 8] {
    [
        Lock("a", "g"),
        IsCurrent("g"),
        DropGuard("g"),
        Acquire("a"),
        Release("a"),
        attempt(Lock("held", "h")),
        attempt(Lock("missing", "h")),
        attempt(Lock("directory", "h")),
    ]
}
const HANDLES: [&str; 4] = ["a", "held", "missing", "directory"];

fn peer_of_all_outcomes(scratch: &Scratch) -> Peer {
    let mut peer = Peer::on(scratch.lock_path());
    peer.handle("held", scratch.join("held.lock"), &[Timeout(1)]);
    peer.handle("missing", scratch.join("missing").join("test.lock"), &[]);
    peer.handle("directory", scratch.path(), &[]);
    peer
}

#[test]
fn l13_no_handles_are_left_open() -> Outcome {
    let check = "l13_no_handles_are_left_open";
    if !is_real_windows(check, "Wine does not count handles") {
        return Ok(());
    }
    let scratch = Scratch::new();
    let _held = lock_file(scratch.join("held.lock")).lock()?;
    let mut peer = peer_of_all_outcomes(&scratch);
    peer.repeat(10, turn());
    let before = handles_of(peer.pid())?;
    peer.repeat(100, turn());
    assert_eq!(handles_of(peer.pid())?, before);

    // The count of handles does change with an open one.
    for name in ["one", "two"] {
        peer.handle(name, scratch.join(name), &[]);
        peer.acquire(name);
    }
    assert_eq!(handles_of(peer.pid())?, before + 2);
    Ok(())
}

/// Opening with a share mode of 0 succeeds only if no other handle is open.
#[test]
fn l13_the_last_handle_closes_the_file() -> Outcome {
    let scratch = Scratch::new();
    let is_closed = |name: &str| open(&scratch.join(name), 0).is_ok();
    let held = lock_file(scratch.join("held.lock")).lock()?;
    let mut peer = peer_of_all_outcomes(&scratch);
    peer.repeat(10, turn());
    drop(held);
    assert!(!is_closed("test.lock") && !is_closed("held.lock"), "an idle handle is kept for reuse");
    for handle in HANDLES {
        peer.drop_handle(handle);
    }
    assert!(is_closed("test.lock") && is_closed("held.lock"));
    Ok(())
}
