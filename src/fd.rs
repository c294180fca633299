//! The lock on a descriptor of the caller's, whatever path its file has (Unix).

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::acquire::acquire_fd;
use super::deadline::Deadline;
use super::diagnosis::refused;
use super::error::LockError;
use super::observer::{Observer, Wait};
use super::options::{Mode, Options};
use super::os::{self, BorrowedDescriptor, Name, Number};

/// Makes a handle to the lock on an open file: `flock(2)` on this descriptor. Calls nothing.
///
/// For programs that have a descriptor already, or want to lock what [`lock_file`](crate::lock_file)
/// does not open: a directory, a device, a descriptor that a shell has opened. The descriptor may be
/// owned (`OwnedFd`, `File`) or borrowed (`BorrowedFd`, `&File`, `Stdin`); whether it is open for reading
/// or for writing does not matter, except on NFS, where an exclusive lock needs writing.
///
/// The lock is that of the *open file description*. It excludes all other descriptions of the file, those
/// of [`lock_file`](crate::lock_file) included, but not the users of this one: a copy (`dup`, `fork`, a
/// descriptor passed on) is the same description, so that two users of it both succeed, and the first
/// to unlock unlocks for both. Hence the promises L5 (release once), L9 (identity) and L11 (fork) are
/// not made here: use a path where these matter.
///
/// Exclusion, try, deadline, waiting and honest errors (L1-L4, L12) are as with a path. Errors name the
/// descriptor as `/dev/fd/N`. An acquisition on a description that has the lock in the other mode already
/// converts it, which is not atomic: see flock(2). A refused one *loses* the lock that was there.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("data");
/// let file = std::fs::File::create(&path)?;
/// {
///     let _held = locket::lock_fd(&file).lock()?;
///     assert!(locket::lock_file(&path).try_lock().is_err());
/// }
/// // The lock stays until the last copy of the descriptor is closed.
/// locket::lock_fd(&file).lock()?.leave();
/// assert!(locket::lock_file(&path).try_lock().is_err());
/// drop(file);
/// assert!(locket::lock_file(&path).try_lock().is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn lock_fd<Fd: AsFd>(fd: Fd) -> FdLock<Fd> {
    // So that a guard knows the child of a fork.
    os::watch_forks();
    FdLock { fd, options: Options::DEFAULT }
}

/// A handle to the lock on an open file. Made by [`lock_fd`].
#[derive(Clone, Debug)]
pub struct FdLock<Fd> {
    fd: Fd,
    options: Options,
}

/// Options: each concerns the acquisitions made through the handle that it returns. They mean what
/// they mean to a [`Lock`](crate::Lock).
impl<Fd> FdLock<Fd> {
    /// How long an acquisition may take: see [`Lock::timeout`](crate::Lock::timeout).
    #[must_use = "an option is of the handle that it returns"]
    pub fn timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self { options: Options { timeout: timeout.into(), ..self.options }, ..self }
    }

    /// The pause between attempts: see [`Lock::retry_period`](crate::Lock::retry_period).
    #[must_use = "an option is of the handle that it returns"]
    pub fn retry_period(self, retry_period: Duration) -> Self {
        Self { options: Options { retry_period, ..self.options }, ..self }
    }

    /// Acquires for reading: see [`Lock::shared`](crate::Lock::shared).
    #[must_use = "an option is of the handle that it returns"]
    pub fn shared(self) -> Self {
        Self { options: Options { mode: Mode::Shared, ..self.options }, ..self }
    }

    /// Ends timed waits without a signal: see [`Lock::without_signals`](crate::Lock::without_signals).
    #[must_use = "an option is of the handle that it returns"]
    pub fn without_signals(self) -> Self {
        Self { options: Options { signals: false, ..self.options }, ..self }
    }

    /// Tells the observer of a wait: see [`Lock::on_wait`](crate::Lock::on_wait).
    #[must_use = "an option is of the handle that it returns"]
    pub fn on_wait(
        self,
        observer: impl Fn(&Wait) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        let observer = Some(Observer::new(observer));
        Self { options: Options { observer, ..self.options }, ..self }
    }

    /// How often the observer is called: see [`Lock::observe_every`](crate::Lock::observe_every).
    #[must_use = "an option is of the handle that it returns"]
    pub fn observe_every(self, observe_every: Duration) -> Self {
        Self { options: Options { observe_every, ..self.options }, ..self }
    }
}

/// Acquiring and unlocking.
impl<Fd: AsFd> FdLock<Fd> {
    /// Waits for the lock, for at most the timeout, and returns the guard that holds it, and the
    /// descriptor.
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`] if another description of the file had the lock at the deadline,
    /// [`LockError::GivenUp`] if the observer put an end to the wait, [`LockError::Io`] if the system
    /// refuses to lock: `EBADF` for a descriptor of `O_PATH`, for instance. A descriptor that the
    /// handle owns is closed then; one that it borrows (`lock_fd(&file)`) is as it was.
    pub fn lock(self) -> Result<FdGuard<Fd>, LockError> {
        let Self { fd, options } = self;
        acquire(fd, &options)
    }

    /// As [`lock`](Self::lock) with a timeout of zero: one attempt, no sleep (L2).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock(self) -> Result<FdGuard<Fd>, LockError> {
        let Self { fd, options } = self;
        acquire(fd, &options.at_once())
    }

    /// Takes the lock off the description, whichever of its users has put it there; `flock(LOCK_UN)`. What
    /// is not locked stays so, without an error.
    ///
    /// # Errors
    ///
    /// [`LockError::Io`] if the system refuses.
    pub fn unlock(&self) -> Result<(), LockError> {
        unlock(self.fd.as_fd())
    }
}

fn acquire<Fd: AsFd>(fd: Fd, options: &Options) -> Result<FdGuard<Fd>, LockError> {
    let name = Name::of_descriptor(fd.as_fd());
    let borrowed = BorrowedDescriptor::new(fd.as_fd());
    let borrowed = borrowed.map_err(|failure| refused(&name, failure))?;
    acquire_fd(&name, borrowed.descriptor(), options)?;
    let unlocks = Unlocks { number: borrowed.descriptor().number(), generation: os::generation() };
    drop(borrowed);
    Ok(FdGuard { unlocks: Some(unlocks), fd })
}

fn unlock(fd: BorrowedFd<'_>) -> Result<(), LockError> {
    let answer = Deadline::Passed.outlast_signals(|| os::unlock_fd(fd));
    answer.map_err(|failure| refused(&Name::of_descriptor(fd), failure))
}

/// The lock on an open file, until it is dropped or left. It has the descriptor, owned or borrowed.
///
/// Dropping it unlocks the open file description, for all its users, and never panics. In a child of
/// `fork` that has inherited it, dropping it unlocks nothing: the description is the parent's as well.
#[derive(Debug)]
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct FdGuard<Fd: AsFd> {
    /// `None` once the lock is left or released. It is dropped before the descriptor.
    unlocks: Option<Unlocks>,
    fd: Fd,
}

impl<Fd: AsFd> FdGuard<Fd> {
    /// Ends the guard and leaves the lock where it is: on the open file description, until that is
    /// unlocked ([`FdLock::unlock`]) or the last copy of its descriptor is closed.
    pub fn leave(self) -> Fd {
        let Self { unlocks, fd } = self;
        std::mem::forget(unlocks);
        fd
    }

    /// Unlocks, and says whether the system agreed.
    ///
    /// # Errors
    ///
    /// [`LockError::NotLocked`] in a child of `fork` for a guard of the parent's, which keeps its lock.
    /// [`LockError::Io`] if the system refuses to unlock; the lock then stays until the last copy of the
    /// descriptor is closed. A descriptor that the guard owns is closed then.
    pub fn release(self) -> Result<Fd, LockError> {
        let is_ours = self.unlocks.as_ref().is_some_and(Unlocks::is_ours);
        let fd = self.leave();
        if !is_ours {
            let path = Name::of_descriptor(fd.as_fd()).path().into();
            return Err(LockError::NotLocked { path });
        }
        unlock(fd.as_fd())?;
        Ok(fd)
    }
}

impl<Fd: AsFd> AsFd for FdGuard<Fd> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Unlocks when it is dropped, in the process that made it. Apart from the guard, so that the guard can
/// give its descriptor back.
#[derive(Debug)]
struct Unlocks {
    number: Number,
    /// The process that made it, in a line of forks.
    generation: u32,
}

impl Unlocks {
    /// Not in a child of `fork`.
    fn is_ours(&self) -> bool {
        self.generation == os::generation()
    }
}

impl Drop for Unlocks {
    fn drop(&mut self) {
        if self.is_ours() {
            // A drop reports no error; `release` does.
            let _ = unlock(self.number.borrow_from(self));
        }
    }
}
