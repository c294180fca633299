//! The lock on a descriptor of the caller's, whatever path its file has (Unix).

use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use crate::acquire::acquire_fd;
use crate::deadline::Deadline;
use crate::error::{Action, LockError};
use crate::observer::{Observer, WaitInfo};
use crate::options::{Mode, Options};
use crate::os::platform::{Platform, PlatformPath, retry_on_intr};
use crate::os::{BorrowedFile, LockPath, Os, RawDescriptor, unlock_fd};
use crate::report::to_lock_error;

/// Creates a handle to the lock on an open file: `flock(2)` on this descriptor. Makes no system call.
///
/// It is for programs that have a descriptor already, or lock what [`Lock`](crate::Lock)
/// does not open: a directory, a device, a descriptor that a shell has opened. The descriptor may be
/// owned (`OwnedFd`, `File`) or borrowed (`BorrowedFd`, `&File`, `Stdin`); whether it is open for reading
/// or for writing does not matter, except on NFS, where an exclusive lock requires writing.
///
/// The lock is that of the *open file description*. It excludes all other descriptions of the file, those
/// of [`Lock`](crate::Lock) included, but not the users of this one: a copy (`dup`, `fork`, a
/// descriptor passed on) is the same description, so that two users of it both succeed, and the first
/// to unlock unlocks for both. Hence the guarantees L5 (release once), L9 (identity) and L11 (fork) are
/// not given here: use a path where these matter.
///
/// Exclusion, try, deadline, waiting and honest errors (L1-L4, L12) are as with a path. Errors name the
/// descriptor as `/dev/fd/N`. An acquisition on a description that has the lock in the other mode already
/// converts it, which is not atomic: see flock(2). A refused conversion *loses* the lock that was there.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("data");
/// let file = std::fs::File::create(&path)?;
/// {
///     let _held = locket::lock_fd(&file).lock()?;
///     assert!(locket::Lock::new(&path).try_lock().is_err());
/// }
/// // The lock stays until the last copy of the descriptor is closed.
/// locket::lock_fd(&file).lock()?.leak();
/// assert!(locket::Lock::new(&path).try_lock().is_err());
/// drop(file);
/// assert!(locket::Lock::new(&path).try_lock().is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn lock_fd<Fd: AsFd>(fd: Fd) -> FdLock<Fd> {
    // A guard must be able to tell that it is in a child of a fork.
    Os::watch_forks();
    FdLock { fd, options: Options::DEFAULT, observer: Observer::NONE }
}

/// A handle to the lock on an open file. Made by [`lock_fd`].
#[derive(Clone, Debug)]
pub struct FdLock<Fd> {
    fd: Fd,
    options: Options,
    observer: Observer,
}

// A panic of the observer is caught and resumed in the waiter.
impl<Fd: UnwindSafe> UnwindSafe for FdLock<Fd> {}
impl<Fd: RefUnwindSafe> RefUnwindSafe for FdLock<Fd> {}

/// Options. Each concerns the acquisitions made through the handle that it returns, and means what
/// it means for a [`Lock`](crate::Lock).
impl<Fd> FdLock<Fd> {
    /// Sets how long an acquisition may wait: see [`Lock::timeout`](crate::Lock::timeout).
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self { options: Options { timeout: timeout.into(), ..self.options }, ..self }
    }

    /// Sets the pause between attempts: see [`Lock::retry_period`](crate::Lock::retry_period).
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn retry_period(self, retry_period: Duration) -> Self {
        Self { options: Options { retry_period, ..self.options }, ..self }
    }

    /// Makes acquisitions shared: see [`Lock::shared`](crate::Lock::shared).
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn shared(self) -> Self {
        Self { options: Options { mode: Mode::Shared, ..self.options }, ..self }
    }

    /// Sets whether a timed wait may be ended by a signal: see [`Lock::use_signals`](crate::Lock::use_signals).
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn use_signals(self, use_signals: bool) -> Self {
        Self { options: Options { use_signals, ..self.options }, ..self }
    }

    /// Sets the observer of a wait: see [`Lock::on_wait`](crate::Lock::on_wait).
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn on_wait(
        self,
        observer: impl Fn(&WaitInfo) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        Self { observer: self.observer.with(observer), ..self }
    }

    /// Sets how often the observer is called: see [`Lock::observe_every`](crate::Lock::observe_every).
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn observe_every(self, observe_every: Duration) -> Self {
        Self { observer: self.observer.every(observe_every), ..self }
    }
}

/// Acquiring and unlocking.
impl<Fd: AsFd> FdLock<Fd> {
    /// Waits for the lock, for at most the timeout, and returns the guard that holds it and the
    /// descriptor.
    ///
    /// # Errors
    ///
    /// [`TimedOut`](crate::ErrorKind::TimedOut) if another description of the file had the lock at the deadline,
    /// [`Cancelled`](crate::ErrorKind::Cancelled) if the observer cancelled the wait, another kind if the system
    /// refuses to lock: `EBADF` for a descriptor of `O_PATH`, for instance. A descriptor that the
    /// handle owns is closed then; one that it borrows (`lock_fd(&file)`) is as it was.
    pub fn lock(self) -> Result<FdGuard<Fd>, LockError> {
        let Self { fd, options, observer } = self;
        acquire(fd, &options, &observer)
    }

    /// Acquires the lock if it is free: one attempt, no sleep (L2).
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) if another description of the file has the lock; otherwise as
    /// [`lock`](Self::lock).
    pub fn try_lock(self) -> Result<FdGuard<Fd>, LockError> {
        let Self { fd, options, .. } = self;
        acquire(fd, &options.one_attempt(), &Observer::NONE)
    }

    /// Releases the lock on the description, whichever of its users has acquired it: `flock(LOCK_UN)`. A description
    /// without a lock stays so, without an error.
    ///
    /// # Errors
    ///
    /// The error of the system if it refuses.
    pub fn unlock(&self) -> Result<(), LockError> {
        unlock(self.fd.as_fd())
    }
}

fn acquire<Fd: AsFd>(
    fd: Fd,
    options: &Options,
    observer: &Observer,
) -> Result<FdGuard<Fd>, LockError> {
    let path = LockPath::of_descriptor(fd.as_fd());
    let borrowed = BorrowedFile::new(fd.as_fd());
    let borrowed = borrowed.map_err(|error| to_lock_error(&path, error))?;
    acquire_fd(&path, borrowed.file(), options, observer)?;
    let number = borrowed.file().number();
    drop(borrowed);
    let unlock = UnlockOnDrop { number, generation: Os::generation() };
    Ok(FdGuard { unlock: Some(unlock), fd })
}

fn unlock(fd: BorrowedFd<'_>) -> Result<(), LockError> {
    let answer = retry_on_intr(&Deadline::Passed, || unlock_fd(fd));
    answer.map_err(|error| to_lock_error(&LockPath::of_descriptor(fd), error))
}

/// Holds the lock on an open file until it is dropped or leaked. It has the descriptor, owned or borrowed.
///
/// Dropping it unlocks the open file description, for all its users, and never panics. In a child of
/// `fork` that has inherited it, dropping it unlocks nothing: the description is the parent's as well.
#[derive(Debug)]
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct FdGuard<Fd: AsFd> {
    /// `None` once the lock is leaked or released. It is dropped before the descriptor.
    unlock: Option<UnlockOnDrop>,
    fd: Fd,
}

impl<Fd: AsFd> FdGuard<Fd> {
    /// Ends the guard without unlocking. The lock stays on the open file description until that is
    /// unlocked ([`FdLock::unlock`]) or the last copy of its descriptor is closed.
    pub fn leak(self) -> Fd {
        let Self { unlock, fd } = self;
        std::mem::forget(unlock);
        fd
    }

    /// Releases the lock and returns the descriptor.
    ///
    /// # Errors
    ///
    /// [`NotLocked`](crate::ErrorKind::NotLocked) in a child of `fork` for a guard of the parent's, which keeps its lock.
    /// The error of the system if it refuses to unlock; the lock then stays until the last copy of the
    /// descriptor is closed. A descriptor that the guard owns is closed then.
    pub fn release(self) -> Result<Fd, LockError> {
        let is_ours = self.unlock.as_ref().is_some_and(UnlockOnDrop::is_ours);
        let fd = self.leak();
        if !is_ours {
            return Err(LockError::not_locked(
                LockPath::of_descriptor(fd.as_fd()).path(),
                Action::Unlock,
            ));
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

/// Unlocks when it is dropped, in the process that made it. It is apart from the guard, so that the guard can
/// return its descriptor.
#[derive(Debug)]
struct UnlockOnDrop {
    number: RawDescriptor,
    /// The process that made it: see `Platform::generation`.
    generation: u32,
}

impl UnlockOnDrop {
    /// Returns false in a child of `fork`.
    fn is_ours(&self) -> bool {
        self.generation == Os::generation()
    }
}

impl Drop for UnlockOnDrop {
    fn drop(&mut self) {
        if self.is_ours() {
            // A drop reports no error; `release` does.
            let _ = unlock(self.number.borrow_from(self));
        }
    }
}
