//! L3, L4, L13: an observer that has not returned does not delay the end of a wait.

use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use locket::{ErrorKind, Lock};

use super::observers::observed;
use super::subprocess::{exit_status, fork, in_subprocess};
use super::support::{PATIENCE, Scratch, until};
use super::threads::Remains;
use super::ways::{HOUR, Way, contended, promptly, start, timed};

const TIMEOUT: Duration = Duration::from_millis(30);

/// Makes an observer return, or panic.
type Release = Sender<fn() -> ControlFlow<()>>;

/// Returns a handle whose observer sends a message and then blocks until it receives what to do.
fn blocking(lock: Lock) -> (Lock, Receiver<()>, Release) {
    let (send_called, called) = mpsc::channel();
    let (release, released) = mpsc::channel::<fn() -> ControlFlow<()>>();
    let released = Mutex::new(released);
    let lock = lock.on_wait(move |_| {
        send_called.send(()).unwrap();
        // A test that has failed sends nothing.
        let end = released.lock().unwrap().recv();
        end.map_or(ControlFlow::Continue(()), |end| end())
    });
    (lock, called, release)
}

#[test]
fn l3_a_wait_times_out_while_its_observer_blocks() {
    for way in Way::BOTH {
        let (_scratch, _held, lock) = way.contended(TIMEOUT);
        let (lock, called, release) = blocking(lock);
        // A busy machine may need more than one wait to start the thread.
        while called.try_recv().is_err() {
            let lock = lock.clone();
            promptly(move || timed(&lock)).assert_timed_out(TIMEOUT);
        }
        drop(release);
    }
}

/// After the grant the observer cancels the wait, or panics. The hold stays, and so does the panic on the observer's thread.
#[test]
fn l4_a_grant_returns_while_the_observer_blocks() {
    let ends: [fn() -> ControlFlow<()>; 2] =
        [|| ControlFlow::Break(()), || resume_unwind(Box::new("too late"))];
    for way in Way::BOTH {
        for (timeout, end) in
            [None, Some(HOUR)].into_iter().flat_map(|it| ends.map(|end| (it, end)))
        {
            let (scratch, held, lock) = way.contended(timeout);
            let (lock, called, release) = blocking(lock);
            let wait = start(move || lock.lock());
            called.recv().unwrap();
            drop(held);
            let guard = wait.result().unwrap();
            release.send(end).unwrap();
            until("the observer is dropped", || {
                called.try_recv() == Err(mpsc::TryRecvError::Disconnected)
            });
            assert!(scratch.lock().try_lock().is_err(), "{way:?}");
            guard.release().unwrap();
        }
    }
}

/// The observer's thread ends when the observer returns, and the observer is dropped with the last handle. Until it
/// returns, the lock can be used as usual.
#[test]
fn l13_an_observer_keeps_its_thread_until_it_returns() {
    in_subprocess(|| {
        let scratch = Scratch::new();
        let before = Remains::now();
        let held = scratch.lock().lock().unwrap();
        let (lock, called, release) = blocking(scratch.lock());
        let wait = start(move || lock.lock().map(drop));
        called.recv().unwrap();
        drop(held);
        wait.result().unwrap();
        let with_observer = before.threads + 1;
        until("the waiter's thread ends", || Remains::now().threads == with_observer);
        let lock = scratch.lock();
        promptly(move || lock.lock().map(drop)).unwrap();
        release.send(|| ControlFlow::Continue(())).unwrap();
        assert!(called.recv().is_err(), "the observer should be dropped with the last handle");
        before.until_only_these();
    });
}

/// Each wait of a handle has its own observer thread. A blocked observer does not delay the observer of the next wait.
#[test]
fn l3_a_blocked_observer_does_not_delay_the_next_observer() {
    let (_scratch, _held, lock) = contended(HOUR);
    let (lock, called, release) = blocking(lock);
    let waits = [(); 2].map(|()| {
        let lock = lock.clone();
        let wait = start(move || lock.lock().map(drop));
        called.recv_timeout(PATIENCE).expect("each wait should be observed");
        wait
    });
    for _ in 0..2 {
        release.send(|| ControlFlow::Break(())).unwrap();
    }
    for wait in waits {
        let error = wait.result().unwrap_err();
        assert!(error.kind() == ErrorKind::Cancelled, "{error}");
    }
}

/// An observer forks. The child has only the observer's thread. When that thread returns, the child exits: the wait is
/// the parent's. The parent's wait and hold are not affected.
#[test]
fn l11_an_observer_may_fork() {
    in_subprocess(|| {
        for way in Way::BOTH {
            let (scratch, held, lock) = way.contended(None);
            let (send_child, child) = mpsc::channel();
            let lock = lock.observe_every(HOUR).on_wait(move |_| {
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
            drop(held);
            drop(scratch.lock().try_lock().unwrap());
        }
    });
}

/// L4: calls of the observer are at least an interval apart, also if the wait is interrupted more often. An interval that is
/// too long for the clock means never, as it does for a timeout.
#[test]
fn l4_observations_are_an_interval_apart() {
    for way in Way::BOTH {
        for interval in [HOUR, Duration::MAX] {
            let (_scratch, _held, lock) = way.contended(10 * TIMEOUT);
            let (lock, calls) = observed(lock, interval);
            let wait = start(move || timed(&lock));
            calls.recv().unwrap();
            wait.result().assert_timed_out(10 * TIMEOUT);
            assert_eq!(calls.try_iter().count(), 0, "{way:?}");
        }
    }
}
