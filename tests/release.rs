//! - L5: any thread and any handle of the path may release a hold of `acquire`. Of many releases of one hold exactly one
//!   succeeds. Only the guard ends a guard's hold. A release affects no other descriptor.
//!   A hold outlives its handles and its thread.
//! - L6: a release without a hold is an error. The state is then `ReleasedError`, and the lock stays usable. (`faults.rs`
//!   tests unlock calls that fail.)

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::prelude::*;

#[test]
fn l5_any_handle_releases() -> Outcome {
    let (scratch, lock) = Scratch::with_lock();
    lock.acquire()?;
    scratch.lock().release()?;
    lock.acquire()?;
    lock.clone().shared().timeout(std::time::Duration::ZERO).release()?;
    assert_eq!(lock.state(), Unlocked);
    assert!(Peer::on(scratch.lock_path()).finds_free("a"));
    Ok(())
}

#[test]
fn l5_any_thread_releases() -> Outcome {
    let (scratch, lock) = Scratch::with_lock();
    let acquiring = lock.clone();
    thread::spawn(move || acquiring.acquire()).join().expect("no panic")?;
    assert_eq!(lock.state(), HeldExclusive, "the hold should outlive its thread");
    let releasing = lock.clone();
    thread::spawn(move || releasing.release()).join().expect("no panic")?;
    assert!(Peer::on(scratch.lock_path()).finds_free("a"));
    Ok(())
}

#[test]
fn l5_a_second_release_is_an_error() -> Outcome {
    let (_scratch, lock) = Scratch::with_lock();
    lock.acquire()?;
    lock.release()?;
    assert!(lock.release().is_err_and(|error| error.kind() == NotLocked));
    assert!(lock.release().is_err_and(|error| error.kind() == NotLocked));
    lock.acquire()?;
    lock.release()?;
    Ok(())
}

#[test]
fn l5_one_of_a_hundred_releases_succeeds() -> Outcome {
    let scratch = Scratch::new();
    for _ in 0..10 {
        let lock = scratch.lock();
        lock.acquire()?;
        let (released, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let start = Barrier::new(100);
        thread::scope(|scope| {
            for _ in 0..100 {
                scope.spawn(|| {
                    start.wait();
                    let count = match lock.release() {
                        Ok(()) => &released,
                        Err(error) if error.kind() == NotLocked => &refused,
                        Err(other) => panic!("{other}"),
                    };
                    count.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!((released.into_inner(), refused.into_inner()), (1, 99));
        assert_eq!(lock.state(), ReleasedError);
    }
    Ok(())
}

/// Several threads acquire and release at the same time. There are as many releases as acquisitions.
#[test]
fn l5_every_hold_is_released_once() {
    let scratch = Scratch::new();
    for lock in [scratch.lock(), scratch.lock().shared()] {
        let (acquired, released) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        acquired.fetch_add(lock.try_acquire().is_ok().into(), Ordering::Relaxed);
                        released.fetch_add(lock.release().is_ok().into(), Ordering::Relaxed);
                    }
                });
            }
        });
        while lock.release().is_ok() {
            released.fetch_add(1, Ordering::Relaxed);
        }
        assert!(acquired.load(Ordering::Relaxed) > 0);
        assert_eq!(acquired.into_inner(), released.into_inner());
    }
}

#[test]
fn l5_only_the_guard_releases_its_hold() -> Outcome {
    let (scratch, _, [mut other]) = peers();
    let lock = scratch.lock();
    let guard = lock.lock()?;
    for handle in [&lock, &scratch.lock()] {
        assert!(handle.release().is_err_and(|error| error.kind() == NotLocked));
        assert_eq!(lock.state(), HeldExclusive);
        assert!(!other.finds_free("a"), "the guard should still hold the lock");
    }
    guard.release()?;
    assert_eq!(lock.state(), Unlocked);
    assert!(other.finds_free("a"));
    Ok(())
}

#[test]
fn l5_another_process_cannot_release() {
    let (_scratch, _, [mut one, mut other]) = peers();
    one.acquire("a");
    assert_eq!(other.refuses(Release("a")).kind, NotLocked);
    assert!(!other.finds_free("a"));
    one.release("a");
}

/// Threads acquire, release and replace the lock file in a loop, which closes and opens descriptors with the same numbers.
/// Locks that the host has taken on other files stay.
#[cfg(unix)]
#[test]
fn l5_a_release_touches_no_other_descriptor() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let mut peer = Peer::with(&path, &[Timeout(0)]);
    let mut other = Peer::spawn();
    let foreign: Vec<_> = (0..8).map(|n| scratch.join(&format!("foreign_{n}"))).collect();
    for job in 0..3 {
        peer.start(
            &format!("loop_{job}"),
            repeat(1_000_000_000, [attempt(Release("a")), attempt(Acquire("a"))]),
        );
    }
    for (n, file) in foreign.iter().enumerate() {
        std::fs::remove_file(&path).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        peer.open_foreign(&format!("f{n}"), file);
        peer.lock_foreign(&format!("f{n}"), Mode::Exclusive);
    }
    for _ in 0..300 {
        let _ = std::fs::remove_file(&path);
    }
    for (n, file) in foreign.iter().enumerate() {
        other.open_foreign(&format!("f{n}"), file);
        assert!(!other.try_foreign(&format!("f{n}"), Mode::Exclusive));
    }
    for job in 0..3 {
        peer.stop(&format!("loop_{job}"));
        peer.wait_ok(&format!("loop_{job}"));
    }
    Ok(())
}

#[test]
fn l6_a_release_without_a_hold_is_an_error() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let lock = scratch.lock();
    assert_eq!(lock.state(), Unlocked);
    let error = lock.release().expect_err("the lock is not held");
    let message = format!("cannot release unlocked lock: {}", path.display());
    assert_eq!(error.to_string(), message);
    assert_eq!((error.kind(), error.path()), (NotLocked, &*path));
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::InvalidInput);
    assert_eq!(lock.state(), ReleasedError);
    assert!(!path.exists(), "a release should create no file");

    lock.acquire()?;
    assert_eq!(lock.state(), HeldExclusive);
    lock.release()?;
    assert_eq!(lock.state(), Unlocked);
    // A guard clears the state, too.
    lock.release().expect_err("the lock is not held");
    let guard = lock.lock()?;
    assert_eq!(lock.state(), HeldExclusive);
    drop(guard);
    assert_eq!(lock.state(), Unlocked);
    Ok(())
}

#[test]
fn l6_a_failed_acquisition_keeps_the_state() -> Outcome {
    let (scratch, _, [mut holder]) = peers();
    holder.acquire("a");
    let lock = scratch.lock().timeout(std::time::Duration::from_millis(5));
    lock.acquire().expect_err("the lock is held");
    assert_eq!(lock.state(), Unlocked);
    lock.release().expect_err("the lock is not held");
    for failed in [lock.acquire().err(), lock.try_lock().err(), lock.lock().err()] {
        assert!(failed.as_ref().is_some_and(LockError::is_contended), "{failed:?}");
        assert_eq!(lock.state(), ReleasedError);
    }
    holder.release("a");
    lock.lock()?.release()?;
    assert_eq!(lock.state(), Unlocked);
    Ok(())
}

#[test]
fn l5_a_hold_outlives_every_handle() -> Outcome {
    let (scratch, _, [mut other]) = peers();
    {
        let lock = scratch.lock();
        lock.clone().acquire()?;
        drop(lock);
    }
    assert!(!other.finds_free("a"));
    // Handles of other paths that are made and dropped do not end the hold.
    for n in 0..100 {
        drop(lock_file(scratch.join(&n.to_string())));
    }
    let lock = scratch.lock();
    assert_eq!(lock.state(), HeldExclusive);
    assert!(lock.try_lock().is_err_and(|error| error.is_contended()));
    lock.release()?;
    assert_eq!(lock.state(), Unlocked);
    assert!(other.finds_free("a"));
    Ok(())
}

#[test]
fn l5_a_guard_can_be_dropped_in_another_thread() -> Outcome {
    let (scratch, path, [mut other]) = peers();
    // No handle is left.
    let guard = scratch.lock().lock()?;
    assert_eq!(scratch.lock().state(), HeldExclusive);
    other.start_waiting("w", Lock("a", "g"), &path);
    thread::spawn(move || drop(guard)).join().expect("no panic");
    other.wait_ok("w");
    other.drop_guard("g");

    // A guard from a thread that has ended, shared by two other threads.
    let lock = scratch.lock();
    let guard = thread::spawn(move || lock.lock()).join().expect("no panic")?;
    assert!(!other.finds_free("a"));
    thread::scope(|scope| {
        scope.spawn(|| assert!(guard.is_current().is_ok_and(|current| current)));
        scope.spawn(|| assert!(guard.is_current().is_ok_and(|current| current)));
    });
    guard.release()?;
    assert!(other.finds_free("a"));
    Ok(())
}

#[test]
fn l5_a_forgotten_guard_holds_until_the_end_of_the_process() {
    let scratch = Scratch::new();
    let mut holder = Peer::with(scratch.lock_path(), &[Timeout(10)]);
    let mut other = Peer::on(scratch.lock_path());
    holder.lock("a", "g");
    holder.forget_guard("g");
    assert!(!other.finds_free("a"));
    assert_eq!(holder.state("a"), HeldExclusive);
    assert_eq!(holder.refuses(Release("a")).kind, NotLocked);
    assert_eq!(holder.refuses(Acquire("a")).kind, TimedOut);
    holder.drop_handle("a");
    holder.handle("a", scratch.lock_path(), &[]);
    assert_eq!(holder.state("a"), HeldExclusive);
    assert!(!other.finds_free("a"));
    holder.end();
    assert!(other.finds_free("a"));
}

#[test]
fn l6_a_panic_keeps_the_hold_of_acquire() -> Outcome {
    let (scratch, _, [mut other]) = peers();
    let lock = scratch.lock();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        lock.acquire().expect("the lock is free");
        panic!("in the critical section, on purpose");
    }));
    assert!(panicked.is_err());
    assert_eq!(lock.state(), HeldExclusive);
    assert!(!other.finds_free("a"));
    lock.release()?;
    assert!(other.finds_free("a"));
    Ok(())
}

#[test]
fn l6_a_panic_releases_the_hold_of_a_guard() {
    let (scratch, path, [mut waiter]) = peers();
    let lock = scratch.lock();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.lock().expect("the lock is free");
        waiter.start_waiting("w", Acquire("a"), &path);
        panic!("in the critical section, on purpose");
    }));
    assert!(panicked.is_err());
    assert_eq!(lock.state(), Unlocked);
    waiter.wait_ok("w");
    waiter.release("a");
    lock.lock().and_then(Guard::release).expect("the lock should not be poisoned");
}
