//! Locks on a descriptor that belongs to the caller.
//!
//! - L1: such a lock excludes every other open file description of the file, including those of `lock_file`. It does not
//!   exclude users of the same open file description.
//! - L2, L3: a try does not wait, and a timeout is kept.
//! - L12: errors name the descriptor.
//! - L13: the library does not close the descriptor.
#![cfg(unix)]

use std::fs::{self, File, OpenOptions};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use crate::support::prelude::*;
use locket::lock_fd;

#[test]
fn l1_a_descriptor_and_a_path_exclude_each_other() -> Outcome {
    let scratch = Scratch::new();
    let file = File::create(scratch.lock_path())?;
    let mut peer = Peer::on(scratch.lock_path());
    let guard = lock_fd(&file).lock()?;
    assert_eq!(guard.as_fd().as_raw_fd(), file.as_raw_fd());
    assert!(!peer.finds_free("a"));
    assert!(scratch.lock().try_lock().is_err());
    guard.release()?;
    peer.acquire("a");
    let error = lock_fd(&file).try_lock().expect_err("the peer holds the lock");
    assert_eq!(error.kind(), WouldBlock);
    peer.release("a");
    // The same with an owned descriptor.
    let guard = lock_fd(OwnedFd::from(file)).lock()?;
    assert!(!peer.finds_free("a"));
    let file = File::from(guard.release()?);
    assert!(peer.finds_free("a"));
    assert!(file.metadata().is_ok(), "a release should not close the descriptor");
    drop(lock_fd(file.try_clone()?).lock()?);
    assert!(peer.finds_free("a"), "the drop should unlock although a copy is open");
    assert!(file.metadata().is_ok(), "the drop should close only the guard's descriptor");
    Ok(())
}

#[test]
fn l1_two_descriptions_exclude_each_other() -> Outcome {
    let scratch = Scratch::new();
    let (one, two) = (File::create(scratch.lock_path())?, File::open(scratch.lock_path())?);
    let guard = lock_fd(&one).lock()?;
    assert!(lock_fd(&two).try_lock().is_err());
    let shared = |file| lock_fd(file).shared();
    assert!(shared(&two).try_lock().is_err());
    drop(guard);
    let (_one, _two) = (shared(&one).lock()?, shared(&two).lock()?);
    assert!(scratch.lock().try_lock().is_err());
    scratch.lock().shared().try_lock()?.release()?;
    Ok(())
}

/// Both acquisitions succeed, and the first unlock ends both. flock(2) defines it so.
#[test]
fn l1_users_of_one_description_do_not_exclude_each_other() -> Outcome {
    let scratch = Scratch::new();
    let file = File::create(scratch.lock_path())?;
    let copy = file.try_clone()?;
    let (first, second) = (lock_fd(&file).lock()?, lock_fd(&copy).try_lock()?);
    assert!(scratch.lock().try_lock().is_err());
    drop(first);
    scratch.lock().try_lock()?.release()?;
    // Unlocking a file that is not locked is not an error.
    second.release()?;
    Ok(())
}

#[test]
fn a_guard_can_be_left_without_unlocking() -> Outcome {
    let scratch = Scratch::new();
    let file = File::create(scratch.lock_path())?;
    let lock = lock_fd(&file);
    lock.clone().lock()?.leak();
    assert!(scratch.lock().try_lock().is_err());
    // The lock stays until it is unlocked.
    lock.unlock()?;
    scratch.lock().try_lock()?.release()?;
    lock.unlock()?;
    // It also ends when the last copy of the descriptor is closed.
    let copy = file.try_clone()?;
    drop(lock_fd(file).lock()?.leak());
    assert!(scratch.lock().try_lock().is_err());
    drop(copy);
    // A process that another test has just forked may have a copy for a moment.
    scratch.lock().timeout(PATIENCE).lock()?.release()?;
    Ok(())
}

#[test]
fn l3_a_timeout_is_kept() -> Outcome {
    let scratch = Scratch::new();
    let file = File::create(scratch.lock_path())?;
    let mut peer = Peer::on(scratch.lock_path());
    peer.acquire("a");
    let timeout = Duration::from_millis(30);
    for lock in [lock_fd(&file), lock_fd(&file).use_signals(false), lock_fd(&file).shared()] {
        let lock = lock.retry_period(Duration::from_millis(5));
        let start = Instant::now();
        let error = lock.clone().timeout(timeout).lock().expect_err("the peer holds the lock");
        assert!(start.elapsed() >= timeout);
        assert!(error.is_contended(), "{error}");
        let error =
            lock.on_wait(|_| ControlFlow::Break(())).lock().expect_err("the observer cancels");
        assert!(error.kind() == Cancelled, "{error}");
    }
    Ok(())
}

#[test]
fn l4_a_waiter_is_granted_the_lock() -> Outcome {
    let scratch = Scratch::new();
    let file = File::create(scratch.lock_path())?;
    let guard = scratch.lock().lock()?;
    std::thread::scope(|threads| -> Outcome {
        let (sender, paths) = std::sync::mpsc::channel();
        let waiter = threads.spawn(|| {
            let observed = lock_fd(&file).on_wait(move |wait| {
                let _ = sender.send(wait.path().to_owned());
                ControlFlow::Continue(())
            });
            observed.lock().map(|guard| guard.leak().as_raw_fd())
        });
        let path = paths.recv()?;
        assert_eq!(path, std::path::PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd())));
        guard.release()?;
        waiter.join().expect("no panic")?;
        Ok(())
    })?;
    assert!(scratch.lock().try_lock().is_err());
    Ok(())
}

/// `lock_fd` can lock files that `lock_file` cannot: directories, devices, and a file without a path.
#[test]
fn directories_devices_and_deleted_files_can_be_locked() -> Outcome {
    let scratch = Scratch::new();
    let directory = File::open(scratch.path())?;
    let again = File::open(scratch.path())?;
    let guard = lock_fd(&directory).lock()?;
    assert!(lock_fd(&again).try_lock().is_err());
    drop(guard);
    lock_fd(&again).try_lock()?.release()?;

    // A new device that no other program has: other programs may lock /dev/null.
    let device = pseudo_terminal()?;
    lock_fd(&device).shared().lock()?.release()?;

    let file = File::create(scratch.lock_path())?;
    fs::remove_file(scratch.lock_path())?;
    let guard = lock_fd(&file).lock()?;
    // `lock_file` creates another file at that path, so the two locks do not exclude each other.
    lock_file(scratch.lock_path()).lock()?.release()?;
    guard.release()?;
    Ok(())
}

fn pseudo_terminal() -> Outcome<File> {
    Ok(OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open("/dev/ptmx")?)
}

#[cfg(target_os = "linux")]
#[test]
fn l12_an_error_names_the_descriptor() -> Outcome {
    let scratch = Scratch::new();
    File::create(scratch.lock_path())?;
    // `OpenOptions::custom_flags` masks out `O_ACCMODE`, and in musl that contains `O_PATH`. So rustix opens the file.
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(scratch.lock_path(), flags, rustix::fs::Mode::empty())?;
    let error = lock_fd(&file).lock().expect_err("an O_PATH descriptor cannot be locked");
    let shown = format!("/dev/fd/{}", file.as_raw_fd());
    assert!(error.to_string().starts_with(&format!("cannot lock {shown}: ")), "{error}");
    assert_eq!((error.path().to_str(), error.action()), (Some(&*shown), locket::Action::Lock));
    assert_eq!(error.io_error().and_then(std::io::Error::raw_os_error), Some(libc::EBADF));
    let cause = crate::support::words_of(libc::EBADF);
    assert!(
        error.to_string().ends_with(&cause),
        "the error should have no hint about the file system: {error}"
    );
    assert_eq!(error.kind(), Other);

    // The error of a timeout names the holder if the observer has queried it.
    let file = File::open(scratch.lock_path())?;
    let mut peer = Peer::on(scratch.lock_path());
    peer.acquire("a");
    let lock = lock_fd(&file).timeout(Duration::from_secs(1)).on_wait(|wait| {
        wait.status().map_or(ControlFlow::Break(()), |_| ControlFlow::Continue(()))
    });
    let error = lock.lock().expect_err("the peer holds the lock");
    assert!(error.to_string().contains(&format!("held by pid {}", peer.pid())), "{error}");
    Ok(())
}

/// The number is not an open descriptor. A caller that keeps the rules of `BorrowedFd` does not pass such a number.
#[test]
#[allow(unsafe_code, reason = "a closed number can only be borrowed with unsafe code")]
fn l12_a_closed_descriptor_is_reported_as_the_system_reports_it() {
    // The number is so high that no test opens it.
    // SAFETY: the number is not an open descriptor, so no descriptor is affected.
    let closed = unsafe { std::os::fd::BorrowedFd::borrow_raw(i32::MAX - 1) };
    for lock in [lock_fd(closed), lock_fd(closed).shared()] {
        let error = lock.clone().try_lock().expect_err("the number is not open");
        assert_eq!(error.kind(), Other);
        let cause = crate::support::words_of(libc::EBADF);
        assert!(error.to_string().ends_with(&cause), "{error}");
        let error = lock.unlock().expect_err("the number is not open");
        assert_eq!(error.kind(), Other);
    }
}

/// Parent and child share the open file description. A guard that is dropped in the child does not unlock it.
#[test]
#[allow(unsafe_code, reason = "it forks")]
fn l11_a_child_of_fork_does_not_unlock() -> Outcome {
    let scratch = Scratch::new();
    let file = File::create(scratch.lock_path())?;
    let guard = lock_fd(&file).lock()?;
    // SAFETY: the child makes system calls only, and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(guard);
        // SAFETY: the exit runs no handlers of the parent.
        unsafe { libc::_exit(0) };
    }
    assert_eq!(status_of(child), 0);
    assert!(scratch.lock().try_lock().is_err());
    // SAFETY: the child makes system calls only, except for an error with its path, and exits.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = guard.release().is_err_and(|error| error.kind() == NotLocked);
        // SAFETY: the exit runs no handlers of the parent.
        unsafe { libc::_exit(i32::from(!refused)) };
    }
    assert_eq!(status_of(child), 0, "a release by the child should be an error");
    assert!(scratch.lock().try_lock().is_err());
    guard.release()?;
    scratch.lock().try_lock()?.release()?;
    Ok(())
}

/// A guard of this process excludes the caller's descriptor, and the error names this process.
#[test]
fn l12_a_try_says_that_this_process_holds_the_lock() -> Outcome {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock()?;
    let error = lock_fd(File::open(scratch.lock_path())?).try_lock().expect_err("the lock is held");
    let this = format!(": held by this process (pid {})", std::process::id());
    assert!(error.to_string().ends_with(&this), "{error}");
    Ok(())
}

#[allow(unsafe_code)]
fn status_of(child: libc::pid_t) -> i32 {
    let mut status = -1;
    // SAFETY: the call fills `status`. The process is a child of the test.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status
}
