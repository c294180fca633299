//! Taking the lock, and saying so.

use std::fmt::Display;
use std::io::{self, IsTerminal};
#[cfg(unix)]
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use locket::{Lock, LockError, LockStatus};

use super::args::Waiting;
use super::exit::Failure;
use super::held_by::named;
use super::hold::Hold;
use super::inherited::locked_descriptor;
use super::limit::Unlimited;
use super::report::Report;
#[cfg(unix)]
use super::unix::{lock_directory, lock_inherited, spawn_deaf};
use super::voice::{Tone, say};
#[cfg(windows)]
use super::windows::spawn_deaf;

/// A lock that is wanted.
pub(crate) struct Request<'a> {
    /// It names what is locked, and looks its holders up.
    pub(crate) lock: Lock,
    pub(crate) subject: Subject,
    pub(crate) shared: bool,
    /// Its path, as it was given.
    pub(crate) shown: &'a Path,
    pub(crate) waiting: &'a Waiting,
    pub(crate) tone: Tone,
    /// What there is to say of a lock, by its path, that was held for too long.
    pub(crate) late: fn(&dyn Display, Duration) -> String,
}

/// What is locked.
#[derive(Clone, Copy)]
pub(crate) enum Subject {
    /// The file, or on Unix the directory, that the path names.
    Path,
    /// The file that the path names, which is no symbolic link.
    FileAlone,
    #[cfg(unix)]
    Descriptor(BorrowedFd<'static>),
}

/// Why a lock was not taken.
pub(crate) enum Missed {
    Lock(LockError),
    #[cfg_attr(windows, expect(dead_code, reason = "a path is locked by the library alone"))]
    Failed(Failure),
}

impl From<LockError> for Missed {
    fn from(error: LockError) -> Self {
        Self::Lock(error)
    }
}

impl From<Missed> for Failure {
    fn from(missed: Missed) -> Self {
        match missed {
            Missed::Lock(error) => error.into(),
            Missed::Failed(failure) => failure,
        }
    }
}

/// What became of it.
pub(crate) enum Taken {
    Held(Hold),
    /// Somebody else holds it, which has been said: the status to exit with.
    Not(i32),
}

impl Request<'_> {
    /// One deadline, and one place in the queue.
    pub(crate) fn take(&self) -> Result<Taken, Missed> {
        self.take_since(Instant::now())
    }

    /// The same, by the deadline of a call that began earlier.
    pub(crate) fn take_since(&self, start: Instant) -> Result<Taken, Missed> {
        match self.lock(start) {
            Ok(Some(hold)) => {
                self.tone.locked(self.lock.path(), start.elapsed());
                return Ok(Taken::Held(hold));
            }
            // Said already.
            Ok(None) => {}
            Err(Missed::Lock(error)) if error.is_contended() => {}
            Err(error) => return Err(error),
        }
        Ok(Taken::Not(self.waiting.conflict_exit_code.into()))
    }

    /// The exit code says it too.
    fn say_refused(&self, holders: &LockStatus) {
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
    fn holders_soon(&self) -> LockStatus {
        const PATIENCE: Duration = Duration::from_millis(250);
        let (tell, told) = mpsc::sync_channel(1);
        let lock = self.lock.clone();
        let thread = spawn_deaf(move || {
            let _ = tell.send(lock.status().unwrap_or_default());
        });
        let holders = thread.ok().and_then(|_| told.recv_timeout(PATIENCE).ok());
        holders.unwrap_or_default()
    }

    /// `None` if this process itself is in its way.
    fn lock(&self, start: Instant) -> Result<Option<Hold>, Missed> {
        match self.lock_within(Some(Duration::ZERO)) {
            Err(Missed::Lock(error)) if error.is_contended() && self.is_held_by_itself() => {
                return Ok(None);
            }
            Err(Missed::Lock(error))
                if (error.is_contended() || is_leased(&error))
                    && self.waiting.timeout() != Some(Duration::ZERO) => {}
            Err(Missed::Lock(error)) if error.is_contended() => {
                if self.tone != Tone::Quiet {
                    self.say_refused(&self.holders_soon());
                }
                return Err(error.into());
            }
            taken => return taken.map(Some),
        }
        let left = self.waiting.timeout().map(|timeout| timeout.saturating_sub(start.elapsed()));
        // Until the wait is over and the screen as it was.
        let report = Report::of(&self.lock, self.shown, self.tone, start);
        let is_unlimited = self.waiting.timeout().is_none() && self.tone != Tone::Quiet;
        let _unlimited = (is_unlimited && !io::stderr().is_terminal()).then(Unlimited::begin);
        let taken = self.lock_within(left);
        if matches!(&taken, Err(Missed::Lock(error)) if error.is_contended()) {
            let holders = report.holders();
            drop(report);
            self.say_refused(&holders);
        }
        taken.map(Some)
    }

    fn lock_within(&self, timeout: Option<Duration>) -> Result<Hold, Missed> {
        #[cfg(unix)]
        match self.subject {
            Subject::Descriptor(fd) => return Ok(lock_inherited(fd, self.shared, timeout)?),
            // By the path as it was given: it may be longer than an absolute one may be.
            Subject::Path if self.shown.is_dir() => {
                return lock_directory(self.shown, self.shared, timeout);
            }
            Subject::Path | Subject::FileAlone => {}
        }
        Ok(self.lock.clone().timeout(timeout).lock().map(Hold::File)?)
    }

    /// The number of the descriptor that is to be locked.
    fn own_descriptor(&self) -> Option<i32> {
        match self.subject {
            #[cfg(unix)]
            Subject::Descriptor(fd) => Some(fd.as_raw_fd()),
            Subject::Path | Subject::FileAlone => None,
        }
    }

    fn is_held_by_itself(&self) -> bool {
        // By the path as it was given: it may lead where the absolute one does not (L10).
        let Some(number) = locked_descriptor(self.shown, self.shared, self.own_descriptor()) else {
            return false;
        };
        let path = self.lock.path();
        if self.tone != Tone::Quiet {
            say(format_args!(
                "{} is held by this process, which has inherited its descriptor ({number}): to wait would take forever",
                path.display()
            ));
        }
        true
    }
}

/// Returns whether another process prevents the open for a while, by a lease (fcntl(2), `F_SETLEASE`).
fn is_leased(error: &LockError) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}
