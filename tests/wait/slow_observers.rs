//! L3, L4, L13: a wait is over when it is over, whatever its observer is doing.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use locket::{ErrorKind, Lock};

use super::alone::{alone, exit_status, fork};
use super::support::{Peer, Scratch, until, until_waiting};
use super::threads;
use super::ways::{Way, promptly, start, timed};

const TIMEOUT: Duration = Duration::from_millis(30);
const HOUR: Duration = Duration::from_secs(3600);

/// Makes an observer return.
type Release = Sender<ControlFlow<()>>;

/// A handle whose observer tells when it is called, and then blocks until it is told what to return.
fn blocking(lock: Lock) -> (Lock, Receiver<()>, Release) {
    let (tell, called) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let lock = lock.on_wait(move |_| {
        tell.send(()).unwrap();
        // If the test has failed, nothing is sent.
        released.lock().unwrap().recv().unwrap_or(ControlFlow::Continue(()))
    });
    (lock, called, release)
}

#[test]
fn l3_a_wait_times_out_while_its_observer_blocks() {
    for way in Way::BOTH {
        let scratch = Scratch::new();
        let _held = scratch.lock().lock().unwrap();
        let (lock, called, release) = blocking(way.of(scratch.lock()).timeout(TIMEOUT));
        // A busy machine may need more than one wait to start the thread.
        while called.try_recv().is_err() {
            let lock = lock.clone();
            promptly(move || timed(&lock)).assert_timed_out(TIMEOUT);
        }
        drop(release);
    }
}

#[test]
fn l4_a_grant_returns_while_the_observer_blocks() {
    for way in Way::BOTH {
        for timeout in [None, Some(HOUR)] {
            let scratch = Scratch::new();
            let held = scratch.lock().lock().unwrap();
            let (lock, called, release) = blocking(way.of(scratch.lock()).timeout(timeout));
            let wait = start(move || lock.lock());
            called.recv().unwrap();
            drop(held);
            let guard = wait.result().unwrap();
            // The observer gives up too late: the lock is held.
            release.send(ControlFlow::Break(())).unwrap();
            assert!(scratch.lock().try_lock().is_err(), "{way:?}");
            guard.release().unwrap();
        }
    }
}

/// The thread, and what the observer owns, are gone when it returns; until then the lock is as usable as ever.
#[test]
fn l13_an_observer_that_has_not_returned_keeps_its_thread_until_it_does() {
    let test =
        "slow_observers::l13_an_observer_that_has_not_returned_keeps_its_thread_until_it_does";
    alone(test, || {
        let scratch = Scratch::new();
        let before = (threads::threads(), threads::descriptors());
        let held = scratch.lock().lock().unwrap();
        let (lock, called, release) = blocking(scratch.lock());
        let wait = start(move || lock.lock().map(drop));
        called.recv().unwrap();
        drop(held);
        wait.result().unwrap();
        until("the waiter's thread ends", || threads::threads() == before.0 + 1);
        drop(promptly({
            let lock = scratch.lock();
            move || lock.lock().unwrap()
        }));
        release.send(ControlFlow::Continue(())).unwrap();
        until("the observer's thread ends", || threads::threads() == before.0);
        assert!(called.recv().is_err(), "the observer is dropped with the last handle");
        assert_eq!(threads::descriptors(), before.1);
        assert_eq!(threads::timers(), 0);
    });
}

/// Each wait of one handle has a thread of its own: one that is stuck is not in the way of the next.
#[test]
fn l3_a_stuck_observer_does_not_keep_the_next_wait_from_being_observed() {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock().unwrap();
    let stuck = Arc::new(Mutex::new(None));
    let (tell, called) = mpsc::channel();
    let (_keep, never) = mpsc::channel::<()>();
    *stuck.lock().unwrap() = Some(never);
    let lock = scratch.lock().timeout(HOUR).on_wait(move |_| {
        let never = stuck.lock().unwrap().take();
        tell.send(never.is_some()).unwrap();
        if let Some(never) = never {
            let _ = never.recv();
        }
        ControlFlow::Break(())
    });
    let first = lock.clone();
    let _stuck = start(move || first.lock().map(drop));
    assert!(called.recv().unwrap());
    let error = promptly(move || lock.lock().map(drop)).unwrap_err();
    assert!(error.kind() == ErrorKind::Cancelled, "{error}");
}

/// A panic after the grant is seen on the observer's thread alone: the hold stays.
#[test]
fn l1_a_panic_after_the_grant_is_too_late() {
    for way in Way::BOTH {
        let scratch = Scratch::new();
        let held = scratch.lock().lock().unwrap();
        let (tell, called) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let lock = way.of(scratch.lock()).on_wait(move |_| {
            tell.send(()).unwrap();
            let _ = released.lock().unwrap().recv();
            resume_unwind(Box::new("too late"))
        });
        let wait = start(move || lock.lock());
        called.recv().unwrap();
        drop(held);
        let guard = wait.result().unwrap();
        drop(release);
        until("the observer is gone", || {
            called.try_recv() == Err(mpsc::TryRecvError::Disconnected)
        });
        assert!(scratch.lock().try_lock().is_err(), "{way:?}");
        guard.release().unwrap();
    }
}

/// The child of an observer that forks has the observer's thread alone. When that returns, the child ends: the wait is
/// not its own. Meanwhile the parent's wait and hold are as they would be without it.
#[test]
fn l11_an_observer_may_fork() {
    alone("slow_observers::l11_an_observer_may_fork", || {
        for way in Way::BOTH {
            let scratch = Scratch::new();
            let path = scratch.lock_path();
            let mut holder = Peer::with_handle("a", &path, "");
            holder.ok("acquire a");
            let (tell, child) = mpsc::channel();
            let lock = way.of(scratch.lock()).observe_every(HOUR).on_wait(move |_| {
                if let Some(child) = fork() {
                    tell.send(child).unwrap();
                }
                ControlFlow::Break(())
            });
            let wait = start(move || lock.lock());
            let child = child.recv().unwrap();
            let error = wait.result().unwrap_err();
            assert!(error.kind() == ErrorKind::Cancelled, "{error}");
            assert_eq!(exit_status(child), 0, "{way:?}");
            holder.ok("release a");
            drop(scratch.lock().try_lock().unwrap());
        }
    });
}

/// L4: looks are at least a period apart, however often the wait itself is interrupted.
#[test]
fn l4_looks_are_a_period_apart_however_often_a_wait_is_woken() {
    for way in Way::BOTH {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        let held = scratch.lock().lock().unwrap();
        let (tell, looks) = mpsc::channel();
        let lock = way.of(scratch.lock()).timeout(10 * TIMEOUT).observe_every(HOUR);
        let lock = lock.on_wait(move |_| {
            tell.send(()).unwrap();
            ControlFlow::Continue(())
        });
        let wait = start(move || timed(&lock));
        looks.recv().unwrap();
        if way == Way::Kernel {
            until_waiting(std::process::id(), &path, 1);
        }
        wait.result().assert_timed_out(10 * TIMEOUT);
        assert_eq!(looks.try_iter().count(), 0, "{way:?}");
        drop(held);
    }
}
