//! The two ways in which the library waits, a lock to wait for, and helpers that run calls which may hang.

use std::sync::mpsc::{self, Receiver};
#[cfg(target_os = "linux")]
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use locket::{Guard, Lock, LockError};

use super::support::{PATIENCE, Scratch};

pub(crate) const HOUR: Duration = Duration::from_secs(3600);

/// Returns a guard of a new lock, and a handle that waits for that lock.
pub(crate) fn contended(timeout: impl Into<Option<Duration>>) -> (Scratch, Guard, Lock) {
    let scratch = Scratch::new();
    let held = scratch.lock().lock().expect("a new lock should be free");
    let lock = scratch.lock().timeout(timeout);
    (scratch, held, lock)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The waiter sleeps in the kernel's queue. A timer wakes it at its deadline.
    #[cfg(target_os = "linux")]
    Kernel,
    /// The waiter tries again every millisecond.
    Retry,
}

impl Way {
    #[cfg(target_os = "linux")]
    pub(crate) const BOTH: [Self; 2] = [Self::Kernel, Self::Retry];
    #[cfg(not(target_os = "linux"))]
    pub(crate) const BOTH: [Self; 1] = [Self::Retry];

    /// Returns a lock as [`contended`] does, with a handle that waits in this way.
    pub(crate) fn contended(self, timeout: impl Into<Option<Duration>>) -> (Scratch, Guard, Lock) {
        let (scratch, held, lock) = contended(timeout);
        (scratch, held, self.of(lock))
    }

    /// Returns a handle that waits in this way. The retry period is short, so that a wait that the system refuses a timer
    /// or a signal is not slow.
    pub(crate) fn of(self, lock: Lock) -> Lock {
        let lock = lock.retry_period(Duration::from_millis(1));
        match self {
            #[cfg(target_os = "linux")]
            Self::Kernel => lock,
            Self::Retry => lock.use_signals(false),
        }
    }
}

/// The result of a call, and how long it took by the test's clock.
#[derive(Debug)]
pub(crate) struct Took {
    pub(crate) time: Duration,
    pub(crate) result: Result<Guard, LockError>,
}

pub(crate) fn timed(lock: &Lock) -> Took {
    let start = Instant::now();
    let result = lock.lock();
    Took { time: start.elapsed(), result }
}

impl Took {
    /// Asserts that the call timed out, and not early, by the error's elapsed time and by the test's clock.
    #[track_caller]
    pub(crate) fn assert_timed_out(&self, timeout: Duration) {
        match &self.result {
            Err(error) if error.kind() == locket::ErrorKind::TimedOut => {
                let waited = error.elapsed();
                assert!(waited >= timeout, "waited {waited:?} of {timeout:?}");
                assert!(self.time >= timeout, "took {:?} of {timeout:?}", self.time);
            }
            other => panic!("the call should have timed out: {other:?}"),
        }
    }
}

/// A call that runs in another thread. If the call hangs, the test does not hang.
pub(crate) struct Running<T>(Receiver<thread::Result<T>>);

pub(crate) fn start<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Running<T> {
    let (sender, result) = mpsc::channel();
    thread::spawn(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
        // The receiver is gone if the test has failed already.
        let _ = sender.send(result);
    });
    Running(result)
}

/// Runs a call that must not hang, and returns its result.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn promptly<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    start(call).result()
}

impl<T> Running<T> {
    #[track_caller]
    pub(crate) fn result(self) -> T {
        let result = self.result_within(PATIENCE);
        result.unwrap_or_else(|| panic!("no result within {PATIENCE:?}"))
    }

    /// Returns the result of a call that makes thousands of waits. Its limit is longer.
    #[track_caller]
    pub(crate) fn result_of_many(self) -> T {
        let limit = PATIENCE * 6;
        self.result_within(limit).unwrap_or_else(|| panic!("no result within {limit:?}"))
    }

    pub(crate) fn result_within(self, limit: Duration) -> Option<T> {
        match self.0.recv_timeout(limit).ok()? {
            Ok(value) => Some(value),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    #[track_caller]
    pub(crate) fn assert_running(&self) {
        if let Ok(result) = self.0.recv_timeout(Duration::from_millis(20)) {
            panic!(
                "the call has {} already",
                if result.is_err() { "panicked" } else { "returned" }
            );
        }
    }
}

/// Runs `attempt` many times, against a holder that releases the lock at any of the next `spread` microseconds. Some
/// attempts must be granted, and some not.
#[cfg(target_os = "linux")]
pub(crate) fn race(lock: Lock, turns: u32, spread: u32, mut attempt: impl FnMut() -> bool) {
    let together = Arc::new(Barrier::new(2));
    let of_holder = Arc::clone(&together);
    let holder = start(move || {
        for turn in 0..turns {
            let held = lock.lock().expect("the waiter should have released the lock");
            of_holder.wait();
            let release_at = Instant::now() + Duration::from_micros((turn % spread).into());
            while Instant::now() < release_at {}
            drop(held);
            of_holder.wait();
        }
    });
    let mut granted = 0;
    for _ in 0..turns {
        together.wait();
        granted += u32::from(attempt());
        together.wait();
    }
    holder.result_of_many();
    assert!((1..turns).contains(&granted), "there was no race: {granted} of {turns} granted");
}
