use std::io;
#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(windows)]
use std::os::windows::io::{AsHandle, BorrowedHandle};
use std::path::Path;

use super::deadline::Deadline;
use super::diagnosis::refused;
use super::error::LockError;
use super::ledger::Hold;
use super::os;
use super::process::LedgerRef;
use super::release::{downgrade, release_guarded};

/// Proof that the lock is held: from [`Lock::lock`](crate::Lock::lock) until it is dropped.
///
/// No [`Lock::release`](crate::Lock::release) and no other guard can end this hold (L5). A guard
/// may be sent to another thread and dropped there. Dropping it releases the lock and never panics;
/// [`release`](Self::release) does the same and says whether the system agreed. A guard that is
/// leaked ([`std::mem::forget`]) holds the lock until the process ends.
///
/// In a child of `fork` an inherited guard is no proof of anything, unless it was kept for the child
/// (`keep_on_fork`, on Unix): dropping it there leaves the parent's hold as it is (L11).
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("my_app.lock");
/// let held = locket::lock_file(&path).lock()?;
/// std::thread::spawn(move || drop(held)).join().unwrap();
/// assert!(locket::lock_file(&path).try_lock().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct Guard {
    ledger: LedgerRef,
    /// `None` once released.
    hold: Option<Hold>,
    /// A downgrade has lost the lock to another process. The descriptor stays, since it is lent.
    is_lost: bool,
    #[cfg(any(unix, windows))]
    number: os::Number,
    follow_links: bool,
}

impl Guard {
    pub(crate) fn new(ledger: LedgerRef, hold: Hold, follow_links: bool) -> Self {
        Self {
            ledger,
            #[cfg(any(unix, windows))]
            number: hold.descriptor.number(),
            hold: Some(hold),
            is_lost: false,
            follow_links,
        }
    }

    /// The absolute path of the lock file, as [`Lock::path`](crate::Lock::path) tells it.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.ledger.name().path()
    }

    /// Releases the lock.
    ///
    /// # Errors
    ///
    /// [`LockError::Io`] if the system refuses to unlock (`flock(LOCK_UN)` on Unix, `UnlockFile`
    /// on Windows). The hold is over all the same: the descriptor is closed (L6). In a child of
    /// `fork`, [`LockError::NotLocked`] for a guard of the parent's.
    pub fn release(mut self) -> Result<(), LockError> {
        self.end()
    }

    /// Does the path still name the file that is locked? (L9)
    ///
    /// When it does not, somebody has unlinked, renamed or replaced the lock file, and others may
    /// hold the lock of the file that is there now. Or the program has closed the descriptor without
    /// being asked to (Unix), and the hold is over. One `fstat` and one `stat` on Unix; on Windows the
    /// file is opened to ask.
    ///
    /// # Errors
    ///
    /// What the system answers when it cannot tell. A file that is missing is no error but `false`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// let held = locket::lock_file(&path).lock()?;
    /// assert!(held.is_current()?);
    /// # #[cfg(unix)] {
    /// std::fs::remove_file(&path)?;
    /// assert!(!held.is_current()?);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_current(&self) -> io::Result<bool> {
        let Some(hold) = &self.hold else { return Ok(false) };
        if !self.is_held() || !hold.descriptor.is_own() {
            return Ok(false);
        }
        let mut look = || os::is_current(self.ledger.name(), &hold.descriptor, self.follow_links);
        let look = || Deadline::Passed.outlast_signals(&mut look);
        (self.ledger.for_current_process().ledger())
            .with_descriptors(look)
            .map_err(|failure| refused(self.ledger.name(), failure).into())
    }

    /// Makes an exclusive hold a shared one, without a gap in which another process gets the lock:
    /// `flock(LOCK_SH)` on the same descriptor. A shared hold stays as it is.
    ///
    /// On local file systems of Unix only. flock(2) does not promise that a conversion is atomic, and on
    /// network file systems and FUSE it is not; on Windows a lock is not converted.
    ///
    /// There is no upgrade. A system that refuses one, since there are other readers, has taken the
    /// shared lock away by then (flock(2), "Notes"), and two readers that wait for each other to go
    /// would wait forever. Release the hold, take an exclusive one, and look again at what was read.
    ///
    /// # Errors
    ///
    /// [`LockError::Io`] of the kind [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) on other file
    /// systems and platforms, and of other kinds if the system refuses; the hold is exclusive as before.
    /// [`LockError::TimedOut`] if the system has let another process in after all, which no local file
    /// system is known to do: the hold is over, and [`release`](Self::release) is then
    /// [`LockError::NotLocked`]. The same in a child of `fork` for a guard of the parent's.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("data.lock");
    /// # #[cfg(unix)] {
    /// let mut held = locket::lock_file(&path).lock()?;
    /// // Write, and then go on to read beside others.
    /// held.downgrade()?;
    /// let _reader = locket::lock_file(&path).shared().try_lock()?;
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn downgrade(&mut self) -> Result<(), LockError> {
        let is_held = self.is_held();
        let ledger = self.ledger.for_current_process();
        let not_locked = || LockError::NotLocked { path: ledger.name().path().into() };
        let hold = self.hold.as_mut().filter(|_| is_held);
        let answer = downgrade(ledger.ledger(), hold.ok_or_else(not_locked)?);
        self.is_lost = matches!(answer, Err(LockError::TimedOut { .. }));
        answer
    }

    /// Passes the hold on to the programs that this process becomes or starts: it ends when this
    /// process and all that inherited it have ended, or closed what they inherited (L11).
    ///
    /// On Unix every program executed from now on inherits a copy of the descriptor. `locket run -F`
    /// is built on it: it takes the lock, bequeaths it and becomes the command. This process holds the
    /// lock for good then, and [`Lock::state`](crate::Lock::state) says so. On Windows a lock
    /// ends with the process that took it, whoever inherits its handle: this is always an error,
    /// and the lock is released. Keep the guard until the child has ended.
    ///
    /// # Errors
    ///
    /// [`LockError::Io`] if the system refuses (`fcntl` on Unix); the lock is released.
    /// In a child of `fork`, [`LockError::NotLocked`] for a guard of the parent's.
    pub fn bequeath(mut self) -> Result<(), LockError> {
        let ledger = self.ledger.for_current_process().into_owned();
        let name = ledger.name();
        let is_held = self.is_held();
        let Some(hold) = self.hold.take_if(|_| is_held) else {
            return Err(LockError::NotLocked { path: name.path().into() });
        };
        let pass_on = || os::bequeath(&hold.descriptor);
        if let Err(failure) = ledger.ledger().with_descriptors(pass_on) {
            let error = refused(name, failure);
            release_guarded(ledger.ledger(), hold)?;
            return Err(error);
        }
        drop(hold); // Closed, not unlocked: there is a copy that the lock is on as well.
        // The process has the hold until it ends, and its state outlives every handle.
        std::mem::forget(ledger);
        Ok(())
    }

    /// Carries the hold to the children of `fork`: see fork(2), daemon(3).
    ///
    /// A child of `fork` usually holds nothing: it closes its copies of locked descriptors when it is born, so that the lock
    /// is free when the parent has died. After this call a child that is forked keeps its copy. There the guard is as good as
    /// in the parent, and [`Lock::state`](crate::Lock::state) counts the hold. The lock is one for all of them: it is free
    /// when each process has dropped its guard or has ended. For that, the end of the guard closes the descriptor
    /// and does not unlock it. It cannot be [downgraded](Self::downgrade).
    ///
    /// A program that becomes a daemon calls it before it forks:
    ///
    /// ```no_run
    /// # #[allow(unsafe_code)]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let held = locket::lock_file("/run/my_daemon.lock").try_lock()?;
    /// held.keep_on_fork();
    /// // SAFETY: the process has one thread. The parent ends in here, by _exit(2); the child goes on.
    /// if unsafe { libc::daemon(0, 0) } != 0 {
    ///     return Err(std::io::Error::last_os_error().into());
    /// }
    /// // The daemon has the lock, until it drops the guard or ends.
    /// drop(held);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(unix)]
    pub fn keep_on_fork(&self) {
        if let Some(hold) = self.hold.as_ref().filter(|_| self.is_held()) {
            hold.descriptor.keep_on_fork(self.ledger.name(), hold.mode);
        }
    }

    /// Whether this process has the hold, if it has not been released: it is not a parent's, nor lost.
    fn is_held(&self) -> bool {
        let is_ours =
            |hold: &Hold| !self.ledger.is_inherited() || hold.descriptor.is_kept_on_fork();
        !self.is_lost && self.hold.as_ref().is_some_and(is_ours)
    }

    fn end(&mut self) -> Result<(), LockError> {
        let is_held = self.is_held();
        match self.hold.take() {
            Some(hold) if is_held => {
                release_guarded(self.ledger.for_current_process().ledger(), hold)
            }
            // The parent's, or lost.
            _ => Err(LockError::NotLocked { path: self.ledger.name().path().into() }),
        }
    }
}

/// The descriptor that the lock is on, for calls that take one. It is the guard's: to unlock or close it
/// ends the hold behind the guard's back, and a program that inherits it (without `FD_CLOEXEC`) keeps the
/// lock after the guard's process has died. A child of `fork` has closed its copy, and the number may be another
/// file's there, unless the guard was kept for it ([`keep_on_fork`](Guard::keep_on_fork)).
#[cfg(unix)]
impl AsFd for Guard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.hold.iter().for_each(|hold| hold.descriptor.lend());
        self.number.borrow_from(self)
    }
}

/// The handle that the lock is on, for calls that take one. It is the guard's: to unlock or close it
/// ends the hold behind the guard's back.
#[cfg(windows)]
impl AsHandle for Guard {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.hold.iter().for_each(|hold| hold.descriptor.lend());
        self.number.borrow_from(self)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Nobody is there to be told; the hold is over in any case.
        let _ = self.hold.is_some().then(|| self.end());
    }
}
