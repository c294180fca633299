//! The lock under test, and, for the tests of the harness, locks that do not lock.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use locket::{Guard, Lock, LockError, lock_file};
use locket_model::Mode;
use rustix::fs::{FlockOperation, fcntl_lock, flock};
use rustix::io::Errno;

use super::program::Request;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Locket,
    /// Reports success and locks nothing.
    Nothing,
    /// Locks, and deletes its file on release.
    Unlinking,
    /// `fcntl(2)` locks, which belong to the process: the threads of a process do not exclude each other.
    Posix,
    /// A child unlocks what its parent holds.
    Freeing,
    /// Locks correctly, but reports contention at times although the lock is free.
    Refusing,
}

pub(crate) enum Hold {
    Guard(Guard),
    /// `acquire`. Ended by the `release` of another handle.
    Unguarded(Lock),
    File(File),
    Unlinking(File, PathBuf),
    Freeing(File),
    Nothing,
}

impl Subject {
    pub(crate) const ALL: [Self; 6] =
        [Self::Locket, Self::Nothing, Self::Unlinking, Self::Posix, Self::Freeing, Self::Refusing];

    /// Returns `n` if one in `n` holds forks a child, and `None` if none does.
    pub(crate) fn holds_per_child(self) -> Option<u32> {
        match self {
            Self::Locket => Some(24),
            Self::Freeing => Some(8),
            _ => None,
        }
    }

    /// Acquires. Returns `None` if the lock was held, at the deadline too.
    pub(crate) fn lock(self, known: &Lock, request: Request) -> Result<Option<Hold>, LockError> {
        let (lock, path) = (handle(known, request), known.path());
        Ok(match self {
            Self::Refusing if request.timeout == Some(Duration::ZERO) && request.fresh => None,
            Self::Locket if !request.guarded => {
                answer(lock.acquire())?.map(|()| Hold::Unguarded(known.clone()))
            }
            Self::Locket | Self::Refusing => answer(lock.lock())?.map(Hold::Guard),
            Self::Nothing => Some(Hold::Nothing),
            Self::Unlinking => attempt_by_deadline(path, request, try_flock)
                .map(|file| Hold::Unlinking(file, path.into())),
            Self::Freeing => attempt_by_deadline(path, request, try_flock).map(Hold::Freeing),
            Self::Posix => {
                let try_posix =
                    |file: &File| fcntl_lock(file, FlockOperation::NonBlockingLockExclusive);
                attempt_by_deadline(path, request, try_posix).map(Hold::File)
            }
        })
    }
}

/// Returns a handle with the options of this acquisition.
fn handle(known: &Lock, request: Request) -> Lock {
    let lock = if request.fresh { lock_file(known.path()) } else { known.clone() };
    let lock = if request.mode == Mode::Shared { lock.shared() } else { lock };
    let lock = if request.without_signals {
        lock.use_signals(false).retry_period(Duration::from_millis(1))
    } else {
        lock
    };
    lock.timeout(request.timeout)
}

/// Turns contention into `None`.
fn answer<T>(result: Result<T, LockError>) -> Result<Option<T>, LockError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_contended() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Retries until the deadline. This serves broken locks alone, so it may poll.
fn attempt_by_deadline(
    path: &Path,
    request: Request,
    attempt: impl Fn(&File) -> Result<(), Errno>,
) -> Option<File> {
    let start = Instant::now();
    // Opened once, as by a program that does not check whether the name still leads to the file.
    let file = open(path).expect("the lock file can be made");
    loop {
        let last = request.timeout.is_some_and(|timeout| start.elapsed() >= timeout);
        match attempt(&file) {
            Ok(()) => return Some(file),
            Err(_) if last => return None,
            Err(_) => thread::sleep(Duration::from_micros(100)),
        }
    }
}

fn try_flock(file: &File) -> Result<(), Errno> {
    flock(file, FlockOperation::NonBlockingLockExclusive)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}

impl Hold {
    pub(crate) fn guard(&self) -> Option<&Guard> {
        if let Self::Guard(guard) = self { Some(guard) } else { None }
    }

    pub(crate) fn release(self) -> Result<(), LockError> {
        match self {
            Self::Guard(guard) => guard.release()?,
            Self::Unguarded(lock) => lock.release()?,
            Self::Unlinking(file, path) => {
                // Another process may have deleted it.
                let _ = fs::remove_file(path);
                drop(file);
            }
            Self::Freeing(file) => flock(file, FlockOperation::Unlock).expect("it is locked"),
            Self::File(file) => drop(file),
            Self::Nothing => {}
        }
        Ok(())
    }
}
