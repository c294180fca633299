//! What is put to the test: the lock; and for the harness's own test, locks that are none.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use locket::{Guard, Lock, LockError, lock_file};
use rustix::fs::{FlockOperation, fcntl_lock, flock};
use rustix::io::Errno;

use super::program::{Ask, Patience};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Locket,
    /// Says that it locks.
    Nothing,
    /// Locks, and takes its file away when it is done.
    Unlinking,
    /// The other kind of lock that Unix has, which threads of one process share.
    Posix,
    /// Unlocks in a child what its parent holds.
    Freeing,
    /// Locks for itself alone, and says "held" for no reason, too.
    Refusing,
}

pub(crate) enum Hold {
    Guard(Guard),
    File(File),
    Unlinking(File, PathBuf),
    Freeing(File),
    Nothing,
}

impl Subject {
    pub(crate) const ALL: [Self; 6] =
        [Self::Locket, Self::Nothing, Self::Unlinking, Self::Posix, Self::Freeing, Self::Refusing];

    /// How many of its holds it takes for one to see a child born; `None` if its processes have none.
    pub(crate) fn holds_a_child(self) -> Option<u32> {
        match self {
            Self::Locket => Some(24),
            Self::Freeing => Some(8),
            _ => None,
        }
    }

    /// `None`: it was held by somebody else, at the deadline too.
    pub(crate) fn lock(self, lock: &Lock, ask: Ask) -> Result<Option<Hold>, LockError> {
        let path = lock.path();
        match self {
            Self::Locket => answer(lock.lock().map(Hold::Guard)),
            Self::Nothing => Ok(Some(Hold::Nothing)),
            Self::Unlinking => {
                let hold = attempt_by_deadline(path, ask, try_flock);
                Ok(hold?.map(|file| Hold::Unlinking(file, path.into())))
            }
            Self::Freeing => Ok(attempt_by_deadline(path, ask, try_flock)?.map(Hold::Freeing)),
            Self::Posix => {
                let hold = attempt_by_deadline(path, ask, |file| {
                    fcntl_lock(file, FlockOperation::NonBlockingLockExclusive)
                });
                Ok(hold?.map(Hold::File))
            }
            Self::Refusing => {
                let refuses = matches!(ask.patience, Patience::Try) && ask.fresh;
                if refuses { Ok(None) } else { answer(lock.lock().map(Hold::Guard)) }
            }
        }
    }
}

/// A handle with the options of this acquisition.
pub(crate) fn handle(known: &Lock, ask: Ask) -> Lock {
    let lock = if ask.fresh { lock_file(known.path()) } else { known.clone() };
    let lock = if ask.shared { lock.shared() } else { lock };
    let lock = if ask.without_signals {
        lock.use_signals(false).retry_period(Duration::from_millis(1))
    } else {
        lock
    };
    match ask.patience {
        Patience::Try => lock.timeout(Duration::ZERO),
        Patience::Timed(timeout) => lock.timeout(timeout),
        Patience::Forever => lock,
    }
}

/// Contention is no error here.
pub(crate) fn answer<T>(result: Result<T, LockError>) -> Result<Option<T>, LockError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_contended() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The attempts of a lock that is none: nobody minds how it waits.
fn attempt_by_deadline(
    path: &Path,
    ask: Ask,
    attempt: impl Fn(&File) -> Result<(), Errno>,
) -> Result<Option<File>, LockError> {
    let start = Instant::now();
    let timeout = match ask.patience {
        Patience::Try => Some(Duration::ZERO),
        Patience::Timed(timeout) => Some(timeout),
        Patience::Forever => None,
    };
    // Opened once, as programs do that do not think of the file's name again.
    let file = open(path).expect("the lock file can be made");
    loop {
        let last = timeout.is_some_and(|timeout| start.elapsed() >= timeout);
        match attempt(&file) {
            Ok(()) => return Ok(Some(file)),
            Err(_) if last => return Ok(None),
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
            Self::Unlinking(file, path) => {
                // Somebody else may have been faster.
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
