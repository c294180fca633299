//! L4, L13: an observer costs a waiter neither its place in the queue nor anything else.

use std::fs;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use locket::{ErrorKind, Lock, State};

use super::alone::alone;
use super::probe::{Answer, probe};
use super::signals;
use super::support::{Peer, Scratch, until, until_waiting};
use super::threads;
use super::ways::{Way, promptly, start, timed};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A handle whose observer looks every millisecond, and tells.
fn observed(lock: Lock) -> (Lock, mpsc::Receiver<()>) {
    let (tell, looks) = mpsc::channel();
    let lock = lock.observe_every(MILLISECOND).on_wait(move |_| {
        // Nobody listens when the test has seen enough.
        let _ = tell.send(());
        ControlFlow::Continue(())
    });
    (lock, looks)
}

#[test]
fn l4_a_waiter_that_is_observed_keeps_its_place() {
    for timeout in [None, Some(HOUR)] {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        let held = scratch.lock().lock().unwrap();
        let (lock, looks) = observed(scratch.lock().timeout(timeout));
        let first = start(move || lock.lock().unwrap());
        until_waiting(std::process::id(), &path, 1);
        let mut second = Peer::with_handle("a", &path, "");
        second.start_waiting("w", "acquire a", &path);
        for _ in looks.try_iter().count()..10 {
            looks.recv().unwrap();
        }
        drop(held);
        let guard = first.result();
        second.assert_waiting("w");
        drop(guard);
        second.wait_ok("w");
    }
}

/// The check above can fail: whoever leaves the queue to look around goes to its end.
#[test]
fn l4_who_looks_for_himself_loses_his_place() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let held = scratch.lock().lock().unwrap();
    let (say, leave) = mpsc::channel();
    let leave = Mutex::new(leave);
    let lock = scratch.lock().observe_every(MILLISECOND).on_wait(move |_| {
        let told = leave.lock().unwrap().try_recv();
        told.map_or(ControlFlow::Continue(()), ControlFlow::Break)
    });
    let (tell, left) = mpsc::channel();
    let (call, back) = mpsc::channel();
    let first = start(move || {
        let error = lock.lock().unwrap_err();
        tell.send(()).unwrap();
        assert!(error.kind() == ErrorKind::Cancelled, "{error}");
        back.recv().unwrap();
        lock.lock().unwrap()
    });
    until_waiting(std::process::id(), &path, 1);
    let mut second = Peer::with_handle("a", &path, "");
    second.start_waiting("w", "acquire a", &path);
    say.send(()).unwrap();
    left.recv().unwrap();
    // Who stood behind one who leaves is woken, and queues again.
    until_waiting(second.pid(), &path, 1);
    call.send(()).unwrap();
    until_waiting(std::process::id(), &path, 1);
    drop(held);
    second.wait_ok("w");
    first.assert_running();
    second.ok("release a");
    drop(first.result());
}

/// What is too long for the clock to tell is never, as with a timeout.
#[test]
fn l4_who_never_looks_again_looks_once() {
    for way in Way::BOTH {
        let scratch = Scratch::new();
        let _held = scratch.lock().lock().unwrap();
        let (tell, looks) = mpsc::channel();
        let lock = way.of(scratch.lock()).timeout(50 * MILLISECOND).observe_every(Duration::MAX);
        let lock = lock.on_wait(move |_| {
            tell.send(()).unwrap();
            ControlFlow::Continue(())
        });
        timed(&lock).assert_timed_out(50 * MILLISECOND);
        assert_eq!(looks.try_iter().count(), 1, "{way:?}");
    }
}

/// Without a thread or a signal for it, too: the retry period is not the observer's.
#[test]
fn l4_looks_do_not_wait_for_the_next_try() {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock().unwrap();
    let left = AtomicU32::new(3);
    let lock = scratch.lock().use_signals(false).retry_period(HOUR).observe_every(MILLISECOND);
    let lock = lock.on_wait(move |_| match left.fetch_sub(1, Ordering::SeqCst) {
        1 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    let error = promptly(move || lock.lock().map(drop)).unwrap_err();
    assert!(error.kind() == ErrorKind::Cancelled, "{error}");
}

/// One wait, one observer's account of it: it does not begin anew with another file.
#[test]
fn l9_a_replaced_file_is_no_new_wait_to_its_observer() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let held = scratch.lock().lock().unwrap();
    let (tell, looks) = mpsc::channel();
    let lock = scratch.lock().observe_every(HOUR).on_wait(move |_| {
        tell.send(()).unwrap();
        ControlFlow::Continue(())
    });
    let wait = start(move || lock.lock().map(drop));
    until_waiting(std::process::id(), &path, 1);
    looks.recv().unwrap();
    let new = scratch.join("new");
    let next = locket::lock_file(&new).lock().unwrap();
    fs::rename(&new, &path).unwrap();
    drop(held);
    until_waiting(std::process::id(), &path, 1);
    drop(next);
    wait.result().unwrap();
    assert_eq!(looks.try_iter().count(), 0);
}

#[test]
fn l1_observed_readers_share() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let held = scratch.lock().lock().unwrap();
    let (lock, _looks) = observed(scratch.lock().shared());
    let waits = [(); 2].map(|()| {
        let lock = lock.clone();
        start(move || lock.lock().unwrap())
    });
    until_waiting(std::process::id(), &path, 2);
    drop(held);
    let _guards = waits.map(|wait| wait.result());
    assert_eq!(lock.state(), State::HeldShared(2));
}

/// The lock is granted while the observer is about to give up: then it is held.
#[test]
fn l1_a_grant_in_the_moment_of_giving_up_counts() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let held = Mutex::new(Some(scratch.lock().lock().unwrap()));
    let lock = scratch.lock().on_wait(move |_| {
        until_waiting(std::process::id(), &path, 1);
        drop(held.lock().unwrap().take());
        until_waiting(std::process::id(), &path, 0);
        ControlFlow::Break(())
    });
    let guard = promptly(move || lock.lock()).expect("it was granted");
    assert!(scratch.lock().try_lock().is_err(), "and is held");
    drop(guard);
    drop(scratch.lock().try_lock().unwrap());
}

/// After a grant, a timeout, a Break and a panic.
#[test]
fn l13_nothing_is_left_of_observed_waits() {
    alone("observers::l13_nothing_is_left_of_observed_waits", || {
        const TURNS: u32 = 200;
        let scratch = Scratch::new();
        // One idle descriptor is kept as long as there is a handle.
        let handle = scratch.lock();
        drop(handle.lock().unwrap());
        signals::set_mask(u64::MAX);
        let (mask, threads_before, descriptors) =
            (signals::mask(), threads::threads(), threads::descriptors());
        let held = handle.lock().unwrap();
        let (timed, _looks) = observed(scratch.lock().timeout(3 * MILLISECOND));
        let impatient = scratch.lock().on_wait(|_| ControlFlow::Break(()));
        let nervous =
            scratch.lock().timeout(HOUR).on_wait(|_| resume_unwind(Box::new("seen enough")));
        for _ in 0..TURNS {
            assert!(timed.lock().is_err_and(|error| error.is_contended()));
            assert!(impatient.lock().is_err_and(|error| error.kind() == ErrorKind::Cancelled));
            assert!(catch_unwind(AssertUnwindSafe(|| nervous.lock())).is_err());
            assert_eq!(signals::mask(), mask);
            assert_eq!(threads::timers(), 0);
        }
        drop(held);
        until("the observers' threads end", || threads::threads() == threads_before);
        assert_eq!(threads::descriptors(), descriptors);
        let real_time = signals::real_time().map(signals::bit).sum::<u64>();
        assert_eq!(signals::pending() & real_time, 0, "a signal is left");
    });
}

/// It is seen in the check above, were it left.
#[test]
fn l13_an_observer_is_a_thread_while_the_wait_lasts() {
    alone("observers::l13_an_observer_is_a_thread_while_the_wait_lasts", || {
        let scratch = Scratch::new();
        let held = scratch.lock().lock().unwrap();
        let before = threads::threads();
        let (lock, looks) = observed(scratch.lock());
        let wait = start(move || lock.lock().map(drop));
        looks.recv().unwrap();
        until_waiting(std::process::id(), &scratch.lock_path(), 1);
        assert_eq!(threads::threads(), before + 2, "the waiter and its observer");
        drop(held);
        wait.result().unwrap();
        until("both end", || threads::threads() == before);
    });
}

/// The waiting thread does not call the observer itself, which could block. It tries again to start the thread.
#[test]
fn l3_without_a_thread_to_spare_the_observer_waits_for_one() {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock().unwrap();
    let clones = [libc::SYS_clone3, libc::SYS_clone];
    let timeout = 20 * MILLISECOND;
    let (lock, looks) = observed(scratch.lock().timeout(timeout));
    let lock = lock.retry_period(MILLISECOND);
    let mut refused = 0;
    let mut refuse = |_: &_| {
        refused += 1;
        Answer::Fail(libc::EAGAIN)
    };
    let took = probe(&clones, &mut refuse, move || timed(&lock));
    took.assert_timed_out(timeout);
    assert_eq!(looks.try_iter().count(), 0);
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

/// A host whose threads block all signals finds them blocked in the observer's, too: but for ours,
/// as they are for the waiter.
#[test]
fn l13_the_observer_takes_no_signal_of_the_host() {
    alone("observers::l13_the_observer_takes_no_signal_of_the_host", || {
        let scratch = Scratch::new();
        let held = scratch.lock().lock().unwrap();
        let (tell, masks) = mpsc::channel();
        let lock = scratch.lock().on_wait(move |_| {
            tell.send(signals::mask()).unwrap();
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
        // Two are the C library's own: it lets them into every thread that it makes.
        let of_libc = 0b11 << 31;
        assert_eq!(during & !of_libc, wait.result() & !ours & !of_libc);
    });
}
