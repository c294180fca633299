//! An observer of a wait: a function that is called while the wait lasts, on a thread of its own.
//!
//! The wait does not depend on it: a lock is granted and a deadline is kept whatever the observer is doing. So its thread
//! is never joined. It shares ownership of all that it needs, and the waiter only marks the wait as over. An observer that
//! blocks keeps its thread until it returns.
#![cfg_attr(
    not(target_os = "linux"),
    allow(
        dead_code,
        reason = "elsewhere no observer has to wake a waiter from the kernel, or no wait begins"
    )
)]

use std::any::Any;
use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::deadline::Deadline;
use super::diagnosis::refused;
use super::holders::Holders;
use super::options::Options;
use super::os::{self, Name};
use super::sync::{Arc, Instant};

/// A wait that is going on, as an observer sees it: see [`Lock::on_wait`](crate::Lock::on_wait).
pub struct Wait {
    name: Name,
    options: Options,
    deadline: Deadline,
    since: Instant,
    /// The number of forks before this process: see `os::generation`.
    process: u32,
    state: Mutex<State>,
    changed: Condvar,
}

/// What the waiter and the thread of the observer tell each other. Neither keeps it locked while it waits, looks or calls
/// the observer.
#[derive(Default)]
struct State {
    /// Set by the waiter: the wait is over.
    is_over: bool,
    /// Set by the observer: the wait is to end.
    end: Option<End>,
    /// Wakes the waiter from its sleep in the kernel.
    bell: Option<Bell>,
    /// What the observer was told when it asked for the holders last.
    learnt: Option<Holders>,
}

/// How an observer ends a wait.
enum End {
    /// By `Break`, after so long.
    GivenUp(Duration),
    /// By a panic, with this payload.
    Panicked(Box<dyn Any + Send>),
}

/// Interrupts a thread that sleeps in the kernel.
pub(crate) type Bell = Box<dyn Fn() + Send>;

/// The function that is called: it looks, and says whether the wait goes on.
type Observe = dyn Fn(&Wait) -> ControlFlow<()> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Observer(Arc<Observe>);

/// The waiter's side of an observed wait, over all sleeps of one acquisition. Dropped, the wait is over.
pub(crate) struct Watch {
    wait: Arc<Wait>,
    has_thread: bool,
}

/// What a sleep in the queue came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The lock was granted.
    Granted,
    /// The deadline may have passed, or there was no reason at all: look again.
    Woken,
    /// The observer has put an end to the wait, after so long.
    GivenUp(Duration),
}

/// What an attempt to open the lock file came to.
#[derive(Debug)]
pub(crate) enum Opened<T> {
    /// The file is open.
    Descriptor(T),
    /// The observer has put an end to the wait for it, after so long.
    GivenUp(Duration),
}

impl Observer {
    pub(crate) fn new(observe: impl Fn(&Wait) -> ControlFlow<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl Watch {
    /// Begins an observed wait, unless an earlier sleep of this acquisition has, or the handle has no observer.
    pub(crate) fn begin_once(
        watch: &mut Option<Self>,
        name: &Name,
        options: &Options,
        deadline: &Deadline,
    ) {
        if watch.is_none() && options.observer.is_some() {
            let wait = Wait {
                name: name.clone(),
                options: options.clone(),
                deadline: *deadline,
                since: deadline.start().unwrap_or_else(Instant::now),
                process: os::generation(),
                state: Mutex::default(),
                changed: Condvar::new(),
            };
            *watch = Some(Self { wait: Arc::new(wait), has_thread: false });
        }
    }

    /// Gives the observer its thread, if it has none yet. Returns whether it has one: the system may have none to spare,
    /// and then the observer is not called. (Called by the waiting thread it could keep that from its deadline.)
    pub(crate) fn start(&mut self) -> bool {
        if !self.has_thread {
            let wait = Arc::clone(&self.wait);
            self.has_thread = thread::Builder::new().spawn(move || wait.observe()).is_ok();
        }
        self.has_thread
    }

    /// Runs a sleep that the bell ends when the observer does. `None` if the observer has ended the wait already.
    pub(crate) fn asleep<T>(&self, bell: Bell, sleep: impl FnOnce() -> T) -> Option<T> {
        {
            let mut state = self.wait.state();
            if state.end.is_some() {
                return None;
            }
            state.bell = Some(bell);
        }
        let _awake = TakesBellAway(&self.wait);
        Some(sleep())
    }

    /// Sleeps for so long, or until the observer ends the wait.
    pub(crate) fn pause(&self, period: Duration) {
        if period.is_zero() {
            return thread::yield_now();
        }
        let goes_on = |state: &mut State| state.end.is_none();
        let paused = self.wait.changed.wait_timeout_while(self.wait.state(), period, goes_on);
        drop(paused);
    }

    /// What the observer was told when it asked for the holders last.
    pub(crate) fn learnt(&self) -> Option<Holders> {
        self.wait.state().learnt.take()
    }

    /// If the observer has ended the wait: how long it lasted. A panic of the observer goes on here.
    pub(crate) fn ended(&self) -> Option<Duration> {
        let end = self.wait.state().end.take();
        end.map(|end| match end {
            End::GivenUp(waited) => waited,
            End::Panicked(panic) => resume_unwind(panic),
        })
    }
}

/// The thread of the observer may be in the middle of something long: it finds out when it comes back.
impl Drop for Watch {
    fn drop(&mut self) {
        self.wait.state().is_over = true;
        self.wait.changed.notify_all();
    }
}

/// The bell rings under the lock of the state: once it is taken away it does not ring any more.
struct TakesBellAway<'a>(&'a Wait);

impl Drop for TakesBellAway<'_> {
    fn drop(&mut self) {
        self.0.state().bell = None;
    }
}

impl Wait {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the thread of the observer does.
    fn observe(&self) {
        let Some(observer) = &self.options.observer else { return };
        while !self.is_over_within(Duration::ZERO) {
            let seen = catch_unwind(AssertUnwindSafe(|| (observer.0)(self)));
            if os::generation() != self.process {
                // The observer has forked, and this is the child: the wait is its parent's, and so is the thread that may
                // have locked the state at the moment of the fork.
                return;
            }
            let end = match seen {
                Ok(ControlFlow::Continue(()))
                    if self.is_over_within(self.options.observe_every) =>
                {
                    return;
                }
                Ok(ControlFlow::Continue(())) => continue,
                Ok(ControlFlow::Break(())) => End::GivenUp(self.waited()),
                Err(panic) => End::Panicked(panic),
            };
            return self.end(end);
        }
    }

    /// Ends the wait, unless that is over already: then the end is too late to mean anything.
    fn end(&self, end: End) {
        let mut state = self.state();
        if !state.is_over {
            state.end = Some(end);
            if let Some(bell) = &state.bell {
                bell();
            }
            self.changed.notify_all();
        }
    }

    fn is_over_within(&self, time: Duration) -> bool {
        let goes_on = |state: &mut State| !state.is_over;
        let waited = self.changed.wait_timeout_while(self.state(), time, goes_on);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_over
    }

    /// The absolute path of the lock file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.name.path()
    }

    /// For how long the lock has been waited for.
    #[must_use]
    pub fn waited(&self) -> Duration {
        Instant::now().saturating_duration_since(self.since)
    }

    /// How long the wait may still last; `None` without a timeout.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        self.deadline.remaining()
    }

    /// Returns the holders of the lock and its waiters: see [`Lock::holders`](crate::Lock::holders). If the wait times out, its
    /// error names the holders that were told last and still are ([`Holders::still_held`]).
    ///
    /// # Errors
    ///
    /// What the system answers when it cannot be asked. In the last 10 ms before the deadline it is not asked, and a look that
    /// has begun ends: the last attempt to get the lock would wait for it. When the wait is over it ends as well.
    pub fn holders(&self) -> io::Result<Holders> {
        /// The kernel keeps locks from being taken while its table is read: not when the last attempt is due.
        const LAST: Duration = Duration::from_millis(10);
        let is_over = || os::generation() == self.process && self.state().is_over;
        let goes_on = || self.left().is_none_or(|left| left > LAST) && !is_over();
        let told = os::holders(&self.name, &self.options, true, &goes_on);
        let told = told.map_err(|failure| refused(&self.name, failure))?;
        if os::generation() == self.process {
            let learnt = told.clone();
            let before = self.state().learnt.replace(learnt);
            drop(before); // Without the lock.
        }
        Ok(told)
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("path", &self.path())
            .field("waited", &self.waited())
            .field("left", &self.left())
            .finish_non_exhaustive()
    }
}
