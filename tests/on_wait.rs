//! Observers, which are called while a thread waits.
//!
//! - L2: a try and the acquisition of a free lock do not wait, so no observer is called.
//! - L3: an observer neither shortens nor prolongs a wait.
//! - L4: an observed waiter is woken as soon as any other waiter.
//! - L13: after every end of a wait nothing is left of it, also if the observer ended it.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::prelude::*;

/// One call of an observer.
#[derive(Clone, Debug)]
struct Observation {
    elapsed: Duration,
    remaining: Option<Duration>,
}

/// Returns a handle with an observer, and a channel that receives its observations.
fn observed(lock: Lock, every: Duration) -> (Lock, Receiver<Observation>) {
    let (sender, observations) = channel();
    let path = lock.path().to_owned();
    let lock = lock.observe_every(every).on_wait(move |wait| {
        assert_eq!(wait.path(), path);
        let seen = Observation { elapsed: wait.elapsed(), remaining: wait.remaining() };
        sender.send(seen).map_or(ControlFlow::Break(()), ControlFlow::Continue)
    });
    (lock, observations)
}

/// Returns handles for both ways to wait. Outside Linux there is only one way.
fn ways(scratch: &Scratch) -> [Lock; 2] {
    let lock = scratch.lock().retry_period(Duration::from_millis(1));
    [lock.clone(), lock.use_signals(false)]
}

#[test]
fn l2_a_call_that_does_not_wait_is_not_observed() -> Outcome {
    let scratch = Scratch::new();
    let (lock, observations) = observed(scratch.lock(), Duration::ZERO);
    drop(lock.lock()?);
    lock.acquire()?;
    assert!(lock.try_lock().is_err());
    assert!(lock.try_acquire().is_err());
    assert!(lock.clone().timeout(Duration::ZERO).lock().is_err());
    lock.release()?;
    assert!(observations.try_recv().is_err());
    Ok(())
}

#[test]
fn l4_a_wait_is_observed_from_its_beginning_to_its_end() -> Outcome {
    let scratch = Scratch::new();
    for lock in ways(&scratch) {
        let mut holder = Peer::on(scratch.lock_path());
        holder.acquire("a");
        let (lock, observations) = observed(lock, Duration::from_millis(1));
        let wait = thread::spawn(move || lock.lock().map(drop));
        let seen: Vec<Observation> =
            (0..5).map(|_| observations.recv_timeout(PATIENCE)).collect::<Result<_, _>>()?;
        assert!(seen.windows(2).all(|two| two[0].elapsed <= two[1].elapsed), "{seen:?}");
        assert!(seen.iter().all(|observation| observation.remaining.is_none()), "{seen:?}");
        assert!(seen[4].elapsed >= Duration::from_millis(4), "{seen:?}");
        holder.release("a");
        wait.join().expect("a wait does not panic")?;
        // The observer is dropped with the handle, which closes the channel.
        until("the observations end", || observations.try_iter().count() == 0);
        assert!(observations.recv().is_err());
    }
    Ok(())
}

#[test]
fn l3_an_observed_wait_keeps_its_deadline() -> Outcome {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock()?;
    let timeout = Duration::from_millis(30);
    for lock in ways(&scratch) {
        let (lock, observations) = observed(lock.timeout(timeout), Duration::from_millis(1));
        let start = Instant::now();
        let error = lock.lock().unwrap_err();
        assert!(start.elapsed() >= timeout);
        assert_eq!(error.kind(), TimedOut, "{error}");
        assert!(error.elapsed() >= timeout, "{error}");
        let seen: Vec<Observation> = observations.try_iter().collect();
        assert!(!seen.is_empty());
        let is_within = |remaining: Option<Duration>| remaining.is_some_and(|it| it <= timeout);
        assert!(seen.iter().all(|observation| is_within(observation.remaining)), "{seen:?}");
    }
    Ok(())
}

#[test]
fn l13_an_observer_can_cancel_a_wait() {
    let (scratch, _, [mut holder]) = peers();
    holder.acquire("a");
    for (lock, timeout) in ways(&scratch).into_iter().flat_map(|lock| {
        [None, Some(Duration::from_secs(3600))].map(|timeout| (lock.clone(), timeout))
    }) {
        let calls = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&calls);
        let cancelling =
            lock.timeout(timeout).observe_every(Duration::from_millis(2)).on_wait(move |_| {
                let mut calls = counter.lock().expect("no thread panics with the mutex");
                *calls += 1;
                if *calls == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        let error = cancelling.lock().unwrap_err();
        assert_eq!(error.kind(), Cancelled, "{error}");
        assert!(error.elapsed() >= Duration::from_millis(4), "{error}");
        assert!(error.to_string().starts_with("cancelled the wait for "), "{error}");
        assert!(error.io_error().is_none(), "no system call has failed");
        assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::Other);
        assert_eq!(*calls.lock().expect("no thread panics with the mutex"), 3);
        assert_eq!(cancelling.state(), Unlocked);
    }
    // No cancelled waiter is in the queue or holds the lock.
    holder.release("a");
    holder.try_acquire("a");
}

#[test]
fn l13_an_observer_that_panics_leaves_no_hold() {
    let scratch = Scratch::new();
    for lock in ways(&scratch) {
        let guard = scratch.lock().lock().expect("the lock is free");
        let panicking = lock.on_wait(|_| resume_unwind(Box::new("observer panic")));
        let panic = catch_unwind(AssertUnwindSafe(|| panicking.lock())).expect_err("it panics");
        assert_eq!(panic.downcast_ref(), Some(&"observer panic"));
        drop(guard);
        assert!(panicking.try_lock().is_ok());
    }
}

/// One observer may observe several waits of a process at the same time.
#[test]
fn l4_one_observer_can_observe_many_waits() -> Outcome {
    let (scratch, _, [mut holder]) = peers();
    holder.acquire("a");
    let (lock, observations) = observed(scratch.lock(), Duration::from_secs(3600));
    let waits: Vec<_> = (0..8)
        .map(|_| {
            let lock = lock.clone();
            thread::spawn(move || lock.lock().map(drop))
        })
        .collect();
    for _ in 0..8 {
        observations.recv_timeout(PATIENCE)?;
    }
    holder.release("a");
    for wait in waits {
        wait.join().expect("a wait does not panic")?;
    }
    assert!(observations.try_recv().is_err(), "each wait should be observed once an hour");
    Ok(())
}
