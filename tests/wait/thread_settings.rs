//! Threads with unusual settings: small stacks and large timer slack.
#![allow(unsafe_code)]

use std::thread;
use std::time::{Duration, Instant};

use locket::Lock;

use super::probe::{Answer, Call, probe};
use super::support::{Scratch, until};
use super::ways::{contended, promptly, timed};

const TIMEOUT: Duration = Duration::from_millis(5);

/// A signal frame fits on the smallest stack that the system allows.
#[test]
fn l3_a_small_stack_is_enough() {
    let (_scratch, _held, lock) = contended(TIMEOUT);
    let thread = thread::Builder::new().stack_size(16 * 1024);
    let wait = thread.spawn(move || timed(&lock)).unwrap();
    promptly(move || wait.join()).unwrap().assert_timed_out(TIMEOUT);
}

/// A timer slack of one hour delays every sleep of the thread, but not the deadline.
#[test]
fn l3_timer_slack_does_not_prolong_the_wait() {
    let (_scratch, _held, lock) = contended(TIMEOUT);
    let took = promptly(move || {
        oversleep();
        timed(&lock)
    });
    took.assert_timed_out(TIMEOUT);
}

/// A timer slack of one hour does not prolong the pause in which a process yields to waiters either.
#[test]
fn l4_timer_slack_does_not_prolong_yielding() {
    let scratch = Scratch::new();
    let lock = scratch.lock();
    promptly(move || {
        oversleep();
        reacquire(&lock);
    });
}

/// A sleep may last longer than requested. So an acquisition with a timeout below half a millisecond does not yield.
#[test]
fn l3_a_process_near_its_deadline_does_not_yield() {
    let pauses = |timeout: Option<Duration>| {
        let scratch = Scratch::new();
        let lock = scratch.lock().timeout(timeout);
        let mut pauses = 0;
        let count = |_: &Call| {
            pauses += 1;
            Answer::Pass
        };
        probe(&[libc::SYS_nanosleep], count, move || reacquire(&lock));
        pauses
    };
    assert_eq!(pauses(Some(Duration::from_micros(400))), 0);
    // The check above can fail: without a timeout the process yields. (It yields only if it re-acquires immediately, so
    // on a busy machine a run may have no yield.)
    until("the process yields", || pauses(None) > 0);
}

/// Acquires again and again for 100 ms. The process yields several times: at first after 4, 8 and 16 ms.
fn reacquire(lock: &Lock) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(100) {
        lock.acquire().unwrap();
        lock.release().unwrap();
    }
}

fn oversleep() {
    // SAFETY: the call changes a setting of this thread only.
    let set = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 3_600_000_000_000_u64) };
    assert_eq!(set, 0);
}
