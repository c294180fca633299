//! The public API beyond the laws: the names of the standard library, the traits, the accessors of errors.

use std::error::Error;
use std::fs;
use std::hash::Hash;
use std::io;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

use locket::{LockStatus, WaitInfo};

use crate::support::prelude::*;

fn is_shared_between_threads<T: Send + Sync>() {}
fn is_unwind_safe<T: UnwindSafe + RefUnwindSafe>() {}
fn is_plain_data<T: Copy + Eq + Hash + std::fmt::Debug>() {}

#[test]
fn types_have_the_traits_that_their_users_expect() -> Outcome {
    is_shared_between_threads::<Lock>();
    is_shared_between_threads::<Guard>();
    is_shared_between_threads::<LockError>();
    is_shared_between_threads::<WaitInfo>();
    is_unwind_safe::<Lock>();
    is_unwind_safe::<Guard>();
    is_unwind_safe::<LockStatus>();
    is_plain_data::<Mode>();
    is_plain_data::<State>();
    is_plain_data::<ErrorKind>();
    is_plain_data::<Action>();
    assert_eq!((Mode::default(), State::default()), (Mode::Exclusive, Unlocked));
    let (_scratch, lock) = Scratch::with_lock();
    let guard = lock.lock()?;
    // Formatting both at the same time does not deadlock.
    assert!(format!("{lock:?} {guard:?}").contains("test.lock"));
    assert!(format!("{lock:?}").contains("HeldExclusive"));
    Ok(())
}

#[cfg(unix)]
#[test]
fn locks_of_descriptors_have_the_same_traits() {
    is_shared_between_threads::<locket::FdLock<std::fs::File>>();
    is_shared_between_threads::<locket::FdGuard<std::fs::File>>();
    is_unwind_safe::<locket::FdLock<std::fs::File>>();
    is_unwind_safe::<locket::FdGuard<std::fs::File>>();
}

#[test]
fn lock_new_and_lock_file_are_the_same_lock() -> Outcome {
    let scratch = Scratch::new();
    let _held = Lock::new(scratch.lock_path()).lock()?;
    assert_eq!(lock_file(scratch.lock_path()).state(), HeldExclusive);
    Ok(())
}

#[test]
fn l2_l3_the_kind_tells_an_attempt_from_a_wait() -> Outcome {
    let (_scratch, lock) = Scratch::with_lock();
    let _held = lock.lock()?;
    let (zero, short) = (Duration::ZERO, Duration::from_millis(5));
    let attempts = [
        lock.try_lock().err(),
        lock.try_acquire().err(),
        lock.try_lock_shared().err(),
        lock.try_lock_for(zero).err(),
        lock.try_lock_until(Instant::now()).err(),
        lock.clone().timeout(zero).lock().err(),
    ];
    for error in attempts {
        let error = error.expect("it is held");
        assert_eq!((error.kind(), error.elapsed()), (WouldBlock, zero));
        assert!(error.is_contended());
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::WouldBlock);
    }
    let start = Instant::now();
    let waits = [
        lock.try_lock_for(short).err(),
        lock.try_lock_until(Instant::now() + short).err(),
        lock.clone().timeout(short).lock().err(),
        lock.clone().timeout(short).lock_shared().err(),
    ];
    assert!(start.elapsed() >= short * 4);
    for error in waits {
        let error = error.expect("it is held");
        assert_eq!(error.kind(), TimedOut);
        assert!(error.elapsed() >= short && error.is_contended(), "{error}");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::TimedOut);
    }
    Ok(())
}

#[test]
fn l1_lock_shared_excludes_exclusive_holds_only() -> Outcome {
    let (_scratch, lock) = Scratch::with_lock();
    let (_one, _two) = (lock.lock_shared()?, lock.try_lock_shared()?);
    assert_eq!(lock.state(), HeldShared(2));
    assert!(lock.try_lock().is_err_and(|error| error.kind() == WouldBlock));
    Ok(())
}

#[test]
fn a_free_lock_is_acquired_by_each_method() -> Outcome {
    let (_scratch, lock) = Scratch::with_lock();
    lock.try_lock_for(Duration::ZERO)?.release()?;
    lock.try_lock_until(Instant::now())?.release()?;
    lock.lock_shared()?.release()?;
    // The last setting of an option counts.
    lock.clone()
        .create(false)
        .create(true)
        .follow_links(false)
        .follow_links(true)
        .lock()?
        .release()?;
    lock.use_signals(false).use_signals(true).lock()?.release()?;
    Ok(())
}

/// A report that prints an error and its sources prints the cause once.
#[test]
fn l12_the_message_tells_the_cause_once() {
    let error = lock_file(Path::new("")).lock().expect_err("no file has an empty path");
    let source = error.io_error().expect("the system refused").to_string();
    assert_eq!(error.to_string().matches(&source).count(), 1, "{error}");
    assert!(error.source().is_none());
    assert_eq!((error.kind(), error.action()), (InvalidPath, Action::Open));
    // On Windows the system's text has the reason already.
    assert_eq!(error.hint().is_some(), cfg!(unix), "{error}");
    assert!(error.holders().is_empty() && !error.is_contended());
    assert!(format!("{error:?}").contains("InvalidPath"));
}

#[test]
fn an_option_leaves_the_original_handle_unchanged() -> Outcome {
    let (_scratch, lock) = Scratch::with_lock();
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
    let waiter = std::thread::spawn({
        let lock = lock.timeout(None);
        move || lock.lock()
    });
    until_waiting(std::process::id(), &path, 1);
    guard.release()?;
    waiter.join().expect("no panic")?.release()?;
    Ok(())
}

#[test]
fn l12_an_unusable_path_is_an_invalid_path() -> Outcome {
    let scratch = Scratch::new();
    let long = "x".repeat(10_000);
    let directory = scratch.join("directory");
    fs::create_dir(&directory)?;
    let missing = scratch.join("missing").join("test.lock");
    for path in [Path::new(""), Path::new("a\0b"), &scratch.join(&long), &directory, &missing] {
        assert_eq!(lock_file(path).lock().unwrap_err().kind(), InvalidPath, "{path:?}");
    }
    Ok(())
}
