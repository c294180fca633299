//! Threads as some hosts have them.
#![allow(unsafe_code)]

use std::thread;
use std::time::{Duration, Instant};

use super::probe::{Answer, Call, probe};
use super::support::{Scratch, until};
use super::ways::{promptly, timed};

const TIMEOUT: Duration = Duration::from_millis(5);

/// A signal's frame needs room, on a thread with as little as the system allows, too.
#[test]
fn l3_a_small_stack_is_enough() {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock().unwrap();
    let lock = scratch.lock().timeout(TIMEOUT);
    let thread = thread::Builder::new().stack_size(16 * 1024);
    let wait = thread.spawn(move || timed(&lock)).unwrap();
    promptly(move || wait.join()).unwrap().assert_timed_out(TIMEOUT);
}

/// A thread that likes to oversleep: an hour for every sleep, but not for a deadline.
#[test]
fn l3_lazy_timers_do_not_prolong_the_wait() {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock().unwrap();
    let lock = scratch.lock().timeout(TIMEOUT);
    let took = promptly(move || {
        oversleep();
        timed(&lock)
    });
    took.assert_timed_out(TIMEOUT);
}

/// Nor for the moment that a busy process leaves the lock to others.
#[test]
fn l4_lazy_timers_do_not_prolong_giving_way() {
    let scratch = Scratch::new();
    let lock = scratch.lock();
    promptly(move || {
        oversleep();
        let start = Instant::now();
        // Several times over: at first after 4, 8 and 16 ms.
        while start.elapsed() < Duration::from_millis(100) {
            lock.acquire().unwrap();
            lock.release().unwrap();
        }
    });
}

/// A sleep may last longer than it should: who has given less than half a millisecond to all of an
/// acquisition is not sent to sleep.
#[test]
fn l3_who_has_next_to_no_time_does_not_give_way() {
    let pauses = |timeout: Option<Duration>| {
        let scratch = Scratch::new();
        let lock = scratch.lock().timeout(timeout);
        let mut pauses = 0;
        let count = |_: &Call| {
            pauses += 1;
            Answer::Pass
        };
        probe(&[libc::SYS_nanosleep], count, move || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(100) {
                lock.acquire().unwrap();
                lock.release().unwrap();
            }
        });
        pauses
    };
    assert_eq!(pauses(Some(Duration::from_micros(400))), 0);
    // The counter-proof. (Nobody gives way who is kept from coming back at once.)
    until("somebody gives way", || pauses(None) > 0);
}

fn oversleep() {
    // SAFETY: it concerns this thread alone.
    let set = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 3_600_000_000_000_u64) };
    assert_eq!(set, 0);
}
