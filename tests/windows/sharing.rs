//! - L12: a file that another program has opened without sharing is not contention, but an error of opening.
//! - L3: a timed or untimed acquisition retries; at the deadline the error is returned.

use std::thread;
use std::time::{Duration, Instant};

use locket::{Action, LockError, State};
use windows_sys::Win32::Foundation::{ERROR_DELETE_PENDING, ERROR_SHARING_VIOLATION};
use windows_sys::Win32::Storage::FileSystem::FILE_SHARE_READ;

use crate::support::{Outcome, PATIENCE, Scratch};
use crate::system::{ALL, delete_at_last_close, is, is_real_windows, open};

#[track_caller]
fn assert_not_opened<T>(outcome: Result<T, LockError>, code: u32) {
    match outcome {
        Err(error)
            if error.action() == Action::Open
                && error.io_error().is_some_and(|source| is(source, code)) => {}
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("it was acquired"),
    }
}

#[test]
fn l12_a_sharing_violation_is_not_contention() -> Outcome {
    let scratch = Scratch::new();
    let _exclusive = open(&scratch.lock_path(), 0)?;
    assert_not_opened(scratch.lock().try_lock(), ERROR_SHARING_VIOLATION);
    assert_not_opened(scratch.lock().shared().try_acquire(), ERROR_SHARING_VIOLATION);
    assert_eq!(scratch.lock().state(), State::Unlocked);
    Ok(())
}

#[test]
fn l1_a_file_that_denies_writing_can_be_locked() -> Outcome {
    let scratch = Scratch::new();
    let _reader = open(&scratch.lock_path(), FILE_SHARE_READ)?;
    let guard = scratch.lock().try_lock()?;
    assert!(guard.is_current()?);
    Ok(())
}

#[test]
fn l9_a_file_that_denies_writing_can_be_identified() -> Outcome {
    let scratch = Scratch::new();
    let guard = scratch.lock().try_lock()?;
    let _reader = open(&scratch.lock_path(), FILE_SHARE_READ)?;
    assert!(guard.is_current()?);
    guard.release()?;
    Ok(())
}

#[test]
fn l3_a_sharing_violation_is_retried() -> Outcome {
    let scratch = Scratch::new();
    let exclusive = open(&scratch.lock_path(), 0)?;
    assert_waited_for(&scratch, || drop(exclusive))
}

#[test]
fn l3_a_sharing_violation_is_an_error_at_the_deadline() -> Outcome {
    let scratch = Scratch::new();
    let _exclusive = open(&scratch.lock_path(), 0)?;
    assert_error_at_the_deadline(&scratch, ERROR_SHARING_VIOLATION);
    Ok(())
}

#[test]
fn l3_a_file_that_is_being_deleted_is_retried() -> Outcome {
    let check = "l3_a_file_that_is_being_deleted_is_retried";
    if !is_real_windows(check, "Wine lets such a file be opened") {
        return Ok(());
    }
    let scratch = Scratch::new();
    let still_open = open(&scratch.lock_path(), ALL)?;
    delete_at_last_close(&scratch.lock_path())?;
    assert_not_opened(scratch.lock().try_lock(), ERROR_DELETE_PENDING);
    assert_error_at_the_deadline(&scratch, ERROR_DELETE_PENDING);
    assert_waited_for(&scratch, || drop(still_open))
}

fn assert_waited_for(scratch: &Scratch, end: impl FnOnce()) -> Outcome {
    let untimed = scratch.lock();
    let timed = scratch.lock().timeout(PATIENCE).retry_period(Duration::from_millis(1));
    let waiters = [untimed, timed].map(|lock| thread::spawn(move || lock.lock().map(drop)));
    thread::sleep(Duration::from_millis(20));
    assert!(!waiters.iter().any(thread::JoinHandle::is_finished), "it cannot be opened yet");
    end();
    for waiter in waiters {
        waiter.join().expect("no panic")?;
    }
    Ok(())
}

#[track_caller]
fn assert_error_at_the_deadline(scratch: &Scratch, code: u32) {
    let timeout = Duration::from_millis(60);
    let start = Instant::now();
    assert_not_opened(scratch.lock().timeout(timeout).lock(), code);
    assert!(start.elapsed() >= timeout, "early: {:?}", start.elapsed());
}
