//! The observer of a wait: a function that is called while the wait lasts, on a thread of its own.
//!
//! The wait does not depend on it: a lock is granted and a deadline is kept whatever the observer is doing. So its thread
//! is never joined. The thread shares ownership of all that it needs, and the waiter only marks the wait as over. An
//! observer that blocks keeps its thread until it returns.
#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "on other systems no observer has to wake a waiter from the kernel")
)]

use std::any::Any;
use std::fmt;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::deadline::Deadline;
use crate::error::LockError;
use crate::os::platform::{Observed, Platform, PlatformPath, Waker};
use crate::os::{LockPath, Os};
use crate::report::lock_status::{LockStatus, Query};
use crate::report::{self, to_lock_error};
use crate::sync::{Arc, Instant};

/// A wait that is going on, as an observer sees it: see [`Lock::on_wait`](crate::Lock::on_wait).
pub struct WaitInfo {
    path: LockPath,
    follow_links: bool,
    observe: Arc<Observe>,
    every: Duration,
    deadline: Deadline,
    start: Instant,
    /// The process that waits: see `Platform::generation`.
    generation: u32,
    state: Mutex<State>,
    changed: Condvar,
}

/// What the waiter and the observer's thread tell each other. Neither keeps it locked while it waits, looks or calls
/// the observer.
#[derive(Default)]
struct State {
    /// Set by the waiter: the wait is over.
    is_over: bool,
    /// Set by the observer's thread: the wait is to end.
    end: Option<End>,
    /// Wakes the waiter from its sleep in the kernel.
    waker: Option<Waker>,
    /// The answer when the observer last asked for the holders.
    last_status: Option<LockStatus>,
}

/// How an observer ends a wait.
enum End {
    /// By `Break`, after this long.
    Cancelled(Duration),
    /// By a panic, with this payload.
    Panicked(Box<dyn Any + Send>),
}

type Observe = dyn Fn(&WaitInfo) -> ControlFlow<()> + Send + Sync;

/// The observer of a handle, if it has one, and how often it is called.
#[derive(Clone)]
pub(crate) struct Observer {
    observe: Option<Arc<Observe>>,
    every: Duration,
}

impl Observer {
    pub(crate) const NONE: Self = Self { observe: None, every: Duration::from_secs(1) };

    pub(crate) fn with(
        self,
        observe: impl Fn(&WaitInfo) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        Self { observe: Some(Arc::new(observe)), ..self }
    }

    pub(crate) fn every(self, every: Duration) -> Self {
        Self { every, ..self }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let observe = self.observe.as_ref().map(|_| "Fn");
        f.debug_struct("Observer").field("observe", &observe).field("every", &self.every).finish()
    }
}

/// The waiter's side of an observed wait, over all sleeps of one acquisition. Dropping it ends the wait.
pub(crate) struct Observation<'a> {
    path: &'a LockPath,
    follow_links: bool,
    observe: &'a Arc<Observe>,
    every: Duration,
    deadline: &'a Deadline,
    /// From the first sleep on.
    wait: Option<Arc<WaitInfo>>,
    has_thread: bool,
}

impl<'a> Observation<'a> {
    /// Returns `None` if the handle has no observer. Allocates nothing before the first sleep.
    pub(crate) fn new(
        observer: &'a Observer,
        path: &'a LockPath,
        follow_links: bool,
        deadline: &'a Deadline,
    ) -> Option<Self> {
        let Observer { observe: Some(observe), every } = observer else { return None };
        let (every, wait, has_thread) = (*every, None, false);
        Some(Self { path, follow_links, observe, every, deadline, wait, has_thread })
    }

    /// Returns the answer when the observer last asked for the holders.
    pub(crate) fn last_status(&self) -> Option<LockStatus> {
        self.wait.as_ref().and_then(|wait| wait.state().last_status.take())
    }

    fn wait(&mut self) -> &Arc<WaitInfo> {
        let Self { path, follow_links, observe, every, deadline, .. } = self;
        self.wait.get_or_insert_with(|| {
            Arc::new(WaitInfo {
                path: path.clone(),
                follow_links: *follow_links,
                observe: Arc::clone(observe),
                every: *every,
                deadline: **deadline,
                start: deadline.start().unwrap_or_else(Instant::now),
                generation: Os::generation(),
                state: Mutex::default(),
                changed: Condvar::new(),
            })
        })
    }
}

impl Observed for Observation<'_> {
    /// Without a thread the observer is not called. (Called by the waiting thread it could delay the deadline.)
    fn start(&mut self) -> bool {
        if !self.has_thread {
            let wait = Arc::clone(self.wait());
            self.has_thread = thread::Builder::new().spawn(move || wait.observe()).is_ok();
        }
        self.has_thread
    }

    fn sleep_with_waker(&mut self, waker: Waker, sleep: &mut dyn FnMut()) -> bool {
        let wait = self.wait();
        {
            let mut state = wait.state();
            if state.end.is_some() {
                return false;
            }
            state.waker = Some(waker);
        }
        let _awake = ClearWaker(wait);
        sleep();
        true
    }

    fn pause(&mut self, period: Duration) {
        if period.is_zero() {
            return thread::yield_now();
        }
        let wait = self.wait();
        let goes_on = |state: &mut State| state.end.is_none();
        drop(wait.changed.wait_timeout_while(wait.state(), period, goes_on));
    }

    fn cancelled(&mut self) -> Option<Duration> {
        let end = self.wait.as_ref()?.state().end.take();
        end.map(|end| match end {
            End::Cancelled(elapsed) => elapsed,
            End::Panicked(panic) => resume_unwind(panic),
        })
    }
}

/// Marks the wait as over. The observer may be in the middle of something long: its thread finds out when it returns.
impl Drop for Observation<'_> {
    fn drop(&mut self) {
        if let Some(wait) = &self.wait {
            wait.state().is_over = true;
            wait.changed.notify_all();
        }
    }
}

/// The waker is called under the lock of the state: once it is cleared it is not called any more.
struct ClearWaker<'a>(&'a WaitInfo);

impl Drop for ClearWaker<'_> {
    fn drop(&mut self) {
        self.0.state().waker = None;
    }
}

impl WaitInfo {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the observer again and again: the body of its thread.
    fn observe(&self) {
        while !self.is_over_within(Duration::ZERO) {
            let answer = catch_unwind(AssertUnwindSafe(|| (self.observe)(self)));
            if Os::generation() != self.generation {
                // The observer has forked, and this is the child: the wait is its parent's, and so is the thread that may
                // have locked the state at the moment of the fork.
                return;
            }
            let end = match answer {
                Ok(ControlFlow::Continue(())) if self.is_over_within(self.every) => return,
                Ok(ControlFlow::Continue(())) => continue,
                Ok(ControlFlow::Break(())) => End::Cancelled(self.elapsed()),
                Err(panic) => End::Panicked(panic),
            };
            return self.end(end);
        }
    }

    /// Ends the wait. If the wait is over already, the end has come too late and has no effect.
    fn end(&self, end: End) {
        let mut state = self.state();
        if !state.is_over {
            state.end = Some(end);
            if let Some(wake) = &state.waker {
                wake();
            }
            self.changed.notify_all();
        }
    }

    fn is_over_within(&self, time: Duration) -> bool {
        let goes_on = |state: &mut State| !state.is_over;
        let waited = self.changed.wait_timeout_while(self.state(), time, goes_on);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_over
    }

    /// Returns the absolute path of the lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.path.path()
    }

    /// Returns how long the lock has been waited for.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.start)
    }

    /// Returns how long the wait may still last; `None` without a timeout.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.remaining()
    }

    /// Returns the holders of the lock and its waiters: see [`Lock::status`](crate::Lock::status). If the wait times out, its
    /// error names those holders of the last answer that still hold the lock ([`LockStatus::still_held`]).
    ///
    /// # Errors
    ///
    /// The error of the system if it cannot be asked. In the last 10 ms before the deadline it is not asked, and a query that
    /// has begun ends, since the last attempt to acquire the lock would have to wait for it. It ends when the wait is over, too.
    pub fn status(&self) -> Result<LockStatus, LockError> {
        /// The kernel lets no process acquire or release a lock while its table is read.
        const LAST: Duration = Duration::from_millis(10);
        let is_over = || Os::generation() == self.generation && self.state().is_over;
        let goes_on = || self.remaining().is_none_or(|left| left > LAST) && !is_over();
        let query = Query { follow_links: self.follow_links, known_held: true, goes_on: &goes_on };
        let status = report::query(&self.path, &query);
        let status = status.map_err(|error| to_lock_error(&self.path, error))?;
        if Os::generation() == self.generation {
            let copy = status.clone();
            let before = self.state().last_status.replace(copy);
            drop(before); // After the state is unlocked.
        }
        Ok(status)
    }
}

impl fmt::Debug for WaitInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitInfo")
            .field("path", &self.path())
            .field("elapsed", &self.elapsed())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
