//! The lock on a descriptor of the caller's.
//!
//! - L1: it excludes every other open file description of the file, by path or not, and none of its own users.
//! - L2, L3: a try does not wait; a timeout is kept.
//! - L12: refusals name the descriptor; contention is contention.
//! - L13: the descriptor stays the caller's.
#![cfg(unix)]

use std::fs::{self, File, OpenOptions};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use crate::support::{Outcome, PATIENCE, Peer, Scratch};
use locket::{ErrorKind, lock_fd, lock_file};

#[test]
fn l1_a_descriptor_and_a_path_exclude_each_other() -> Outcome {
    let scratch = Scratch::new();
    let file = File::create(scratch.lock_path())?;
    let mut peer = Peer::with_handle("a", scratch.lock_path(), "");
    let held = lock_fd(&file).lock()?;
    assert_eq!(held.as_fd().as_raw_fd(), file.as_raw_fd());
    assert!(!peer.finds_free("a"));
    assert!(scratch.lock().try_lock().is_err());
    held.release()?;
    peer.ok("acquire a");
    let error = lock_fd(&file).try_lock().expect_err("the peer holds it");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    peer.ok("release a");
    // Owned as well.
    let held = lock_fd(OwnedFd::from(file)).lock()?;
    assert!(!peer.finds_free("a"));
    let file = File::from(held.release()?);
    assert!(peer.finds_free("a"));
    assert!(file.metadata().is_ok(), "it is not closed");
    drop(lock_fd(file.try_clone()?).lock()?);
    assert!(peer.finds_free("a"), "unlocked, though a copy is open");
    assert!(file.metadata().is_ok(), "only its own copy is closed");
    Ok(())
}

#[test]
fn l1_two_descriptions_exclude_each_other() -> Outcome {
    let scratch = Scratch::new();
    let (one, two) = (File::create(scratch.lock_path())?, File::open(scratch.lock_path())?);
    let held = lock_fd(&one).lock()?;
    assert!(lock_fd(&two).try_lock().is_err());
    let shared = |file| lock_fd(file).shared();
    assert!(shared(&two).try_lock().is_err());
    drop(held);
    let (_one, _two) = (shared(&one).lock()?, shared(&two).lock()?);
    assert!(scratch.lock().try_lock().is_err());
    scratch.lock().shared().try_lock()?.release()?;
    Ok(())
}

/// Both succeed, and the first to unlock unlocks for both: as flock(2) has it.
#[test]
fn l1_users_of_one_description_do_not_exclude_each_other() -> Outcome {
    let scratch = Scratch::new();
    let file = File::create(scratch.lock_path())?;
    let copy = file.try_clone()?;
    let (first, second) = (lock_fd(&file).lock()?, lock_fd(&copy).try_lock()?);
    assert!(scratch.lock().try_lock().is_err());
    drop(first);
    scratch.lock().try_lock()?.release()?;
    // What is not locked is unlocked without an error.
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
    // Until it is unlocked,
    lock.unlock()?;
    scratch.lock().try_lock()?.release()?;
    lock.unlock()?;
    // or the last copy is closed.
    let copy = file.try_clone()?;
    drop(lock_fd(file).lock()?.leak());
    assert!(scratch.lock().try_lock().is_err());
    drop(copy);
    // A process that another test has just forked may have copies for a moment.
    scratch.lock().timeout(PATIENCE).lock()?.release()?;
    Ok(())
}

#[test]
fn l3_a_timeout_is_kept() -> Outcome {
    let scratch = Scratch::new();
    let file = File::create(scratch.lock_path())?;
    let mut peer = Peer::with_handle("a", scratch.lock_path(), "");
    peer.ok("acquire a");
    let timeout = Duration::from_millis(30);
    for lock in [lock_fd(&file), lock_fd(&file).use_signals(false), lock_fd(&file).shared()] {
        let lock = lock.retry_period(Duration::from_millis(5));
        let start = Instant::now();
        let error = lock.clone().timeout(timeout).lock().expect_err("the peer holds it");
        assert!(start.elapsed() >= timeout);
        assert!(error.is_contended(), "{error}");
        let error = lock.on_wait(|_| ControlFlow::Break(())).lock().expect_err("it is given up");
        assert!(error.kind() == ErrorKind::Cancelled, "{error}");
    }
    Ok(())
}

#[test]
fn l4_a_waiter_is_granted_the_lock() -> Outcome {
    let scratch = Scratch::new();
    let file = File::create(scratch.lock_path())?;
    let held = scratch.lock().lock()?;
    std::thread::scope(|threads| -> Outcome {
        let (tell, told) = std::sync::mpsc::channel();
        let waiter = threads.spawn(|| {
            let observed = lock_fd(&file).on_wait(move |wait| {
                let _ = tell.send(wait.path().to_owned());
                ControlFlow::Continue(())
            });
            observed.lock().map(|held| held.leak().as_raw_fd())
        });
        let path = told.recv()?;
        assert_eq!(path, std::path::PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd())));
        held.release()?;
        waiter.join().expect("it does not panic")?;
        Ok(())
    })?;
    assert!(scratch.lock().try_lock().is_err());
    Ok(())
}

/// What `lock_file` does not open: directories and devices; and a file that has no path any more.
#[test]
fn what_has_no_lock_file_can_be_locked() -> Outcome {
    let scratch = Scratch::new();
    let directory = File::open(scratch.path())?;
    let again = File::open(scratch.path())?;
    let held = lock_fd(&directory).lock()?;
    assert!(lock_fd(&again).try_lock().is_err());
    drop(held);
    lock_fd(&again).try_lock()?.release()?;

    // A device of the test's own: other programs may lock /dev/null.
    let device = pseudo_terminal()?;
    lock_fd(&device).shared().lock()?.release()?;

    let file = File::create(scratch.lock_path())?;
    fs::remove_file(scratch.lock_path())?;
    let held = lock_fd(&file).lock()?;
    // L9 is of paths: another file has that path now.
    lock_file(scratch.lock_path()).lock()?.release()?;
    held.release()?;
    Ok(())
}

fn pseudo_terminal() -> Outcome<File> {
    Ok(OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOCTTY).open("/dev/ptmx")?)
}

#[cfg(target_os = "linux")]
#[test]
fn l12_a_refusal_names_the_descriptor() -> Outcome {
    let scratch = Scratch::new();
    File::create(scratch.lock_path())?;
    // musl counts O_PATH among the ways to access, which std keeps to itself.
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(scratch.lock_path(), flags, rustix::fs::Mode::empty())?;
    let error = lock_fd(&file).lock().expect_err("it is no open file");
    let shown = format!("/dev/fd/{}", file.as_raw_fd());
    assert!(error.to_string().starts_with(&format!("cannot lock {shown}: ")), "{error}");
    assert_eq!((error.path().to_str(), error.action()), (Some(&*shown), locket::Action::Lock));
    assert_eq!(error.io_error().and_then(std::io::Error::raw_os_error), Some(libc::EBADF));
    let cause = crate::support::words_of(libc::EBADF);
    assert!(error.to_string().ends_with(&cause), "no file system is to blame: {error}");
    assert_eq!(error.kind(), ErrorKind::Other);

    // Contention names the holder, if the observer has asked for it.
    let file = File::open(scratch.lock_path())?;
    let mut peer = Peer::with_handle("a", scratch.lock_path(), "");
    peer.ok("acquire a");
    let lock = lock_fd(&file).timeout(Duration::from_secs(1)).on_wait(|wait| {
        wait.status().map_or(ControlFlow::Break(()), |_| ControlFlow::Continue(()))
    });
    let error = lock.lock().expect_err("the peer has it");
    assert!(error.to_string().contains(&format!("held by pid {}", peer.pid())), "{error}");
    Ok(())
}

/// A number that is no file's, which a caller that keeps to the rules of `BorrowedFd` does not give.
#[test]
#[allow(unsafe_code, reason = "only so is it lent")]
fn l12_a_closed_number_is_what_the_system_says() {
    // Beyond what a process opens, so that no other test gets it.
    // SAFETY: the number is that of no descriptor, so nothing is done to one.
    let closed = unsafe { std::os::fd::BorrowedFd::borrow_raw(i32::MAX - 1) };
    for lock in [lock_fd(closed), lock_fd(closed).shared()] {
        let error = lock.clone().try_lock().expect_err("it is closed");
        assert_eq!(error.kind(), ErrorKind::Other);
        let cause = crate::support::words_of(libc::EBADF);
        assert!(error.to_string().ends_with(&cause), "{error}");
        let error = lock.unlock().expect_err("it is closed");
        assert_eq!(error.kind(), ErrorKind::Other);
    }
}

/// Dropped in a child, the guard leaves the lock to the parent, whose description it is as well.
#[test]
#[allow(unsafe_code, reason = "only a fork is one")]
fn l11_a_child_of_fork_does_not_unlock() -> Outcome {
    let scratch = Scratch::new();
    let file = File::create(scratch.lock_path())?;
    let held = lock_fd(&file).lock()?;
    // SAFETY: the child makes system calls only, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(held);
        // SAFETY: nothing of the parent's is to be run.
        unsafe { libc::_exit(0) };
    }
    assert_eq!(status_of(child), 0);
    assert!(scratch.lock().try_lock().is_err());
    // SAFETY: the child makes system calls only, but for an error with its path, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = held.release().is_err_and(|error| error.kind() == ErrorKind::NotLocked);
        // SAFETY: nothing of the parent's is to be run.
        unsafe { libc::_exit(i32::from(!refused)) };
    }
    assert_eq!(status_of(child), 0, "a release by the child is an error");
    assert!(scratch.lock().try_lock().is_err());
    held.release()?;
    scratch.lock().try_lock()?.release()?;
    Ok(())
}

/// A guard of this process is in the way of its own descriptor, and the error says so.
#[test]
fn l12_a_try_says_that_this_process_holds_the_lock() -> Outcome {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock()?;
    let error = lock_fd(File::open(scratch.lock_path())?).try_lock().expect_err("it is held");
    let this = format!("it is held by this process (pid {})", std::process::id());
    assert!(error.to_string().ends_with(&this), "{error}");
    Ok(())
}

#[allow(unsafe_code)]
fn status_of(child: libc::pid_t) -> i32 {
    let mut status = -1;
    // SAFETY: the call fills `status`; the child is ours.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    status
}
