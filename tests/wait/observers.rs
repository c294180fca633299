//! L4, L13: an observed waiter keeps its place in the queue, and its observer leaves nothing behind.

use std::fs;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use locket::{ErrorKind, Lock, State};

use super::probe::{Answer, probe};
use super::signals;
use super::subprocess::in_subprocess;
use super::support::{Scratch, until_waiting};
use super::threads::{Remains, unchanged};
use super::ways::{HOUR, contended, promptly, start, timed};

const MILLISECOND: Duration = Duration::from_millis(1);

/// Returns a handle whose observer is called at this interval, and a channel that receives one message a call.
pub(crate) fn observed(lock: Lock, interval: Duration) -> (Lock, Receiver<()>) {
    let (sender, calls) = mpsc::channel();
    let lock = lock.observe_every(interval).on_wait(move |_| {
        // The test may have dropped the receiver.
        let _ = sender.send(());
        ControlFlow::Continue(())
    });
    (lock, calls)
}

/// Waits until so many threads of the test are in the kernel's queue.
fn until_queued(scratch: &Scratch, count: usize) {
    until_waiting(std::process::id(), &scratch.lock_path(), count);
}

#[test]
fn l4_an_observed_waiter_keeps_its_place() {
    for timeout in [None, Some(HOUR)] {
        let (scratch, held, lock) = contended(timeout);
        let (observed, calls) = observed(lock.clone(), MILLISECOND);
        let first = start(move || observed.lock().unwrap());
        until_queued(&scratch, 1);
        let second = start(move || lock.lock().unwrap());
        until_queued(&scratch, 2);
        for _ in calls.try_iter().count()..10 {
            calls.recv().unwrap();
        }
        drop(held);
        let guard = first.result();
        second.assert_running();
        drop(guard);
        drop(second.result());
    }
}

/// The check above can fail: a waiter that leaves the queue and returns is behind the others.
#[test]
fn l4_a_waiter_that_leaves_the_queue_loses_its_place() {
    let (scratch, held, lock) = contended(None);
    let (send_leave, leave) = mpsc::channel();
    let leave = Mutex::new(leave);
    let observed = lock.clone().observe_every(MILLISECOND).on_wait(move |_| {
        let received = leave.lock().unwrap().try_recv();
        received.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    });
    let first = {
        let observed = observed.clone();
        start(move || observed.lock().map(drop))
    };
    until_queued(&scratch, 1);
    let second = start(move || lock.lock().unwrap());
    until_queued(&scratch, 2);
    send_leave.send(()).unwrap();
    let error = first.result().unwrap_err();
    assert!(error.kind() == ErrorKind::Cancelled, "{error}");
    // The kernel wakes a waiter behind one that leaves; it queues again.
    until_queued(&scratch, 1);
    let first = start(move || observed.lock().unwrap());
    until_queued(&scratch, 2);
    drop(held);
    let guard = second.result();
    first.assert_running();
    drop(guard);
    drop(first.result());
}

/// The observer is called at its own interval, also in a wait that retries without signals: the retry period is longer.
#[test]
fn l4_observations_do_not_wait_for_the_next_retry() {
    let (_scratch, _held, lock) = contended(None);
    let remaining = AtomicU32::new(3);
    let lock = lock.use_signals(false).retry_period(HOUR).observe_every(MILLISECOND);
    let lock = lock.on_wait(move |_| match remaining.fetch_sub(1, Ordering::SeqCst) {
        1 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    let error = promptly(move || lock.lock().map(drop)).unwrap_err();
    assert!(error.kind() == ErrorKind::Cancelled, "{error}");
}

/// A wait that moves to a replacement file is one wait: the observer is not called again as at a beginning.
#[test]
fn l9_a_replaced_file_begins_no_new_observation() {
    let (scratch, held, lock) = contended(None);
    let (lock, calls) = observed(lock, HOUR);
    let wait = start(move || lock.lock().map(drop));
    until_queued(&scratch, 1);
    calls.recv().unwrap();
    let new = scratch.join("new");
    let next = locket::lock_file(&new).lock().unwrap();
    fs::rename(&new, scratch.lock_path()).unwrap();
    drop(held);
    until_queued(&scratch, 1);
    drop(next);
    wait.result().unwrap();
    assert_eq!(calls.try_iter().count(), 0);
}

#[test]
fn l1_observed_readers_share() {
    let (scratch, held, lock) = contended(None);
    let (lock, _calls) = observed(lock.shared(), MILLISECOND);
    let waits = [(); 2].map(|()| {
        let lock = lock.clone();
        start(move || lock.lock().unwrap())
    });
    until_queued(&scratch, 2);
    drop(held);
    let _guards = waits.map(|wait| wait.result());
    assert_eq!(lock.state(), State::HeldShared(2));
}

/// The lock is granted while the observer cancels the wait. The acquisition then succeeds.
#[test]
fn l1_a_grant_during_the_cancellation_counts() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let held = Mutex::new(Some(scratch.lock().lock().unwrap()));
    let lock = scratch.lock().on_wait(move |_| {
        until_waiting(std::process::id(), &path, 1);
        drop(held.lock().unwrap().take());
        until_waiting(std::process::id(), &path, 0);
        ControlFlow::Break(())
    });
    let guard = promptly(move || lock.lock()).expect("the lock was granted");
    assert!(scratch.lock().try_lock().is_err(), "the lock should be held");
    drop(guard);
    drop(scratch.lock().try_lock().unwrap());
}

/// Nothing is left after waits that ended with a grant, a timeout, a `Break` and a panic.
#[test]
fn l13_nothing_is_left_of_observed_waits() {
    in_subprocess(|| {
        const TURNS: u32 = 200;
        let scratch = Scratch::new();
        // The library keeps one idle descriptor while a handle exists.
        let handle = scratch.lock();
        drop(handle.lock().unwrap());
        let before = Remains::now();
        let held = handle.lock().unwrap();
        let (timed, _calls) = observed(scratch.lock().timeout(3 * MILLISECOND), MILLISECOND);
        let cancelling = scratch.lock().on_wait(|_| ControlFlow::Break(()));
        let panicking = scratch.lock().timeout(HOUR).on_wait(|_| resume_unwind(Box::new("panic")));
        for _ in 0..TURNS {
            unchanged(u64::MAX, || {
                assert!(timed.lock().is_err_and(|error| error.is_contended()));
                assert!(cancelling.lock().is_err_and(|error| error.kind() == ErrorKind::Cancelled));
                assert!(catch_unwind(AssertUnwindSafe(|| panicking.lock())).is_err());
            });
        }
        drop(held);
        before.until_only_these();
        let real_time = signals::real_time().map(signals::bit).sum::<u64>();
        assert_eq!(signals::pending() & real_time, 0, "a signal is left");
    });
}

/// If no thread can be started, the waiting thread does not call the observer itself: the observer could block. It tries
/// again to start a thread.
#[test]
fn l3_without_a_thread_the_observer_is_called_later() {
    let clones = [libc::SYS_clone3, libc::SYS_clone];
    let timeout = 20 * MILLISECOND;
    let (scratch, _held, lock) = contended(timeout);
    let (lock, calls) = observed(lock.retry_period(MILLISECOND), MILLISECOND);
    let mut refused = 0;
    let mut refuse = |_: &_| {
        refused += 1;
        Answer::Fail(libc::EAGAIN)
    };
    let took = probe(&clones, &mut refuse, move || timed(&lock));
    took.assert_timed_out(timeout);
    assert_eq!(calls.try_iter().count(), 0);
    assert!(refused > 0);

    let lock = scratch.lock().timeout(HOUR).retry_period(MILLISECOND);
    let lock = lock.on_wait(|_| ControlFlow::Break(()));
    let mut refusals = 10;
    let mut refuse = |_: &_| {
        if refusals == 0 {
            return Answer::Pass;
        }
        refusals -= 1;
        Answer::Fail(libc::EAGAIN)
    };
    let took = probe(&clones, &mut refuse, move || timed(&lock));
    let kind = took.result.as_ref().map(drop).map_err(locket::LockError::kind);
    assert_eq!(kind, Err(locket::ErrorKind::Cancelled), "{took:?}");
    assert_eq!(refusals, 0);
}

/// If the waiting thread blocks all signals, the observer's thread blocks them too, except the library's own signal.
#[test]
fn l13_the_observer_takes_no_signal_of_the_host() {
    in_subprocess(|| {
        let (_scratch, held, lock) = contended(None);
        let (sender, masks) = mpsc::channel();
        let lock = lock.on_wait(move |_| {
            sender.send(signals::mask()).unwrap();
            ControlFlow::Continue(())
        });
        let wait = start(move || {
            signals::set_mask(u64::MAX);
            lock.lock().map(drop).unwrap();
            signals::mask()
        });
        let during = masks.recv().unwrap();
        drop(held);
        let ours = signals::claimed().into_iter().map(signals::bit).sum::<u64>();
        // Two signals belong to the C library, which unblocks them in every thread that it makes.
        let of_libc = 0b11 << 31;
        assert_eq!(during & !of_libc, wait.result() & !ours & !of_libc);
    });
}
