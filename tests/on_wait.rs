//! Somebody who is told of a wait while it lasts.
//!
//! - L2: a try is no wait, and a free lock is none either.
//! - L3: an observer neither shortens nor prolongs a wait.
//! - L4: a waiter that is observed is woken as soon as any other.
//! - L13: whatever comes of a wait, and whoever ends it, nothing is left of it.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Outcome, PATIENCE, Peer, Scratch, until};
use locket::{ErrorKind, Lock, State};

/// One look of an observer.
#[derive(Clone, Debug)]
struct Look {
    waited: Duration,
    left: Option<Duration>,
}

/// A handle that tells what its observer sees.
fn observed(lock: Lock, every: Duration) -> (Lock, Receiver<Look>) {
    let (tell, looks) = channel();
    let path = lock.path().to_owned();
    let lock = lock.observe_every(every).on_wait(move |wait| {
        assert_eq!(wait.path(), path);
        let seen = Look { waited: wait.elapsed(), left: wait.remaining() };
        tell.send(seen).map_or(ControlFlow::Break(()), ControlFlow::Continue)
    });
    (lock, looks)
}

/// Both ways to wait; elsewhere than on Linux they are one.
fn ways(scratch: &Scratch) -> [Lock; 2] {
    let lock = scratch.lock().retry_period(Duration::from_millis(1));
    [lock.clone(), lock.use_signals(false)]
}

#[test]
fn l2_who_does_not_wait_is_not_observed() -> Outcome {
    let scratch = Scratch::new();
    let (lock, looks) = observed(scratch.lock(), Duration::ZERO);
    drop(lock.lock()?);
    lock.acquire()?;
    assert!(lock.try_lock().is_err());
    assert!(lock.try_acquire().is_err());
    assert!(lock.clone().timeout(Duration::ZERO).lock().is_err());
    lock.release()?;
    assert!(looks.try_recv().is_err());
    Ok(())
}

#[test]
fn l4_a_wait_is_told_of_from_its_beginning_to_its_end() -> Outcome {
    let scratch = Scratch::new();
    for lock in ways(&scratch) {
        let mut holder = Peer::with_handle("a", scratch.lock_path(), "");
        holder.ok("acquire a");
        let (lock, looks) = observed(lock, Duration::from_millis(1));
        let wait = thread::spawn(move || lock.lock().map(drop));
        let seen: Vec<Look> =
            (0..5).map(|_| looks.recv_timeout(PATIENCE)).collect::<Result<_, _>>()?;
        assert!(seen.windows(2).all(|two| two[0].waited <= two[1].waited), "{seen:?}");
        assert!(seen.iter().all(|look| look.left.is_none()), "{seen:?}");
        assert!(seen[4].waited >= Duration::from_millis(4), "{seen:?}");
        holder.ok("release a");
        wait.join().expect("a wait does not panic")?;
        // Its observer has gone with the handle: nobody is left to tell of anything.
        until("the end of the looks", || looks.try_iter().count() == 0);
        assert!(looks.recv().is_err());
    }
    Ok(())
}

#[test]
fn l3_a_deadline_is_kept_under_observation() -> Outcome {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock()?;
    let timeout = Duration::from_millis(30);
    for lock in ways(&scratch) {
        let (lock, looks) = observed(lock.timeout(timeout), Duration::from_millis(1));
        let start = Instant::now();
        let error = lock.lock().unwrap_err();
        assert!(start.elapsed() >= timeout);
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        assert!(error.elapsed() >= timeout, "{error}");
        let seen: Vec<Look> = looks.try_iter().collect();
        assert!(!seen.is_empty());
        assert!(seen.iter().all(|look| look.left.is_some_and(|left| left <= timeout)), "{seen:?}");
    }
    Ok(())
}

#[test]
fn l13_an_observer_may_put_an_end_to_a_wait() -> Outcome {
    let scratch = Scratch::new();
    let mut holder = Peer::with_handle("a", scratch.lock_path(), "");
    holder.ok("acquire a");
    for (lock, timeout) in ways(&scratch).into_iter().flat_map(|lock| {
        [None, Some(Duration::from_secs(3600))].map(|timeout| (lock.clone(), timeout))
    }) {
        let looks = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&looks);
        let impatient =
            lock.timeout(timeout).observe_every(Duration::from_millis(2)).on_wait(move |_| {
                let mut looks = counter.lock().expect("nobody panics with it");
                *looks += 1;
                if *looks == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        let error = impatient.lock().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        assert!(error.elapsed() >= Duration::from_millis(4), "{error}");
        assert!(error.to_string().starts_with("cancelled the wait for "), "{error}");
        assert_eq!(*looks.lock().expect("nobody panics with it"), 3);
        assert_eq!(impatient.state(), State::Unlocked);
    }
    // None of them is in the queue any more, or holds anything.
    holder.ok("release a");
    holder.ok("try_acquire a");
    Ok(())
}

#[test]
fn l13_an_observer_that_panics_leaves_no_hold() {
    let scratch = Scratch::new();
    for lock in ways(&scratch) {
        let held = scratch.lock().lock().expect("it is free");
        let nervous = lock.on_wait(|_| resume_unwind(Box::new("seen enough")));
        let panic = catch_unwind(AssertUnwindSafe(|| nervous.lock())).expect_err("it was held");
        assert_eq!(panic.downcast_ref(), Some(&"seen enough"));
        drop(held);
        assert!(nervous.try_lock().is_ok());
    }
}

/// Whoever waits in one process is observed there, whichever process holds the lock, and the same
/// observer may see several waits at once.
#[test]
fn l4_an_observer_may_have_many_waits_to_look_at() -> Outcome {
    let scratch = Scratch::new();
    let mut holder = Peer::with_handle("a", scratch.lock_path(), "");
    holder.ok("acquire a");
    let (lock, looks) = observed(scratch.lock(), Duration::from_secs(3600));
    let waits: Vec<_> = (0..8)
        .map(|_| {
            let lock = lock.clone();
            thread::spawn(move || lock.lock().map(drop))
        })
        .collect();
    for _ in 0..8 {
        looks.recv_timeout(PATIENCE)?;
    }
    holder.ok("release a");
    for wait in waits {
        wait.join().expect("a wait does not panic")?;
    }
    assert!(looks.try_recv().is_err(), "each wait is looked at once an hour");
    Ok(())
}
