//! The signal that ends a timed wait. The library chooses one for the process, checks it before each wait, and never takes
//! a signal that the host program uses.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use locket::{Guard, Lock};

use super::probe::{Answer, Call, probe};
use super::signals::{self, Action, COUNTED};
use super::subprocess::in_subprocess;
use super::support::{Scratch, until};
use super::ways::{HOUR, Way, promptly, start, timed};

const TIMEOUT: Duration = Duration::from_millis(5);

/// Returns a lock to wait for until a timeout of 5 ms. A wait without signals is not slow.
fn contended() -> (Scratch, Guard, Lock) {
    Way::Kernel.contended(TIMEOUT)
}

/// Waits for the lock until the deadline, in a new thread that inherits this thread's signal mask. On a busy machine the
/// deadline may pass before the thread sleeps; then the wait is repeated.
#[track_caller]
fn time_out(lock: &Lock) {
    until("a wait with a timer", || {
        let lock = lock.clone();
        let mut timers = 0;
        let count = |_: &Call| {
            timers += 1;
            Answer::Pass
        };
        let took = probe(&[libc::SYS_timer_create], count, move || timed(&lock));
        took.assert_timed_out(TIMEOUT);
        timers > 0
    });
}

#[track_caller]
fn only_claim() -> i32 {
    let claimed = signals::claimed();
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    claimed[0]
}

/// The process claims one signal, the highest, also if many threads wait at the same time. The signal does not restart
/// system calls, and its handler runs on the host's alternate signal stack.
#[test]
fn l13_one_signal_is_claimed() {
    in_subprocess(|| {
        let (_scratch, _held, lock) = contended();
        assert!(signals::claimed().is_empty());
        until("one of the threads waits", || {
            let together = Arc::new(Barrier::new(50));
            let waits = [(); 50].map(|()| {
                let (lock, together) = (lock.clone(), Arc::clone(&together));
                start(move || {
                    together.wait();
                    timed(&lock)
                })
            });
            for wait in waits {
                wait.result().assert_timed_out(TIMEOUT);
            }
            !signals::claimed().is_empty()
        });
        assert_eq!(only_claim(), libc::SIGRTMAX());
        let action = signals::action(libc::SIGRTMAX());
        assert!(!action.restarts());
        assert!(action.flags & libc::SA_ONSTACK != 0);
    });
}

/// A process that never waits with a timeout claims no signal.
#[test]
fn l13_no_signal_is_claimed_without_a_timed_wait() {
    in_subprocess(|| {
        let (scratch, held, lock) = contended();
        assert!(lock.try_lock().is_err());
        let retrying = lock.use_signals(false);
        promptly(move || timed(&retrying)).assert_timed_out(TIMEOUT);
        let untimed = scratch.lock();
        let wait = start(move || untimed.lock());
        wait.assert_running();
        drop(held);
        drop(wait.result().unwrap());
        let timed = scratch.lock().timeout(TIMEOUT);
        drop(timed.lock().unwrap());
        assert!(signals::claimed().is_empty());
    });
}

/// The default action of the signal would end the process.
#[test]
fn l3_a_reset_signal_is_claimed_again() {
    in_subprocess(|| {
        let (_scratch, _held, lock) = contended();
        time_out(&lock);
        let signal = only_claim();
        let ours = signals::action(signal);
        signals::set_action(signal, Action::DEFAULT);
        time_out(&lock);
        assert_eq!(only_claim(), signal);
        assert_eq!(signals::action(signal), ours);
    });
}

#[test]
fn l13_a_signal_that_the_host_has_taken_is_left_to_it() {
    in_subprocess(|| {
        let (_scratch, _held, lock) = contended();
        time_out(&lock);
        let mut ours = only_claim();
        let mut theirs = vec![];
        for action in [Action::of_host(libc::SA_RESTART), Action::IGNORE] {
            signals::set_action(ours, action);
            theirs.push((ours, action));
            time_out(&lock);
            assert!(theirs.iter().all(|&(signal, action)| signals::action(signal) == action));
            ours -= 1;
            assert_eq!(signals::claimed(), (ours..=libc::SIGRTMAX()).collect::<Vec<_>>());
            assert_eq!(COUNTED.load(Ordering::SeqCst), 0, "the host received the library's signal");
        }
    });
}

/// The host may take a signal after the library has looked at it and before the library claims it. The library then gives
/// the signal back.
#[test]
fn l13_a_signal_that_the_host_takes_first_stays_the_hosts() {
    in_subprocess(|| {
        let (_scratch, _held, lock) = contended();
        let theirs = Action::of_host(0);
        let top = libc::SIGRTMAX();
        let mut tries = 0;
        let mut faster = |call: &Call| {
            if call.arguments[0] == u64::from(top.unsigned_abs()) && call.arguments[1] != 0 {
                tries += 1;
                signals::set_action(top, theirs);
            }
            Answer::Pass
        };
        until("a signal is claimed", || {
            let lock = lock.clone();
            let took = probe(&[libc::SYS_rt_sigaction], &mut faster, move || timed(&lock));
            took.assert_timed_out(TIMEOUT);
            signals::claimed().contains(&(top - 1))
        });
        assert_eq!(tries, 2, "one call to claim the signal, one to give it back");
        assert_eq!(signals::action(top), theirs);
        assert_eq!(signals::claimed(), [top - 1, top]);
    });
}

/// `siginterrupt` changes the flags of an existing action. Some hosts call it for all signals. With `SA_RESTART`, `flock`
/// would be restarted forever.
#[test]
fn l3_an_action_that_restarts_calls_is_replaced() {
    in_subprocess(|| {
        let (_scratch, _held, lock) = contended();
        time_out(&lock);
        let signal = only_claim();
        let ours = signals::action(signal);
        signals::set_action(signal, Action { flags: ours.flags | libc::SA_RESTART, ..ours });
        time_out(&lock);
        let mended = signals::claimed().into_iter().any(|it| !signals::action(it).restarts());
        assert!(mended, "no signal interrupts the wait");
    });
}

/// A Go program, for example, has a handler for every signal (os/signal).
#[test]
fn l3_when_every_signal_is_taken_the_wait_retries() {
    in_subprocess(|| {
        let theirs = Action::of_host(libc::SA_RESTART | libc::SA_ONSTACK);
        let catchable = (1..libc::SIGRTMIN().min(32))
            .filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal))
            .chain(signals::real_time());
        let all: Vec<_> = catchable.collect();
        for &signal in &all {
            signals::set_action(signal, theirs);
        }
        let (scratch, held, lock) = contended();
        let short = lock.clone();
        promptly(move || timed(&short)).assert_timed_out(TIMEOUT);
        let long = lock.timeout(HOUR);
        let wait = start(move || long.lock());
        wait.assert_running();
        drop(held);
        let guard = wait.result().unwrap();
        assert!(scratch.lock().try_lock().is_err());
        drop(guard);
        assert!(all.iter().all(|&signal| signals::action(signal) == theirs));
        assert_eq!(COUNTED.load(Ordering::SeqCst), 0, "the host received the library's signal");
    });
}

/// A host can use a signal without an action: it blocks the signal and reads it with `sigwait` or from a signalfd. If the
/// library unblocked it during a wait, the host would lose it.
#[test]
fn l13_a_signal_that_the_host_blocks_is_left_to_it() {
    in_subprocess(|| {
        let theirs = libc::SIGRTMAX();
        let (_scratch, _held, lock) = contended();
        promptly(move || {
            // The test's first thread has an empty mask and would take the signal. So this thread blocks it, like a
            // host that blocks its signals in all threads.
            signals::set_mask(signals::bit(theirs));
            until("a signal is claimed", || {
                timed(&lock).assert_timed_out(TIMEOUT);
                !signals::claimed().is_empty()
            });
            assert_eq!(signals::mask(), signals::bit(theirs));
        });
        assert_eq!(signals::claimed(), [theirs - 1]);
    });
}
