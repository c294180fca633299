//! The thread's signal mask is restored exactly (L13), and no signal of the library stays pending.

use std::time::Duration;

use locket::LockError;

use super::probe::{Answer, Call, probe};
use super::signals;
use super::support::{Scratch, until_waiting};
use super::threads::{self, unchanged};
use super::ways::{HOUR, Way, contended, promptly, race, start, timed};

const TIMEOUT: Duration = Duration::from_millis(2);

/// Returns masks with no signal, all signals, all real-time signals, the highest signal only, all but the highest, the two
/// that the C library reserves and hides, and a pattern.
fn masks() -> [u64; 7] {
    let real_time = signals::real_time().map(signals::bit).sum::<u64>();
    let top = signals::bit(libc::SIGRTMAX());
    [0, u64::MAX, real_time, top, !top, 0b11 << 31, 0xaaaa_aaaa_aaaa_aaaa]
}

#[test]
fn l13_the_mask_is_restored() {
    for way in Way::BOTH {
        for mask in masks() {
            let (scratch, held, lock) = way.contended(TIMEOUT);
            let short = lock.clone();
            let took = promptly(move || unchanged(mask, || timed(&short)));
            took.assert_timed_out(TIMEOUT);
            let wait = start(move || unchanged(mask, || lock.timeout(HOUR).lock().map(drop)));
            match way {
                Way::Kernel => until_waiting(std::process::id(), &scratch.lock_path(), 1),
                Way::Retry => wait.assert_running(),
            }
            drop(held);
            wait.result().unwrap();
        }
    }
}

/// The library deletes the timer first and restores the mask afterwards. So a signal that the timer has sent is delivered
/// while it is unblocked.
#[test]
fn l13_the_mask_is_restored_after_the_timer_is_deleted() {
    let (_scratch, _held, lock) = contended(TIMEOUT);
    let mut restored = 0;
    let answer = |call: &Call| {
        if call.arguments[0] != u64::from(libc::SIG_UNBLOCK.unsigned_abs()) {
            assert_eq!(threads::timers_of(call.tid), 0, "the timer is still there");
            restored += 1;
        }
        Answer::Pass
    };
    let took = probe(&[libc::SYS_rt_sigprocmask], answer, move || {
        signals::set_mask(u64::MAX);
        timed(&lock)
    });
    took.assert_timed_out(TIMEOUT);
    assert!(restored >= 2, "one call of the test and one of the library: {restored}");
}

/// A host that blocks every signal and reads them from a signalfd or with `sigwait` never sees the library's signal, not
/// even if the lock is granted at the moment of the deadline: none is pending after a wait.
#[test]
fn l13_the_host_never_reads_the_librarys_signal() {
    let scratch = Scratch::new();
    let (holder, lock) = (scratch.lock(), scratch.lock().timeout(Duration::from_micros(200)));
    let waits = start(move || {
        signals::set_mask(u64::MAX);
        let before = signals::mask();
        let real_time = signals::real_time().map(signals::bit).sum::<u64>();
        race(holder, 2000, 400, || {
            let result = lock.lock().map(drop);
            assert!(result.as_ref().err().is_none_or(LockError::is_contended), "{result:?}");
            assert_eq!(signals::pending() & real_time, 0, "a signal is left");
            result.is_ok()
        });
        assert_eq!(signals::mask(), before);
    });
    waits.result_of_many();
}

/// The check above can fail.
#[test]
fn l13_a_signal_left_behind_would_be_seen() {
    promptly(|| {
        signals::set_mask(u64::MAX);
        signals::send(signals::tid(), libc::SIGRTMIN());
        assert_ne!(signals::pending() & signals::bit(libc::SIGRTMIN()), 0);
    });
}
