//! System calls of a wait that are interrupted or fail, at every place, and races that would not occur by chance.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use libc::{c_int, c_long};
use locket::{Action, Lock};

use super::probe::{Answer, Call, WINDOWS_SHARES, probe};
use super::signals::{self, stall};
use super::support::{Scratch, until};
use super::threads::{self, unchanged};
use super::ways::{HOUR, Took, Way, contended, timed};

/// The system calls that open a file. They differ by architecture and C library.
#[cfg(target_arch = "x86_64")]
const OPEN: &[c_long] = &[libc::SYS_openat, libc::SYS_open];
#[cfg(not(target_arch = "x86_64"))]
const OPEN: &[c_long] = &[libc::SYS_openat];
#[cfg(target_arch = "x86_64")]
const STAT: &[c_long] = &[libc::SYS_newfstatat, libc::SYS_statx, libc::SYS_stat];
#[cfg(not(target_arch = "x86_64"))]
const STAT: &[c_long] = &[libc::SYS_newfstatat, libc::SYS_statx];

type Matches = fn(&Call) -> bool;

/// The system calls that a signal can interrupt in an acquisition that finds the lock free.
const PLACES: [(&str, Matches); 4] = [
    ("open", |call| OPEN.contains(&call.number)),
    ("try", Call::is_try),
    ("stat", |call| STAT.contains(&call.number)),
    ("unlock", |call| call.is_flock(libc::LOCK_UN)),
];

/// Returns a handle, without an idle descriptor, of a lock that is free and whose file exists.
fn free(timeout: impl Into<Option<Duration>>) -> (Scratch, Lock) {
    let scratch = Scratch::new();
    drop(scratch.lock().lock().unwrap());
    let lock = scratch.lock().timeout(timeout);
    (scratch, lock)
}

fn all_calls() -> Vec<c_long> {
    [OPEN, STAT, &[libc::SYS_flock]].concat()
}

/// L12: a call that a signal interrupts is made again, after one and after five interruptions.
#[test]
fn l12_interrupted_calls_are_made_again() {
    for (place, matches) in PLACES {
        for times in [1, 5] {
            for timeout in [None, Some(Duration::ZERO), Some(HOUR)] {
                let (scratch, lock) = free(timeout);
                let mut remaining = times;
                let answer = |call: &Call| {
                    let now = remaining > 0 && matches(call);
                    remaining -= usize::from(now);
                    if now { Answer::Fail(libc::EINTR) } else { Answer::Pass }
                };
                let result = probe(&all_calls(), answer, move || lock.lock()?.release());
                result.unwrap_or_else(|error| panic!("{place}, {times} times: {error}"));
                assert_eq!(remaining, 0, "{place}: no call was interrupted");
                assert!(scratch.lock().try_lock().is_ok(), "{place}: the lock is still held");
            }
        }
    }
}

/// L3, L12: signals interrupt every attempt. The call returns `TimedOut`, not before the deadline, and not `Interrupted`.
#[test]
fn l12_endless_interruptions_end_at_the_deadline() {
    for (place, matches) in &PLACES[..3] {
        let timeout = Duration::from_millis(30);
        let (scratch, lock) = free(timeout);
        let answer =
            |call: &Call| if matches(call) { Answer::Fail(libc::EINTR) } else { Answer::Pass };
        let Took { time, result } = probe(&all_calls(), answer, move || timed(&lock));
        let error = result.map(drop).unwrap_err();
        let kind = error.io_error().map(std::io::Error::kind);
        assert_eq!(kind, Some(ErrorKind::TimedOut), "{place}: {error:?}");
        assert!(time >= timeout, "{place}: after {time:?}");
        assert!(scratch.lock().try_lock().is_ok(), "{place}: the lock is still held");
    }
}

/// L3: an interruption comes after half of the timeout. If it restarted the timeout, the deadline would never come. The
/// timer uses the monotonic clock. It fires no later than after the remaining time, and repeatedly from then on.
#[test]
fn l3_an_interrupted_wait_has_a_new_timer_for_the_remaining_time() {
    // On a busy machine the deadline may be over before the wait has begun.
    until("a wait has a second timer", || 2 <= timers_of_one_wait());
}

fn timers_of_one_wait() -> usize {
    let timeout = Duration::from_millis(40);
    let (_scratch, _held, lock) = contended(timeout);
    let (mut clocks, mut timers, mut interruptions) = (Vec::new(), Vec::new(), 0);
    let answer = |call: &Call| {
        if call.is(libc::SYS_timer_create) {
            clocks.push(call.arguments[0]);
        } else if call.is(libc::SYS_timer_settime) {
            timers.push(call.timer());
        } else if call.is_wait() {
            let start = Instant::now();
            until("half of the timeout is over", || start.elapsed() >= timeout / 2);
            interruptions += 1;
            assert!(interruptions <= 2, "the deadline is not coming");
            return Answer::Fail(libc::EINTR);
        }
        Answer::Pass
    };
    let calls = [libc::SYS_timer_create, libc::SYS_timer_settime, libc::SYS_flock];
    probe(&calls, answer, move || timed(&lock)).assert_timed_out(timeout);
    assert!(clocks.iter().all(|&clock| clock == libc::CLOCK_MONOTONIC as u64), "{clocks:?}");
    let is_soon = |again: Duration| !again.is_zero() && again <= Duration::from_millis(1);
    assert!(timers.iter().all(|timer| is_soon(timer.again)), "{timers:?}");
    let limits = [timeout, timeout / 2];
    assert!(timers.iter().zip(limits).all(|(timer, limit)| timer.first <= limit), "{timers:?}");
    timers.len()
}

/// The timer fires before `flock` blocks. A signal handler holds the thread up between the two, for longer than the
/// timeout. A timer that fired only once would be used up by then.
#[test]
fn l3_the_timer_fires_before_the_wait() {
    let timeout = Duration::from_millis(10);
    let (_scratch, _held, lock) = contended(timeout);
    stall::prepare(libc::SIGUSR2);
    let answer = |call: &Call| {
        if call.is(libc::SYS_timer_settime) && !stall::GO_ON.load(Ordering::SeqCst) {
            // The signal stays pending until the call returns. Its handler runs before the thread gets to `flock`.
            signals::send(call.tid, libc::SIGUSR2);
            let tid = call.tid;
            std::thread::spawn(move || {
                until("the thread is held up", || stall::HELD_UP.load(Ordering::SeqCst));
                std::thread::sleep(timeout * 2);
                until("the list shows the timer", || threads::timers_of(tid) == 1);
                stall::GO_ON.store(true, Ordering::SeqCst);
            });
        }
        Answer::Pass
    };
    probe(&[libc::SYS_timer_settime], answer, move || timed(&lock)).assert_timed_out(timeout);
    assert!(stall::HELD_UP.load(Ordering::SeqCst), "the thread was not held up");
}

/// L3: the last attempt comes at or after the deadline. The lock becomes free just before that attempt, after the wait has
/// ended.
#[test]
fn l3_the_last_attempt_is_made_after_the_wait() {
    for way in Way::BOTH {
        let timeout = Duration::from_millis(20);
        let (_scratch, held, lock) = way.contended(timeout);
        let mut held = Some(held);
        let start = Instant::now();
        let answer = |call: &Call| {
            if call.is_try() && start.elapsed() >= timeout {
                drop(held.take());
            }
            Answer::Pass
        };
        let result = probe(&[libc::SYS_flock], answer, move || {
            while start.elapsed() < Duration::from_millis(1) {}
            lock.lock()
        });
        assert!(result.is_ok(), "{way:?}: {result:?}");
        assert!(held.is_none(), "{way:?}: no attempt after the deadline");
    }
}

/// L12, L13: after any error of the blocking call, the timer is deleted and the signal mask is restored.
#[test]
fn l13_an_error_of_the_wait_leaves_nothing_behind() {
    for error in [libc::ENOLCK, libc::EIO, libc::EBADF, libc::ENOSYS] {
        let (scratch, held, lock) = contended(HOUR);
        let answer = |call: &Call| if call.is_wait() { Answer::Fail(error) } else { Answer::Pass };
        let wait = move || unchanged(u64::MAX, || lock.lock().map(drop));
        let failed = probe(&[libc::SYS_flock], answer, wait).unwrap_err();
        assert!(failed.action() == Action::Lock, "{failed}");
        let number = failed.io_error().and_then(std::io::Error::raw_os_error);
        assert_eq!(number, Some(error));
        drop(held);
        assert!(scratch.lock().try_lock().is_ok());
    }
}

/// If the system refuses a timer, a signal action or a change of the mask, a wait retries. It acquires the lock when the
/// lock becomes free, ends at its deadline, and leaves nothing behind.
#[test]
fn l3_a_wait_retries_if_the_system_refuses_a_timer_or_signal() {
    let refused_calls: [(c_long, c_int, Matches); 5] = [
        // A process that has as many queued signals as its limit (`RLIMIT_SIGPENDING`) gets no timer.
        (libc::SYS_timer_create, libc::EAGAIN, |_| true),
        (libc::SYS_timer_create, libc::EPERM, |_| true),
        (libc::SYS_timer_settime, libc::EPERM, |_| true),
        (libc::SYS_rt_sigaction, libc::EPERM, |_| true),
        (libc::SYS_rt_sigprocmask, libc::EPERM, |call| {
            call.arguments[0] == libc::SIG_UNBLOCK as u64
        }),
    ];
    for (call, error, matches) in refused_calls {
        let timeout = Duration::from_millis(20);
        let (_scratch, held, lock) = Way::Kernel.contended(timeout);
        let mut held = Some(held);
        let long_wait = lock.clone().timeout(HOUR);
        let second = Arc::new(AtomicBool::new(false));
        let is_second = Arc::clone(&second);
        let answer = |seen: &Call| {
            if seen.is(call) && matches(seen) {
                if is_second.load(Ordering::SeqCst) {
                    drop(held.take());
                }
                return Answer::Fail(error);
            }
            assert!(!seen.is_wait(), "the thread waits although nothing will wake it");
            Answer::Pass
        };
        let (short_wait, result) = probe(&[call, libc::SYS_flock], answer, move || {
            unchanged(u64::MAX, || {
                let short_wait = timed(&lock);
                second.store(true, Ordering::SeqCst);
                (short_wait, long_wait.lock().map(drop))
            })
        });
        short_wait.assert_timed_out(timeout);
        result.unwrap();
    }
}

/// On a Windows share a held lock is reported as `EACCES`, by the blocking call too, so the wait retries. It pauses no
/// longer than until the deadline.
#[test]
fn l3_contention_on_a_windows_share_does_not_prolong_the_wait() {
    for share in WINDOWS_SHARES {
        let timeout = Duration::from_millis(20);
        let (_scratch, lock) = free(timeout);
        let lock = lock.retry_period(HOUR);
        let answer = |call: &Call| {
            if call.is(libc::SYS_fstatfs) {
                return call.succeed_with(share);
            }
            Answer::Fail(libc::EACCES)
        };
        let took = probe(&[libc::SYS_flock, libc::SYS_fstatfs], answer, move || timed(&lock));
        took.assert_timed_out(timeout);
    }
}

/// At every check the path names another file. Even a single attempt ends, with an error that gives the reason, and a long wait
/// after a thousand attempts.
#[test]
fn l3_a_path_that_always_names_another_file_is_an_error() {
    for timeout in [0, 5, 3_600_000] {
        let (_scratch, lock) = free(Duration::from_millis(timeout));
        let mut attempts = 0;
        let missing = |call: &Call| {
            attempts += u32::from(call.is_try());
            if call.is(libc::SYS_flock) { Answer::Pass } else { Answer::Fail(libc::ENOENT) }
        };
        let calls = [STAT, &[libc::SYS_flock]].concat();
        let error = probe(&calls, missing, move || lock.lock().map(drop)).unwrap_err();
        assert!(error.action() == Action::Verify, "{error}");
        let is_long = timeout > 1_000;
        assert_eq!(attempts == 1_000, is_long, "{attempts} attempts");
    }
}
