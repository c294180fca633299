//! Taking the lock, and saying so.

use std::fmt::Display;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use locket::{Guard, Holders, Lock, LockError};

use super::args::Waiting;
use super::held_by::named;
use super::inherited::locked_descriptor;
use super::report::Report;
#[cfg(unix)]
use super::unix::spawn_deaf;
use super::voice::{Tone, say};
#[cfg(windows)]
use super::windows::spawn_deaf;

/// A lock that is wanted.
pub(crate) struct Request<'a> {
    pub(crate) lock: Lock,
    pub(crate) shared: bool,
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
        match self.lock(start) {
            Ok(Some(guard)) => {
                self.tone.locked(self.lock.path(), start.elapsed());
                return Ok(Taken::Held(guard));
            }
            // Said already.
            Ok(None) | Err(LockError::TimedOut { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(Taken::Not(self.waiting.conflict_exit_code.into()))
    }

    /// The exit code says it too.
    fn say_refused(&self, holders: &Holders) {
        if self.tone == Tone::Quiet {
            return;
        }
        let path = self.lock.path().display();
        let names = named(holders);
        let names = names.as_ref().map_or_else(|| "another process".into(), ToString::to_string);
        match self.waiting.timeout() {
            None | Some(Duration::ZERO) => say(format_args!("{path} is held by {names}")),
            Some(timeout) => say((self.late)(&path, timeout) + ": held by " + &names),
        }
    }

    /// The holders of a lock that was not waited for. On a machine with many thousands of locks they are not found within
    /// this time, and the refusal is not put off for them.
    fn holders_soon(&self) -> Holders {
        const PATIENCE: Duration = Duration::from_millis(250);
        let (tell, told) = mpsc::sync_channel(1);
        let lock = self.lock.clone();
        let thread = spawn_deaf(move || {
            let _ = tell.send(lock.holders().unwrap_or_default());
        });
        let holders = thread.ok().and_then(|_| told.recv_timeout(PATIENCE).ok());
        holders.unwrap_or_default()
    }

    /// `None` if this process itself is in its way.
    fn lock(&self, start: Instant) -> Result<Option<Guard>, LockError> {
        match self.lock.try_lock() {
            Err(LockError::TimedOut { .. }) if self.is_held_by_itself() => return Ok(None),
            Err(LockError::TimedOut { .. }) if self.waiting.timeout() != Some(Duration::ZERO) => {}
            Err(error @ LockError::TimedOut { .. }) => {
                if self.tone != Tone::Quiet {
                    self.say_refused(&self.holders_soon());
                }
                return Err(error);
            }
            taken => return taken.map(Some),
        }
        let left = self.waiting.timeout().map(|timeout| timeout.saturating_sub(start.elapsed()));
        // Until the wait is over and the screen as it was.
        let report = Report::of(&self.lock, self.shown, self.tone, start);
        let taken = self.lock.clone().timeout(left).lock();
        if matches!(taken, Err(LockError::TimedOut { .. })) {
            let holders = report.holders();
            drop(report);
            self.say_refused(&holders);
        }
        taken.map(Some)
    }

    fn is_held_by_itself(&self) -> bool {
        let path = self.lock.path();
        let Some(number) = locked_descriptor(path, self.shared) else { return false };
        if self.tone != Tone::Quiet {
            say(format_args!(
                "{} is held by this process, which has inherited its descriptor ({number}): to wait would take forever",
                path.display()
            ));
        }
        true
    }
}
