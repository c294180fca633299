//! Sleeps that are shorter than the deadline.

use std::thread;
use std::time::{Duration, Instant};

use crate::deadline::Deadline;
use crate::options::Options;
use crate::os::platform::{Observed, WaitOutcome};

/// Sleeps until the next attempt is due, or until the observer cancels the wait.
pub(super) fn pause_before_retry(
    options: &Options,
    deadline: &Deadline,
    observed: Option<&mut dyn Observed>,
) -> WaitOutcome {
    let period = options.retry_period.min(deadline.remaining().unwrap_or(Duration::MAX));
    if let Some(observed) = observed {
        if observed.start() {
            observed.pause(period);
            return observed.cancelled().map_or(WaitOutcome::Woken, WaitOutcome::Cancelled);
        }
    }
    pause(period);
    WaitOutcome::Woken
}

/// Sleeps, and returns early if a signal comes. `thread::sleep` would sleep again for the rest that it computes, which
/// under a stream of signals never gets shorter; the caller reads the clock instead.
fn pause(period: Duration) {
    if period.is_zero() {
        return thread::yield_now();
    }
    // The longest that every system's clock can represent, and long enough to read ours again.
    let period = period.min(Duration::from_secs(3600));
    if let Ok(period) = period.try_into() {
        let _remaining = rustix::thread::nanosleep(&period);
    }
}

/// Sleeps, which lets a waiter run that was woken on this processor. A busy thread keeps it out, even one that only
/// yields.
pub(super) fn yield_to_waiters(time: Duration) {
    if !oversleeps() {
        return pause(time);
    }
    let start = Instant::now();
    while start.elapsed() < time {
        thread::yield_now();
    }
}

/// Returns whether the host program lets this thread sleep for much longer than it asks for (`PR_SET_TIMERSLACK`).
#[cfg(target_os = "linux")]
fn oversleeps() -> bool {
    const LARGE: libc::c_long = 100_000; // Nanoseconds. The default is 50,000.
    // SAFETY: it changes nothing. (The `prctl` of the C library truncates the answer to an `int`.)
    let slack = unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_TIMERSLACK) };
    !(0..=LARGE).contains(&slack)
}

#[cfg(not(target_os = "linux"))]
fn oversleeps() -> bool {
    false
}
