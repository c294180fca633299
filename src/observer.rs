//! Somebody who is told of a wait while it lasts.
#![cfg_attr(not(any(unix, windows)), allow(dead_code, reason = "nobody waits there"))]

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use super::deadline::Deadline;
use super::diagnosis::refused;
use super::holders::{Effort, Holders};
use super::options::Options;
use super::os::{self, Name};
use super::sync::{Arc, Instant};

/// A wait that is going on, as an observer sees it: see [`Lock::on_wait`](crate::Lock::on_wait).
pub struct Wait<'a> {
    name: &'a Name,
    options: &'a Options,
    deadline: &'a Deadline,
    since: Instant,
}

/// What an observer may do: look, and say whether the wait goes on.
type Observe = dyn Fn(&Wait<'_>) -> ControlFlow<()> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Observer(Arc<Observe>);

/// The looks of an observer at one acquisition, however many sleeps that takes.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    observer: &'a Observer,
    wait: Wait<'a>,
    next: Option<Instant>,
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
    pub(crate) fn new(
        observe: impl Fn(&Wait<'_>) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(observe))
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

impl<'a> Watch<'a> {
    /// A wait begins; `None` if nobody wants to know.
    fn begin(name: &'a Name, options: &'a Options, deadline: &'a Deadline) -> Option<Self> {
        let observer = options.observer.as_ref()?;
        let now = Instant::now();
        let wait = Wait { name, options, deadline, since: deadline.start().unwrap_or(now) };
        Some(Self { observer, wait, next: Some(now) })
    }

    /// The same, unless an earlier wait of this acquisition has begun already.
    pub(crate) fn begin_once(
        watch: &mut Option<Self>,
        name: &'a Name,
        options: &'a Options,
        deadline: &'a Deadline,
    ) {
        if watch.is_none() {
            *watch = Self::begin(name, options, deadline);
        }
    }

    /// How long until the next look.
    pub(crate) fn due(&self) -> Duration {
        let left = |next: Instant| next.saturating_duration_since(Instant::now());
        self.next.map_or(Duration::MAX, left)
    }

    /// Shows the wait to the observer if it is time to. If that is to be its end: how long it lasted.
    pub(crate) fn look_if_due(&mut self) -> Option<Duration> {
        if !self.due().is_zero() {
            return None;
        }
        if (self.observer.0)(&self.wait).is_break() {
            return Some(self.wait.waited());
        }
        self.next = Instant::now().checked_add(self.wait.options.observe_every);
        None
    }
}

impl Wait<'_> {
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

    /// Who holds the lock now, and who waits for it: see [`Lock::holders`](crate::Lock::holders).
    ///
    /// # Errors
    ///
    /// What the system answers when it cannot be asked.
    pub fn holders(&self) -> io::Result<Holders> {
        os::holders(self.name, self.options, true, Effort::Search)
            .map_err(|failure| refused(self.name, failure).into())
    }
}

impl fmt::Debug for Wait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait")
            .field("path", &self.path())
            .field("waited", &self.waited())
            .field("left", &self.left())
            .finish()
    }
}
