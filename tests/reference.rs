//! The test suite of the reference implementation, locket.py 1.0.0, case by case.

use std::fmt::Debug;
use std::time::Duration;

use crate::support::prelude::*;

const NO_WAIT: Duration = Duration::ZERO;

#[track_caller]
fn assert_timed_out<T: Debug>(outcome: Result<T, LockError>) {
    let error = outcome.expect_err("the lock is held");
    assert!(error.is_contended(), "{error:?}");
}

#[test]
fn an_uncontested_lock_is_obtained() -> Outcome {
    let scratch = Scratch::new();
    let guard = scratch.lock().lock()?;
    assert_eq!(scratch.lock().state(), HeldExclusive);
    drop(guard);
    Ok(())
}

#[test]
fn an_uncontested_lock_is_obtained_with_a_timeout_of_zero() -> Outcome {
    let scratch = Scratch::new();
    let guard = scratch.lock().timeout(NO_WAIT).lock()?;
    assert_eq!(scratch.lock().state(), HeldExclusive);
    drop(guard);
    Ok(())
}

#[test]
fn the_end_of_the_block_releases() -> Outcome {
    let scratch = Scratch::new();
    let mut turns = 0;
    for _ in 0..2 {
        let _held = scratch.lock().timeout(NO_WAIT).lock()?;
        turns += 1;
    }
    assert_eq!(turns, 2);
    Ok(())
}

#[test]
fn acquire_and_release_control_the_lock() -> Outcome {
    let scratch = Scratch::new();
    let lock = scratch.lock();
    let mut other = Peer::on(scratch.lock_path());
    lock.acquire()?;
    assert!(!other.finds_free("a"));
    lock.release()?;
    assert!(other.finds_free("a"));
    Ok(())
}

#[test]
fn one_object_is_not_obtained_twice() -> Outcome {
    let scratch = Scratch::new();
    let lock = scratch.lock().timeout(NO_WAIT);
    let _held = lock.lock()?;
    assert_timed_out(lock.acquire());
    assert_timed_out(lock.lock());
    Ok(())
}

#[test]
fn one_path_is_not_obtained_twice() -> Outcome {
    let scratch = Scratch::new();
    let one = scratch.lock().timeout(NO_WAIT);
    let other = scratch.lock().timeout(NO_WAIT);
    let _held = one.lock()?;
    assert_timed_out(other.acquire());
    assert_timed_out(other.lock());
    Ok(())
}

#[test]
fn one_path_is_not_obtained_twice_with_different_timeouts() -> Outcome {
    let scratch = Scratch::new();
    let one = scratch.lock().timeout(Duration::from_secs(1));
    let other = scratch.lock().timeout(NO_WAIT);
    let _held = one.lock()?;
    assert_timed_out(other.acquire());
    assert_timed_out(other.lock());
    Ok(())
}

#[test]
fn an_unlocked_lock_cannot_be_released() -> Outcome {
    let scratch = Scratch::new();
    let lock = scratch.lock();
    let error = lock.release().expect_err("the lock is not held");
    assert!(error.to_string().starts_with("cannot release unlocked lock"), "{error}");
    // The same after a successful release.
    lock.acquire()?;
    lock.release()?;
    let error = lock.release().expect_err("the lock is not held");
    assert!(error.to_string().starts_with("cannot release unlocked lock"), "{error}");
    Ok(())
}

#[test]
fn one_path_is_one_lock() -> Outcome {
    let scratch = Scratch::new();
    scratch.lock().acquire()?;
    assert_eq!(scratch.lock().state(), HeldExclusive);
    scratch.lock().release()?;
    assert_eq!(scratch.lock().state(), Unlocked);
    Ok(())
}

#[test]
fn one_path_is_one_lock_with_different_arguments() -> Outcome {
    let scratch = Scratch::new();
    let one = scratch.lock().timeout(Duration::from_secs(1));
    let other = scratch.lock().retry_period(Duration::from_millis(1));
    one.acquire()?;
    assert_eq!(other.state(), HeldExclusive);
    other.release()?;
    assert_eq!(one.state(), Unlocked);
    Ok(())
}

#[test]
fn two_paths_are_two_locks() -> Outcome {
    let scratch = Scratch::new();
    let one = lock_file(scratch.join("one")).timeout(NO_WAIT);
    let other = lock_file(scratch.join("other")).timeout(NO_WAIT);
    let _held = one.lock()?;
    assert_eq!(other.state(), Unlocked);
    let _also_held = other.lock()?;
    Ok(())
}

#[test]
fn a_lock_blocks_until_it_is_available() {
    let (_scratch, path, [mut one, mut other]) = peers();
    one.acquire("a");
    other.start_waiting("w", Acquire("a"), &path);
    one.release("a");
    other.wait_ok("w");
    other.release("a");
}

#[test]
fn a_killed_holder_releases() {
    let (_scratch, path, [mut one, mut other]) = peers();
    one.acquire("a");
    other.start_waiting("w", Acquire("a"), &path);
    one.kill();
    other.wait_ok("w");
}

#[test]
fn a_timeout_of_zero_is_an_error_if_another_process_holds_the_lock() {
    let (scratch, _, [mut one]) = peers();
    let mut other = Peer::with(scratch.lock_path(), &[Timeout(0)]);
    one.acquire("a");
    assert_eq!(other.refuses(Acquire("a")).kind, WouldBlock);
    one.release("a");
    other.acquire("a");
}

#[test]
fn a_timeout_that_passes_is_an_error() {
    let (scratch, _, [mut one]) = peers();
    let mut other = Peer::with(scratch.lock_path(), &[Timeout(100)]);
    one.acquire("a");
    let answer = other.ask(Acquire("a"));
    assert!(answer.took() >= Duration::from_millis(100));
    let refusal = answer.outcome.expect_err("the lock is held");
    assert_eq!(refusal.kind, TimedOut);
    let start = format!("cannot lock {} within ", scratch.lock_path().display());
    assert!(refusal.message.starts_with(&start), "{refusal:?}");
}

#[test]
fn a_lock_that_becomes_free_before_the_timeout_is_acquired() {
    let (_scratch, path, [mut one]) = peers();
    let mut other = Peer::with(&path, &[Timeout(600_000)]);
    one.acquire("a");
    other.start_waiting("w", Acquire("a"), &path);
    one.release("a");
    other.wait_ok("w");
    assert_eq!(other.state("a"), HeldExclusive);
}
