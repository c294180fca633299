//! The thread's signal mask is restored exactly (L13), and no signal of the library stays pending.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use super::probe::{Answer, Call, probe};
use super::signals::{self, SignalFd};
use super::support::{Scratch, until_waiting};
use super::threads;
use super::ways::{Way, promptly, start, timed};

/// Returns masks with no signal, all signals, all real-time signals, the highest signal only, all but the highest, the two
/// that the C library reserves and hides, and a pattern.
fn masks() -> [u64; 7] {
    let real_time = signals::real_time().map(signals::bit).sum::<u64>();
    let top = signals::bit(libc::SIGRTMAX());
    [0, u64::MAX, real_time, top, !top, 0b11 << 31, 0xaaaa_aaaa_aaaa_aaaa]
}

#[test]
fn l13_the_mask_is_restored_after_a_timeout() {
    for way in Way::BOTH {
        for mask in masks() {
            let scratch = Scratch::new();
            let _held = scratch.lock().lock().unwrap();
            let timeout = Duration::from_millis(2);
            let lock = way.of(scratch.lock()).timeout(timeout);
            promptly(move || {
                signals::set_mask(mask);
                let before = signals::mask();
                timed(&lock).assert_timed_out(timeout);
                assert_eq!(signals::mask(), before, "{way:?}: {:x} != {before:x}", signals::mask());
            });
        }
    }
}

#[test]
fn l13_the_mask_is_restored_after_a_grant() {
    for mask in masks() {
        let scratch = Scratch::new();
        let held = scratch.lock().lock().unwrap();
        let lock = scratch.lock().timeout(Duration::from_secs(3600));
        let wait = start(move || {
            signals::set_mask(mask);
            let before = signals::mask();
            let guard = lock.lock().unwrap();
            let after = signals::mask();
            assert_eq!(after, before, "{after:x} != {before:x}");
            drop(guard);
        });
        until_waiting(std::process::id(), &scratch.lock_path(), 1);
        drop(held);
        wait.result();
    }
}

/// The library deletes the timer first and restores the mask afterwards. So a signal that the timer has sent is delivered
/// while it is unblocked.
#[test]
fn l13_the_mask_is_restored_after_the_timer_is_deleted() {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock().unwrap();
    let timeout = Duration::from_millis(2);
    let lock = scratch.lock().timeout(timeout);
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
    took.assert_timed_out(timeout);
    assert!(restored >= 2, "one call of the test and one of the library: {restored}");
}

/// A host that blocks every signal and reads them from a signalfd or with `sigwait` never sees the library's signal, not
/// even if the lock is granted at the moment of the deadline.
#[test]
fn l13_the_host_never_reads_the_librarys_signal() {
    const TURNS: u32 = 2000;
    let scratch = Scratch::new();
    let timeout = Duration::from_micros(200);
    let lock = scratch.lock().timeout(timeout);
    let together = Arc::new(Barrier::new(2));
    let holder = {
        let (lock, together) = (scratch.lock(), Arc::clone(&together));
        start(move || {
            for turn in 0..TURNS {
                let held = lock.lock().unwrap();
                together.wait();
                let release_at = Instant::now() + Duration::from_micros(u64::from(turn) % 400);
                while Instant::now() < release_at {}
                drop(held);
                together.wait();
            }
        })
    };
    let waits = start(move || {
        signals::set_mask(u64::MAX);
        let before = signals::mask();
        let real_time = signals::real_time().map(signals::bit).sum::<u64>();
        let reader = SignalFd::of(real_time);
        let mut granted = 0;
        for _ in 0..TURNS {
            together.wait();
            match lock.lock() {
                Ok(guard) => {
                    granted += 1;
                    drop(guard);
                }
                Err(error) => assert!(error.is_contended()),
            }
            assert_eq!(signals::pending() & real_time, 0, "a signal is left");
            together.wait();
        }
        assert_eq!(reader.read(), None, "the host read the library's signal");
        assert_eq!(signals::take_pending(real_time), None, "the library's signal is pending");
        assert_eq!(signals::mask(), before);
        granted
    });
    let granted = waits.result_of_many();
    holder.result();
    assert!((1..TURNS).contains(&granted), "there was no race: {granted} of {TURNS} granted");
}

/// The check above can fail: each of the three ways shows a signal that is left pending.
#[test]
fn l13_a_signal_left_behind_would_be_seen() {
    promptly(|| {
        signals::set_mask(u64::MAX);
        let signal = libc::SIGRTMIN();
        let reader = SignalFd::of(signals::bit(signal));
        signals::send(signals::tid(), signal);
        assert_eq!(signals::pending() & signals::bit(signal), signals::bit(signal));
        assert_eq!(reader.read(), Some(signal.unsigned_abs()));
        signals::send(signals::tid(), signal);
        assert_eq!(signals::take_pending(signals::bit(signal)), Some(signal));
    });
}
