//! The signal that ends a wait: chosen once, checked before each wait, never taken from a host.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use locket::{Guard, Lock};

use super::alone::{Want, alone, in_want};
use super::probe::{Answer, Call, probe};
use super::signals::{self, Action, COUNTED};
use super::support::{Scratch, until};
use super::ways::{promptly, start, timed};

const TIMEOUT: Duration = Duration::from_millis(5);

/// A lock that is held, and a handle that waits for it for a moment.
fn contended() -> (Scratch, Guard, Lock) {
    let scratch = Scratch::new();
    let held = scratch.lock().lock().unwrap();
    let lock = scratch.lock().timeout(TIMEOUT).retry_period(Duration::from_millis(1));
    (scratch, held, lock)
}

/// A wait to its deadline, in a thread whose mask is that of the process's first. On a busy machine
/// the deadline may pass before the wait has begun: then once more.
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

/// One signal for the whole process, from the top, whoever comes first; it does not make calls
/// start over, and it runs on the stack that the host has set aside for signals.
#[test]
fn l13_one_signal_is_claimed() {
    alone("claims::l13_one_signal_is_claimed", || {
        let (_scratch, _held, lock) = contended();
        assert!(signals::claimed().is_empty());
        until("one of them waits", || {
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

/// Nobody who never waits with a timeout has a signal claimed.
#[test]
fn l13_no_signal_is_claimed_without_a_timed_wait() {
    alone("claims::l13_no_signal_is_claimed_without_a_timed_wait", || {
        let (scratch, held, lock) = contended();
        assert!(lock.try_lock().is_err());
        let without_signals = lock.use_signals(false);
        promptly(move || timed(&without_signals)).assert_timed_out(TIMEOUT);
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

/// The default action of a signal without a function is the end of the process.
#[test]
fn l3_a_reset_signal_is_claimed_again() {
    alone("claims::l3_a_reset_signal_is_claimed_again", || {
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
    alone("claims::l13_a_signal_that_the_host_has_taken_is_left_to_it", || {
        let (_scratch, _held, lock) = contended();
        time_out(&lock);
        let first = only_claim();
        let theirs = Action::of_host(libc::SA_RESTART);
        signals::set_action(first, theirs);
        time_out(&lock);
        assert_eq!(signals::action(first), theirs);
        assert_eq!(signals::claimed(), [first - 1, first]);
        assert_eq!(COUNTED.load(Ordering::SeqCst), 0, "the host had a signal of ours");

        // And once more, in the other ways in which a signal can be in use.
        signals::set_action(first - 1, Action::IGNORE);
        time_out(&lock);
        assert_eq!(signals::action(first - 1), Action::IGNORE);
        assert_eq!(signals::action(first), theirs);
        assert_eq!(signals::claimed(), [first - 2, first - 1, first]);
        assert_eq!(COUNTED.load(Ordering::SeqCst), 0, "the host had a signal of ours");
    });
}

/// The host may take a signal between our look at it and our taking it: it gets it back.
#[test]
fn l13_a_host_that_was_faster_keeps_its_signal() {
    alone("claims::l13_a_host_that_was_faster_keeps_its_signal", || {
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
        assert_eq!(tries, 2, "to take it, and to give it back");
        assert_eq!(signals::action(top), theirs);
        assert_eq!(signals::claimed(), [top - 1, top]);
    });
}

/// `siginterrupt` changes flags of whatever action there is, and hosts have been seen to do that
/// to all signals. `flock` would be started over for ever.
#[test]
fn l3_an_action_made_to_restart_is_mended() {
    alone("claims::l3_an_action_made_to_restart_is_mended", || {
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

/// As in a host of Go's, which has a function for every signal there is.
#[test]
fn l3_when_every_signal_is_taken_the_wait_retries() {
    alone("claims::l3_when_every_signal_is_taken_the_wait_retries", || {
        let theirs = Action::of_host(libc::SA_RESTART | libc::SA_ONSTACK);
        let catchable = (1..libc::SIGRTMIN().min(32))
            .filter(|signal| ![libc::SIGKILL, libc::SIGSTOP].contains(signal))
            .chain(signals::real_time());
        let all: Vec<_> = catchable.collect();
        for &signal in &all {
            signals::set_action(signal, theirs);
        }
        let (scratch, held, lock) = contended();
        let hasty = lock.clone();
        promptly(move || timed(&hasty)).assert_timed_out(TIMEOUT);
        let patient = lock.timeout(Duration::from_secs(3600));
        let wait = start(move || patient.lock());
        wait.assert_running();
        drop(held);
        let guard = wait.result().unwrap();
        assert!(scratch.lock().try_lock().is_err());
        drop(guard);
        assert!(all.iter().all(|&signal| signals::action(signal) == theirs));
        assert_eq!(COUNTED.load(Ordering::SeqCst), 0, "the host had a signal of ours");
    });
}

/// A signal can be in use without an action: blocked, and read with `sigwait` or from a signalfd.
/// Unblocked for a wait, it would be lost to its reader.
#[test]
fn l13_a_signal_that_the_host_blocks_is_left_to_it() {
    alone("claims::l13_a_signal_that_the_host_blocks_is_left_to_it", || {
        let theirs = libc::SIGRTMAX();
        let (_scratch, _held, lock) = contended();
        promptly(move || {
            // The thread that started the test is in `poll` for us, and would take a signal: its
            // mask is empty. This host has its signals blocked in all threads.
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

/// Without a signal or a timer to spare, everything that holds of timeouts holds all the same.
#[test]
fn l3_the_laws_hold_in_want() {
    for want in [Want::Signals, Want::Timers] {
        let passed = in_want("timeouts", want);
        assert!(passed >= 7, "{want:?}: {passed} tests");
    }
}
