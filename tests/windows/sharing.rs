//! - L12: somebody who keeps the file to himself is no contention, but an error of opening.
//! - L3: it is one by the deadline only; until then he is waited for.

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
fn l12_a_file_kept_from_others_is_no_contention() -> Outcome {
    let scratch = Scratch::new();
    let _alone = open(&scratch.lock_path(), 0)?;
    assert_not_opened(scratch.lock().try_lock(), ERROR_SHARING_VIOLATION);
    assert_not_opened(scratch.lock().shared().try_acquire(), ERROR_SHARING_VIOLATION);
    assert_eq!(scratch.lock().state(), State::Unlocked);
    Ok(())
}

#[test]
fn l1_a_file_that_others_may_not_write_is_locked() -> Outcome {
    let scratch = Scratch::new();
    let _reader = open(&scratch.lock_path(), FILE_SHARE_READ)?;
    let guard = scratch.lock().try_lock()?;
    assert!(guard.is_current()?);
    Ok(())
}

#[test]
fn l9_a_file_that_others_may_not_write_is_told_apart() -> Outcome {
    let scratch = Scratch::new();
    let guard = scratch.lock().try_lock()?;
    let _reader = open(&scratch.lock_path(), FILE_SHARE_READ)?;
    assert!(guard.is_current()?);
    guard.release()?;
    Ok(())
}

#[test]
fn l3_a_file_kept_from_others_is_waited_for() -> Outcome {
    let scratch = Scratch::new();
    let alone = open(&scratch.lock_path(), 0)?;
    waited_for(&scratch, || drop(alone))
}

#[test]
fn l3_a_file_kept_from_others_is_an_error_at_the_deadline() -> Outcome {
    let scratch = Scratch::new();
    let _alone = open(&scratch.lock_path(), 0)?;
    an_error_at_the_deadline(&scratch, ERROR_SHARING_VIOLATION);
    Ok(())
}

#[test]
fn l3_a_file_that_is_being_deleted_is_waited_for() -> Outcome {
    let check = "l3_a_file_that_is_being_deleted_is_waited_for";
    if !is_real_windows(check, "Wine lets such a file be opened") {
        return Ok(());
    }
    let scratch = Scratch::new();
    let open_still = open(&scratch.lock_path(), ALL)?;
    delete_at_last_close(&scratch.lock_path())?;
    assert_not_opened(scratch.lock().try_lock(), ERROR_DELETE_PENDING);
    an_error_at_the_deadline(&scratch, ERROR_DELETE_PENDING);
    waited_for(&scratch, || drop(open_still))
}

fn waited_for(scratch: &Scratch, end: impl FnOnce()) -> Outcome {
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
fn an_error_at_the_deadline(scratch: &Scratch, code: u32) {
    let timeout = Duration::from_millis(60);
    let start = Instant::now();
    assert_not_opened(scratch.lock().timeout(timeout).lock(), code);
    assert!(start.elapsed() >= timeout, "early: {:?}", start.elapsed());
}
