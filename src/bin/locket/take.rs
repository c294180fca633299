//! Taking the lock, and saying so.

use std::fmt::Display;
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use locket::{Guard, Holders, Lock, LockError};

use super::args::Waiting;
use super::held_by::{held_by, named};
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
            Ok(None) => {}
            Err(LockError::TimedOut { holders, .. }) => self.say_refused(holders),
            Err(error) => return Err(error),
        }
        Ok(Taken::Not(self.waiting.conflict_exit_code.into()))
    }

    /// The exit code says it too.
    fn say_refused(&self, mut holders: Holders) {
        if self.tone == Tone::Quiet {
            return;
        }
        if holders.held.is_empty() {
            // Who waits for a moment only does not ask. They may be gone by now.
            holders = self.holders_soon();
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

    /// To look into a process that is stuck at its file system may take forever (proc(5), `cmdline`).
    fn holders_soon(&self) -> Holders {
        const PATIENCE: Duration = Duration::from_secs(3);
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
            taken => return taken.map(Some),
        }
        // Until the wait is over and the screen as it was.
        let _report = Report::of(&self.lock, self.shown, self.tone, start);
        let left = self.waiting.timeout().map(|timeout| timeout.saturating_sub(start.elapsed()));
        self.lock.clone().timeout(left).lock().map(Some)
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
