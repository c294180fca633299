//! Taking the lock, and saying so.

use std::fmt::Display;
use std::path::Path;
use std::time::{Duration, Instant};

use locket::{Guard, Holders, Lock, LockError};

use super::args::Waiting;
use super::held_by::{held_by, named};
use super::report::Report;
use super::voice::{Tone, say};

/// A lock that is wanted.
pub(crate) struct Request<'a> {
    pub(crate) lock: Lock,
    /// Its path, as it was given.
    pub(crate) shown: &'a Path,
    pub(crate) waiting: &'a Waiting,
    pub(crate) tone: Tone,
    /// What there is to say of a lock, by its path, that was held for too long.
    pub(crate) late: fn(&dyn Display, Duration) -> String,
}

/// What became of it.
pub(crate) enum Taken {
    Held(Guard),
    /// Somebody else holds it, which has been said: the status to exit with.
    Not(i32),
}

impl Request<'_> {
    /// One deadline, and one place in the queue.
    pub(crate) fn take(&self) -> Result<Taken, LockError> {
        let start = Instant::now();
        match self.lock() {
            Ok(guard) => {
                self.tone.locked(self.lock.path(), start.elapsed());
                Ok(Taken::Held(guard))
            }
            Err(LockError::TimedOut { holders, .. }) => {
                self.say_refused(holders);
                Ok(Taken::Not(self.waiting.conflict_exit_code.into()))
            }
            Err(error) => Err(error),
        }
    }

    /// The exit code says it too.
    fn say_refused(&self, mut holders: Holders) {
        if self.tone == Tone::Quiet {
            return;
        }
        if holders.held.is_empty() {
            // Who waits for a moment only does not ask. They may be gone by now.
            holders = self.lock.holders().unwrap_or_default();
        }
        let path = self.lock.path().display();
        match (self.waiting.timeout(), named(&holders)) {
            (None | Some(Duration::ZERO), Some(names)) => {
                say(format_args!("{path} is held by {names}"));
            }
            (None | Some(Duration::ZERO), None) => {
                say(format_args!("{path} is locked by somebody else"));
            }
            (Some(timeout), _) => {
                say((self.late)(&path, timeout) + &held_by(&holders));
            }
        }
    }

    fn lock(&self) -> Result<Guard, LockError> {
        let start = Instant::now();
        match self.lock.try_lock() {
            Err(LockError::TimedOut { .. }) if self.waiting.timeout() != Some(Duration::ZERO) => {}
            taken => return taken,
        }
        // Until the wait is over and the screen as it was.
        let _report = Report::of(&self.lock, self.shown, self.tone, start);
        let left = self.waiting.timeout().map(|timeout| timeout.saturating_sub(start.elapsed()));
        self.lock.clone().timeout(left).lock()
    }
}
