//! Unusual and wrong uses of a lock. Each ends in an error or leaves the lock unchanged.
//!
//! - L5: a guard's hold is ended by that guard alone; a hold of `acquire` belongs to the process.
//! - L6: the lock stays usable.
//!
//! Other modules have related tests: repeated releases and releases through another handle are in `release.rs`, `chdir` in
//! `path.rs`, files of other users in `users.rs`, deleted files in `identity.rs` and `is_current.rs`.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::prelude::*;

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
fn l5_a_guard_outlives_every_handle() -> Outcome {
    let (scratch, _, [mut other]) = peers();
    let guard = scratch.lock().lock()?;
    assert!(!other.finds_free("a"));
    assert_eq!(scratch.lock().state(), HeldExclusive);
    drop(guard);
    assert!(other.finds_free("a"));
    Ok(())
}

#[test]
fn l3_a_retry_period_of_zero_is_no_pause() {
    let (_scratch, path, [mut holder]) = peers();
    let mut short = Peer::with(&path, &[RetryPeriod(0), UseSignals(false), Timeout(30)]);
    let mut waiter = Peer::with(&path, &[RetryPeriod(0), UseSignals(false), Timeout(60_000)]);
    holder.acquire("a");
    let answer = short.ask(Acquire("a"));
    assert_eq!(answer.kind(), Some(TimedOut));
    assert!(answer.took() >= Duration::from_millis(30));
    waiter.start("w", Acquire("a"));
    waiter.assert_waiting("w");
    holder.release("a");
    waiter.wait_ok("w");
}

#[test]
fn l3_a_thread_that_waits_for_itself_times_out() -> Outcome {
    let scratch = Scratch::new();
    let lock = scratch.lock().timeout(Duration::from_millis(20));
    let guard = lock.lock()?;
    let start = Instant::now();
    assert!(lock.lock().is_err_and(|error| error.is_contended()));
    assert!(lock.acquire().is_err_and(|error| error.is_contended()));
    assert!(start.elapsed() >= Duration::from_millis(40));
    assert!(guard.is_current()?);
    guard.release()?;
    lock.acquire()?;
    lock.release()?;
    Ok(())
}

#[test]
fn l5_a_guard_can_be_dropped_in_another_thread() -> Outcome {
    let (scratch, path, [mut other]) = peers();
    let guard = scratch.lock().lock()?;
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
fn l6_a_panic_releases_the_hold_of_a_guard() {
    let (scratch, _, [mut other]) = peers();
    let lock = scratch.lock();
    let panicked = thread::spawn(move || {
        let _guard = lock.lock().expect("the lock is free");
        panic!("in the critical section, on purpose");
    });
    assert!(panicked.join().is_err());
    assert!(other.finds_free("a"), "the lock should not be poisoned");
    let lock = scratch.lock();
    assert_eq!(lock.state(), Unlocked);
    lock.lock().and_then(Guard::release).expect("the lock is free");
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
fn l6_a_panic_wakes_a_waiter() {
    let (scratch, path, [mut waiter]) = peers();
    let lock = scratch.lock();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _guard = lock.lock().expect("the lock is free");
        waiter.start_waiting("w", Acquire("a"), &path);
        panic!("in the critical section, on purpose");
    }));
    assert!(panicked.is_err());
    waiter.wait_ok("w");
}

#[test]
fn an_option_leaves_the_original_handle_unchanged() -> Outcome {
    let scratch = Scratch::new();
    let lock = scratch.lock();
    let reader = lock.clone().shared();
    let _held = lock.lock()?;
    assert_eq!(lock.state(), HeldExclusive);
    assert!(reader.try_lock().is_err());
    Ok(())
}

/// A later timeout replaces an earlier one, and `None` removes it.
#[test]
fn the_last_timeout_applies() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let lock = scratch.lock().timeout(Duration::ZERO);
    let guard = lock.lock()?;
    assert!(lock.clone().timeout(None).timeout(Duration::ZERO).lock().is_err());
    let waiter = thread::spawn({
        let lock = lock.timeout(None);
        move || lock.lock()
    });
    crate::support::until_waiting(std::process::id(), &path, 1);
    guard.release()?;
    waiter.join().expect("no panic")?.release()?;
    Ok(())
}

#[test]
fn handles_guards_and_errors_are_send_and_sync() -> Outcome {
    fn assert_send_sync<T: Send + Sync + 'static>(_: &T) {}
    let scratch = Scratch::new();
    let lock: Lock = scratch.lock();
    assert_send_sync(&lock);
    let guard = lock.lock()?;
    assert_send_sync(&guard);
    // Formatting both at the same time does not deadlock.
    assert!(format!("{lock:?} {guard:?}").contains("test.lock"));
    assert!(format!("{lock:?}").contains("HeldExclusive"));
    let error = lock.try_lock().expect_err("the lock is held");
    assert_send_sync(&error);
    Ok(())
}

/// A process with one thread that waits without a timeout for its own hold would wait forever. The call returns an error
/// immediately. The hold stays, and the lock stays usable.
#[cfg(target_os = "linux")]
#[test]
fn l12_a_wait_for_the_own_hold_is_a_deadlock() {
    for (first, second) in [(&[][..], &[][..]), (&[], &[Shared]), (&[Shared], &[])] {
        for acquire in [Lock("a", "g"), Acquire("a")] {
            let (_scratch, path, [mut other]) = peers();
            let mut peer = Peer::with(&path, first);
            peer.handle("second", &path, second);
            peer.ok(&acquire);
            for again in [Lock("second", "h"), Acquire("second")] {
                let refusal = peer.refuses(again);
                assert_eq!(refusal.kind, Deadlock, "{refusal:?}");
                refusal.assert_says("no other thread");
            }
            assert!(!other.finds_free("a"));
            peer.ok(if acquire == Acquire("a") { Release("a") } else { DropGuard("g") });
            peer.acquire("second");
            peer.release("second");
            // With a timeout the wait ends at the deadline, and the error names this process.
            peer.ok(&acquire);
            peer.handle("timed", &path, &[second, &[Timeout(20)]].concat());
            let refusal = peer.refuses(Acquire("timed"));
            assert_eq!(refusal.kind, TimedOut);
            refusal.assert_says("held by this process");
        }
    }
}

/// The same for other kinds of holds and for other paths of the file.
#[cfg(target_os = "linux")]
#[test]
fn l12_a_wait_for_the_own_hold_by_another_path_is_a_deadlock() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    std::fs::File::create(&path)?;
    std::os::unix::fs::symlink(&path, scratch.join("symbolic"))?;
    std::fs::hard_link(&path, scratch.join("hard"))?;
    let aliases = [scratch.join("symbolic"), scratch.join("hard"), scratch.join("./test.lock")];
    let scenes = [
        (&[][..], &[Lock("a", "g")][..], &[][..]),
        (&[Shared], &[Lock("a", "g"), Lock("a", "h"), DropGuard("h")], &[]),
        (&[], &[Lock("a", "g"), InheritOnExec("g"), DropHandle("a")], &[]),
        (&[], &[Lock("a", "g"), InheritOnFork("g"), Fork("c")], &["c"]),
    ];
    for (settings, requests, to) in scenes {
        let mut peer = Peer::with(&path, settings);
        for command in requests {
            peer.ok(command);
        }
        for alias in aliases.iter().chain([&path]) {
            peer.ok(in_child(to, Handle("again", alias.into(), vec![])));
            let refusal = peer.refuses(in_child(to, Acquire("again")));
            assert_eq!(refusal.kind, Deadlock, "{requests:?}, {}: {refusal:?}", alias.display());
        }
    }
    Ok(())
}

/// A hold whose descriptor the host has closed has ended. Another process can hold the lock then, and this process waits
/// for it.
#[cfg(target_os = "linux")]
#[test]
fn l12_a_hold_that_the_host_has_closed_is_not_named() {
    let (_scratch, path, [mut peer]) = peers();
    peer.lock("a", "g");
    peer.lose_descriptor(&path);
    let mut other = Peer::on(&path);
    other.acquire("a");
    let refusal = peer.refuses(TryAcquire("a"));
    assert!(refusal.message.ends_with(": held by another process"), "{refusal:?}");
    peer.start_waiting("w", Acquire("a"), &path);
    other.release("a");
    peer.wait_ok("w");
}

/// If the process has another thread, that thread may release the lock. So the wait is not an error.
#[cfg(target_os = "linux")]
#[test]
fn l12_a_wait_with_another_thread_is_not_a_deadlock() {
    let (_scratch, path, [mut peer]) = peers();
    peer.acquire("a");
    peer.start_waiting("w", Acquire("a"), &path);
    peer.release("a");
    peer.wait_ok("w");
}
