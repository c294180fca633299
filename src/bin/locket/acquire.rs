//! Acquiring a lock with one deadline, and printing why it was not acquired.

use std::fmt::Display;
#[cfg(unix)]
use std::fs::File;
use std::io::{self, IsTerminal};
#[cfg(unix)]
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

#[cfg(unix)]
use locket::lock_fd;
use locket::{Lock, LockError, LockStatus};

use crate::args::WaitArgs;
#[cfg(unix)]
use crate::exit;
use crate::exit::Failure;
use crate::output::{Verbosity, print_message};
use crate::platform::{Hold, Platform};
use crate::processes::{named_holders, own_locked_descriptor};
use crate::system::System;
use crate::wait_report::{UnlimitedHint, WaitReport};

/// A lock to acquire, and how.
pub(crate) struct AcquireRequest<'a> {
    /// The lock of the path. Its holders are looked up, also if the target is a descriptor.
    pub(crate) lock: Lock,
    pub(crate) target: Target,
    pub(crate) shared: bool,
    /// The path as the user gave it.
    pub(crate) given_path: &'a Path,
    pub(crate) wait: &'a WaitArgs,
    pub(crate) verbosity: Verbosity,
    /// Returns the message for a timeout, from the path and the time.
    pub(crate) timeout_message: fn(&dyn Display, Duration) -> String,
}

/// What is locked.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// The file, or on Unix the directory, that the path names.
    Path,
    /// The file that the path names, which must not be a directory or a symbolic link.
    FileOnly,
    #[cfg(unix)]
    Descriptor(BorrowedFd<'static>),
}

/// The outcome of a request.
pub(crate) enum Acquired {
    Held(Hold),
    /// Another process holds the lock, which has been printed. The value is the exit status.
    Contended(i32),
}

/// Why a lock was not acquired.
pub(crate) enum AcquireError {
    Lock(LockError),
    #[cfg_attr(windows, expect(dead_code, reason = "only the library locks a path there"))]
    Failed(Failure),
}

impl From<LockError> for AcquireError {
    fn from(error: LockError) -> Self {
        Self::Lock(error)
    }
}

impl From<AcquireError> for Failure {
    fn from(error: AcquireError) -> Self {
        match error {
            AcquireError::Lock(error) => error.into(),
            AcquireError::Failed(failure) => failure,
        }
    }
}

impl AcquireRequest<'_> {
    /// Acquires the lock. The deadline counts from now.
    pub(crate) fn acquire(&self) -> Result<Acquired, AcquireError> {
        self.acquire_since(Instant::now())
    }

    /// Acquires the lock. The deadline counts from an earlier moment.
    pub(crate) fn acquire_since(&self, start: Instant) -> Result<Acquired, AcquireError> {
        match self.try_then_wait(start) {
            Ok(Some(hold)) => {
                self.verbosity.print_locked(self.lock.path(), start.elapsed());
                return Ok(Acquired::Held(hold));
            }
            // The reason has been printed.
            Ok(None) => {}
            Err(AcquireError::Lock(error)) if error.is_contended() => {}
            Err(error) => return Err(error),
        }
        Ok(Acquired::Contended(self.wait.conflict_exit_code.into()))
    }

    /// Makes one attempt, then waits in the queue. Returns `None` if this process itself holds the lock.
    fn try_then_wait(&self, start: Instant) -> Result<Option<Hold>, AcquireError> {
        match self.lock_within(Some(Duration::ZERO)) {
            Err(AcquireError::Lock(error)) if error.is_contended() && self.is_held_by_itself() => {
                return Ok(None);
            }
            Err(AcquireError::Lock(error))
                if (error.is_contended() || is_leased(&error))
                    && self.wait.timeout() != Some(Duration::ZERO) => {}
            Err(AcquireError::Lock(error)) if error.is_contended() => {
                if self.verbosity != Verbosity::Quiet {
                    self.print_contended(&self.holders_soon());
                }
                return Err(error.into());
            }
            acquired => return acquired.map(Some),
        }
        let timeout = self.wait.timeout();
        let remaining = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
        // Dropped, and so erased from the screen, before anything else is printed.
        let report = WaitReport::start(&self.lock, self.given_path, self.verbosity, start);
        let is_unlimited = timeout.is_none() && self.verbosity != Verbosity::Quiet;
        let _hint = (is_unlimited && !io::stderr().is_terminal()).then(UnlimitedHint::start);
        let acquired = self.lock_within(remaining);
        if matches!(&acquired, Err(AcquireError::Lock(error)) if error.is_contended()) {
            let status = report.last_status();
            drop(report);
            self.print_contended(&status);
        }
        acquired.map(Some)
    }

    fn lock_within(&self, timeout: Option<Duration>) -> Result<Hold, AcquireError> {
        #[cfg(unix)]
        match self.target {
            Target::Descriptor(fd) => return Ok(lock_inherited(fd, self.shared, timeout)?),
            // The path as it was given: the absolute one may be too long for the system.
            Target::Path if self.given_path.is_dir() => {
                return lock_directory(self.given_path, self.shared, timeout);
            }
            Target::Path | Target::FileOnly => {}
        }
        Ok(self.lock.clone().timeout(timeout).lock().map(Hold::File)?)
    }

    /// Prints which processes hold the lock.
    fn print_contended(&self, status: &LockStatus) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        let path = self.lock.path().display();
        let holders = named_holders(status);
        let holders =
            holders.as_ref().map_or_else(|| "another process".into(), ToString::to_string);
        match self.wait.timeout() {
            None | Some(Duration::ZERO) => {
                print_message(format_args!("{path} is held by {holders}"));
            }
            Some(timeout) => {
                print_message((self.timeout_message)(&path, timeout) + ": held by " + &holders);
            }
        }
    }

    /// Returns the holders of a lock for which there was no wait. On a machine with many thousands of locks the search takes
    /// longer than this: then no holder is named.
    fn holders_soon(&self) -> LockStatus {
        const SEARCH_TIME: Duration = Duration::from_millis(250);
        let (sender, receiver) = mpsc::sync_channel(1);
        let lock = self.lock.clone();
        let thread = System::spawn_without_signals(move || {
            let _ = sender.send(lock.status().unwrap_or_default());
        });
        let status = thread.ok().and_then(|_| receiver.recv_timeout(SEARCH_TIME).ok());
        status.unwrap_or_default()
    }

    fn is_held_by_itself(&self) -> bool {
        // The path as it was given: the absolute one may name another file (L10).
        let found = own_locked_descriptor(self.given_path, self.shared, self.target_number());
        let Some(number) = found else { return false };
        let path = self.lock.path();
        if self.verbosity != Verbosity::Quiet {
            print_message(format_args!(
                "{} is held by this process itself, through its inherited descriptor {number}: a wait would never end",
                path.display()
            ));
        }
        true
    }

    /// Returns the number of the descriptor to be locked.
    fn target_number(&self) -> Option<i32> {
        match self.target {
            #[cfg(unix)]
            Target::Descriptor(fd) => Some(fd.as_raw_fd()),
            Target::Path | Target::FileOnly => None,
        }
    }
}

/// Returns whether another process prevents the open for a while, by a lease (fcntl(2), `F_SETLEASE`).
fn is_leased(error: &LockError) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Locks the open file description of an inherited descriptor.
#[cfg(unix)]
fn lock_inherited(
    fd: BorrowedFd<'static>,
    shared: bool,
    timeout: Option<Duration>,
) -> Result<Hold, LockError> {
    let lock = lock_fd(fd).timeout(timeout);
    let lock = if shared { lock.shared() } else { lock };
    lock.lock().map(|guard| Hold::Inherited(guard.leak()))
}

/// Locks a directory, which [`locket::lock_file`] does not.
#[cfg(unix)]
fn lock_directory(
    path: &Path,
    shared: bool,
    timeout: Option<Duration>,
) -> Result<Hold, AcquireError> {
    let failed = |code, action: &str, error: io::Error| {
        let text = format!("cannot {action} the directory {}: {error}", path.display());
        AcquireError::Failed(Failure { code, text })
    };
    let open = || match File::open(path) {
        Ok(directory) => Ok(directory.into()),
        Err(error) => Err(failed(exit::NO_INPUT, "open", error)),
    };
    let lock = |fd: &OwnedFd, remaining| {
        let lock = lock_fd(fd).timeout(remaining);
        let lock = if shared { lock.shared() } else { lock };
        let guard = lock.lock().map_err(|error| {
            if error.is_contended() {
                return AcquireError::Lock(error);
            }
            failed(exit::OS_ERROR, "lock", error.into())
        })?;
        guard.leak();
        Ok(())
    };
    let replaced = || io::Error::other("it is replaced faster than it can be locked");
    lock_current(path, timeout, open, lock)?
        .map(Hold::Opened)
        .ok_or_else(|| failed(exit::NO_INPUT, "lock", replaced()))
}

/// Opens and locks the file at a path, again if the path names another file afterwards (L9). Returns `None` if it is replaced
/// faster than it can be locked.
#[cfg(unix)]
pub(crate) fn lock_current<E>(
    path: &Path,
    timeout: Option<Duration>,
    open: impl Fn() -> Result<OwnedFd, E>,
    lock: impl Fn(&OwnedFd, Option<Duration>) -> Result<(), E>,
) -> Result<Option<OwnedFd>, E> {
    const REPLACEMENTS_MAX: u32 = 1000;
    let start = Instant::now();
    for _ in 0..REPLACEMENTS_MAX {
        let fd = open()?;
        lock(&fd, timeout.map(|timeout| timeout.saturating_sub(start.elapsed())))?;
        if is_current(&fd, path) {
            return Ok(Some(fd));
        }
    }
    Ok(None)
}

/// Returns whether the path names the file that the descriptor is open on. An error other than `ENOENT` counts as yes: it is
/// no reason to give up a lock.
#[cfg(unix)]
pub(crate) fn is_current(fd: impl AsFd, path: &Path) -> bool {
    let Ok(opened) = rustix::fs::fstat(fd) else { return true };
    match rustix::fs::stat(path) {
        Ok(named) => (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino),
        Err(error) => error != rustix::io::Errno::NOENT,
    }
}
