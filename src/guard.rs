use std::io;

use super::deadline::Deadline;
use super::diagnosis::refused;
use super::error::LockError;
use super::ledger::Hold;
use super::os;
use super::process::LedgerRef;
use super::release::release_guarded;

/// Proof that the lock is held: from [`Lock::lock`](crate::Lock::lock) until it is dropped.
///
/// No [`Lock::release`](crate::Lock::release) and no other guard can end this hold (L5). A guard
/// may be sent to another thread and dropped there. Dropping it releases the lock and never panics;
/// [`release`](Self::release) does the same and says whether the system agreed. A guard that is
/// leaked ([`std::mem::forget`]) holds the lock until the process ends.
///
/// In a child of `fork` an inherited guard is no proof of anything: dropping it there leaves the
/// parent's hold as it is (L11).
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
    follow_links: bool,
}

impl Guard {
    pub(crate) fn new(ledger: LedgerRef, hold: Hold, follow_links: bool) -> Self {
        Self { ledger, hold: Some(hold), follow_links }
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
    /// hold the lock of the file that is there now. One `stat` on Unix; on Windows the file is
    /// opened to ask.
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
        let look = || os::is_current(self.ledger.name(), &hold.descriptor, self.follow_links);
        Deadline::Passed
            .outlast_signals(look)
            .map_err(|failure| refused(self.ledger.name(), failure).into())
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
        let name = self.ledger.name();
        let Some(hold) = self.hold.take_if(|_| !self.ledger.is_inherited()) else {
            return Err(LockError::NotLocked { path: name.path().into() });
        };
        if let Err(failure) = os::bequeath(&hold.descriptor) {
            let error = refused(name, failure);
            release_guarded(self.ledger.ledger(), hold)?;
            return Err(error);
        }
        drop(hold); // Closed, not unlocked: there is a copy that the lock is on as well.
        Ok(())
    }

    /// Returns the descriptor that the lock is on, for passing it to a child process. `None` in a child of `fork`,
    /// for a guard of the parent's.
    ///
    /// The lock lasts until every copy of the descriptor is closed, in all processes, or the guard is released.
    /// Do not unlock or lock the descriptor: the guard would prove nothing any more.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// let held = locket::lock_file(&path).lock()?;
    /// let descriptor = held.descriptor().expect("it is this process's guard");
    /// let copy = descriptor.try_clone_to_owned()?;
    /// held.release()?; // For all copies.
    /// assert!(locket::lock_file(&path).try_lock().is_ok());
    /// # drop(copy);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(unix)]
    #[must_use]
    pub fn descriptor(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        let hold = self.hold.as_ref().filter(|_| !self.ledger.is_inherited())?;
        Some(hold.descriptor.as_fd())
    }

    fn end(&mut self) -> Result<(), LockError> {
        match self.hold.take() {
            Some(hold) if !self.ledger.is_inherited() => {
                release_guarded(self.ledger.ledger(), hold)
            }
            // The parent's: closing our copy of the descriptor leaves its lock alone.
            _ => Err(LockError::NotLocked { path: self.ledger.name().path().into() }),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Nobody is there to be told; the hold is over in any case.
        let _ = self.hold.is_some().then(|| self.end());
    }
}
