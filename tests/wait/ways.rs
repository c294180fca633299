//! The two ways of waiting, and how a test waits for them.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use locket::{Guard, Lock, LockError};

use super::support::PATIENCE;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Asleep in the kernel's queue, where the system can wake a waiter at its deadline.
    #[cfg(target_os = "linux")]
    Kernel,
    /// Trying again every millisecond.
    Retry,
}

impl Way {
    #[cfg(target_os = "linux")]
    pub(crate) const BOTH: [Self; 2] = [Self::Kernel, Self::Retry];
    #[cfg(not(target_os = "linux"))]
    pub(crate) const BOTH: [Self; 1] = [Self::Retry];

    /// The period is short, so that a process in want of signals or timers is not slow either.
    pub(crate) fn of(self, lock: Lock) -> Lock {
        #[cfg(target_os = "linux")]
        super::alone::suffer_want();
        let lock = lock.retry_period(Duration::from_millis(1));
        match self {
            #[cfg(target_os = "linux")]
            Self::Kernel => lock,
            Self::Retry => lock.use_signals(false),
        }
    }
}

/// What came of a call, and how long it took by the test's own clock.
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
    /// It has to be a timeout, and not an early one: by neither clock.
    #[track_caller]
    pub(crate) fn assert_timed_out(&self, timeout: Duration) {
        match &self.result {
            Err(error) if error.kind() == locket::ErrorKind::TimedOut => {
                let waited = error.elapsed();
                assert!(waited >= timeout, "waited {waited:?} of {timeout:?}");
                assert!(self.time >= timeout, "took {:?} of {timeout:?}", self.time);
            }
            other => panic!("it should have timed out: {other:?}"),
        }
    }
}

/// A call in a thread of its own: were it to hang, the test would not.
pub(crate) struct Running<T>(Receiver<thread::Result<T>>);

pub(crate) fn start<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Running<T> {
    let (tell, result) = mpsc::channel();
    thread::spawn(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
        // Nobody listens when the test has failed already.
        let _ = tell.send(result);
    });
    Running(result)
}

/// What must not hang.
#[track_caller]
pub(crate) fn promptly<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> T {
    start(call).result()
}

impl<T> Running<T> {
    #[track_caller]
    pub(crate) fn result(self) -> T {
        let result = self.result_within(PATIENCE);
        result.unwrap_or_else(|| panic!("not over within {PATIENCE:?}"))
    }

    /// Thousands of things that must happen.
    #[track_caller]
    pub(crate) fn result_of_many(self) -> T {
        let limit = PATIENCE * 6;
        self.result_within(limit).unwrap_or_else(|| panic!("not over within {limit:?}"))
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
            panic!("over already{}", if result.is_err() { ", in a panic" } else { "" });
        }
    }
}
