//! L3, L4, L13: an observer that has not returned does not delay the end of a wait.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use locket::{ErrorKind, Lock};

use super::subprocess::{exit_status, fork, in_subprocess};
use super::support::prelude::*;
use super::threads;
use super::ways::{Way, promptly, start, timed};

const TIMEOUT: Duration = Duration::from_millis(30);
const HOUR: Duration = Duration::from_secs(3600);

/// Makes an observer return.
type Release = Sender<ControlFlow<()>>;

/// Returns a handle whose observer sends a message and then blocks until it receives the value to return.
fn blocking(lock: Lock) -> (Lock, Receiver<()>, Release) {
    let (send_called, called) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let released = Mutex::new(released);
    let lock = lock.on_wait(move |_| {
        send_called.send(()).unwrap();
        // A test that has failed sends nothing.
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
            // The observer cancels after the grant. The lock stays held.
            release.send(ControlFlow::Break(())).unwrap();
            assert!(scratch.lock().try_lock().is_err(), "{way:?}");
            guard.release().unwrap();
        }
    }
}

/// The observer's thread ends when the observer returns, and the observer is dropped with the last handle. Until it
/// returns, the lock can be used as usual.
#[test]
fn l13_an_observer_keeps_its_thread_until_it_returns() {
    let test = "slow_observers::l13_an_observer_keeps_its_thread_until_it_returns";
    in_subprocess(test, || {
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
        assert!(called.recv().is_err(), "the observer should be dropped with the last handle");
        assert_eq!(threads::descriptors(), before.1);
        assert_eq!(threads::timers(), 0);
    });
}

/// Each wait of a handle has its own observer thread. A blocked observer does not delay the observer of the next wait.
#[test]
fn l3_a_blocked_observer_does_not_delay_the_next_observer() {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock().unwrap();
    let first_only = Arc::new(Mutex::new(None));
    let (send_called, called) = mpsc::channel();
    let (_sender, never) = mpsc::channel::<()>();
    *first_only.lock().unwrap() = Some(never);
    let lock = scratch.lock().timeout(HOUR).on_wait(move |_| {
        let never = first_only.lock().unwrap().take();
        send_called.send(never.is_some()).unwrap();
        if let Some(never) = never {
            let _ = never.recv();
        }
        ControlFlow::Break(())
    });
    let first = lock.clone();
    let _blocked = start(move || first.lock().map(drop));
    assert!(called.recv().unwrap());
    let error = promptly(move || lock.lock().map(drop)).unwrap_err();
    assert!(error.kind() == ErrorKind::Cancelled, "{error}");
}

/// A panic after the grant stays on the observer's thread. The hold stays.
#[test]
fn l1_an_observers_panic_after_the_grant_keeps_the_hold() {
    for way in Way::BOTH {
        let scratch = Scratch::new();
        let held = scratch.lock().lock().unwrap();
        let (send_called, called) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let lock = way.of(scratch.lock()).on_wait(move |_| {
            send_called.send(()).unwrap();
            let _ = released.lock().unwrap().recv();
            resume_unwind(Box::new("too late"))
        });
        let wait = start(move || lock.lock());
        called.recv().unwrap();
        drop(held);
        let guard = wait.result().unwrap();
        drop(release);
        until("the observer is dropped", || {
            called.try_recv() == Err(mpsc::TryRecvError::Disconnected)
        });
        assert!(scratch.lock().try_lock().is_err(), "{way:?}");
        guard.release().unwrap();
    }
}

/// An observer forks. The child has only the observer's thread. When that thread returns, the child exits: the wait is
/// the parent's. The parent's wait and hold are not affected.
#[test]
fn l11_an_observer_may_fork() {
    in_subprocess("slow_observers::l11_an_observer_may_fork", || {
        for way in Way::BOTH {
            let scratch = Scratch::new();
            let path = scratch.lock_path();
            let mut holder = Peer::on(&path);
            holder.acquire("a");
            let (send_child, child) = mpsc::channel();
            let lock = way.of(scratch.lock()).observe_every(HOUR).on_wait(move |_| {
                if let Some(child) = fork() {
                    send_child.send(child).unwrap();
                }
                ControlFlow::Break(())
            });
            let wait = start(move || lock.lock());
            let child = child.recv().unwrap();
            let error = wait.result().unwrap_err();
            assert!(error.kind() == ErrorKind::Cancelled, "{error}");
            assert_eq!(exit_status(child), 0, "{way:?}");
            holder.release("a");
            drop(scratch.lock().try_lock().unwrap());
        }
    });
}

/// L4: calls of the observer are at least an interval apart, also if the wait is interrupted more often.
#[test]
fn l4_observations_are_an_interval_apart() {
    for way in Way::BOTH {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        let held = scratch.lock().lock().unwrap();
        let (sender, calls) = mpsc::channel();
        let lock = way.of(scratch.lock()).timeout(10 * TIMEOUT).observe_every(HOUR);
        let lock = lock.on_wait(move |_| {
            sender.send(()).unwrap();
            ControlFlow::Continue(())
        });
        let wait = start(move || timed(&lock));
        calls.recv().unwrap();
        if way == Way::Kernel {
            until_waiting(std::process::id(), &path, 1);
        }
        wait.result().assert_timed_out(10 * TIMEOUT);
        assert_eq!(calls.try_iter().count(), 0, "{way:?}");
        drop(held);
    }
}
