#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd};
#[cfg(windows)]
use std::os::windows::io::{AsHandle, BorrowedHandle};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::Path;

use crate::deadline::Deadline;
use crate::error::{Action, ErrorKind, LockError};
use crate::ledger::Hold;
use crate::os::Os;
#[cfg(any(unix, windows))]
use crate::os::RawDescriptor;
use crate::os::platform::{Platform, PlatformFile, PlatformPath, retry_on_intr};
use crate::process::LedgerRef;
use crate::release::{downgrade, release_guarded};
use crate::report::to_lock_error;

/// Holds the lock until it is dropped: returned by [`Lock::lock`](crate::Lock::lock).
///
/// No [`Lock::release`](crate::Lock::release) and no other guard can end this hold (L5). A guard
/// may be sent to another thread and dropped there. Dropping it releases the lock and never panics;
/// [`release`](Self::release) does the same and returns the error of the system. A guard that is
/// leaked ([`std::mem::forget`]) holds the lock until the process ends.
///
/// In a child of `fork` an inherited guard holds nothing, unless it was passed on
/// (`inherit_on_fork`, on Unix): dropping it there leaves the parent's hold as it is (L11).
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("my_app.lock");
/// let held = locket::Lock::new(&path).lock()?;
/// std::thread::spawn(move || drop(held)).join().unwrap();
/// assert!(locket::Lock::new(&path).try_lock().is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct Guard {
    ledger: LedgerRef,
    /// `None` once released.
    hold: Option<Hold>,
    /// A downgrade has lost the lock to another process. The file stays open, since its descriptor is lent.
    is_lost: bool,
    #[cfg(any(unix, windows))]
    number: RawDescriptor,
    follow_links: bool,
}

// Shared state changes by single atomic steps.
impl UnwindSafe for Guard {}
impl RefUnwindSafe for Guard {}

impl Guard {
    pub(crate) fn new(ledger: LedgerRef, hold: Hold, follow_links: bool) -> Self {
        Self {
            ledger,
            #[cfg(any(unix, windows))]
            number: hold.file.number(),
            hold: Some(hold),
            is_lost: false,
            follow_links,
        }
    }

    /// Returns the absolute path of the lock file: see [`Lock::path`](crate::Lock::path).
    #[must_use]
    pub fn path(&self) -> &Path {
        self.ledger.path().path()
    }

    /// Releases the lock.
    ///
    /// # Errors
    ///
    /// The error of the system if it refuses to unlock (`flock(LOCK_UN)` on Unix, `UnlockFile`
    /// on Windows). The hold has ended nevertheless: the file is closed (L6). The same (`EBADF`) if the host program has
    /// closed the descriptor, which it does not own (Unix): the hold ended then, and the file that has its number now
    /// is left alone. In a child of `fork`, [`NotLocked`](ErrorKind::NotLocked) for a guard of the parent's.
    pub fn release(mut self) -> Result<(), LockError> {
        self.end()
    }

    /// Returns whether the path still names the file that is locked (L9).
    ///
    /// If it does not, another program has unlinked, renamed or replaced the lock file, and other processes may
    /// hold the lock of the file that is there now. Or the host program has closed the descriptor, which it does not
    /// own (Unix), and the hold is over. One `fstat` and one `stat` on Unix; on Windows the
    /// file is opened to ask.
    ///
    /// # Errors
    ///
    /// The error of the system if it cannot tell. A missing file is no error but `false`.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// let held = locket::Lock::new(&path).lock()?;
    /// assert!(held.is_current()?);
    /// # #[cfg(unix)] {
    /// std::fs::remove_file(&path)?;
    /// assert!(!held.is_current()?);
    /// # }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_current(&self) -> Result<bool, LockError> {
        let Some(hold) = &self.hold else { return Ok(false) };
        if !self.is_held() || !hold.file.is_own() {
            return Ok(false);
        }
        let path = self.ledger.path();
        let look = || Os::is_current(path, &hold.file, self.follow_links);
        let ledger = self.ledger.for_current_process();
        let answer = ledger.ledger().with_descriptors(|| retry_on_intr(&Deadline::Passed, look));
        answer.map_err(|error| to_lock_error(path, error))
    }

    /// Converts an exclusive hold to a shared one, without a gap in which another process acquires the lock:
    /// `flock(LOCK_SH)` on the same descriptor. A shared hold stays as it is.
    ///
    /// On local file systems of Unix only. flock(2) does not promise that a conversion is atomic, and on
    /// network file systems and FUSE it is not; Windows does not convert locks.
    ///
    /// There is no upgrade. A system that refuses one, since there are other readers, has released the
    /// shared lock by then (flock(2), "Notes"), and two readers that wait for each other
    /// would wait forever. Release the hold, acquire an exclusive one, and read again what was read.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) on other file systems and platforms, and other kinds if the system
    /// refuses or the host program has closed the descriptor; the hold is what it was before. [`WouldBlock`](ErrorKind::WouldBlock) if the system has let another
    /// process in between, which no local file
    /// system is known to do: the hold is over, and [`release`](Self::release) then fails with
    /// [`NotLocked`](ErrorKind::NotLocked). The same in a child of `fork` for a guard of the parent's.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("data.lock");
    /// # #[cfg(unix)] {
    /// let mut held = locket::Lock::new(&path).lock()?;
    /// // Write, and then go on to read beside others.
    /// held.downgrade()?;
    /// let _reader = locket::Lock::new(&path).try_lock_shared()?;
    /// # }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn downgrade(&mut self) -> Result<(), LockError> {
        let is_held = self.is_held();
        let ledger = self.ledger.for_current_process();
        let not_locked = || LockError::not_locked(ledger.path().path(), Action::Downgrade);
        let hold = self.hold.as_mut().filter(|_| is_held);
        let answer = downgrade(ledger.ledger(), hold.ok_or_else(not_locked)?);
        self.is_lost = answer.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
        answer
    }

    /// Passes the hold on to the programs that this process executes from now on: it ends when this
    /// process and all that inherited it have ended or closed the descriptor (L11).
    ///
    /// On Unix every program executed from now on inherits a copy of the descriptor. `locket run -F`
    /// does this: it acquires the lock, passes it on and becomes the command. This process then holds the
    /// lock until it ends, and [`Lock::state`](crate::Lock::state) says so. On Windows a lock
    /// ends with the process that took it, whichever process inherits its handle: this is always an error,
    /// and the lock is released. Keep the guard there until the child has ended.
    ///
    /// # Errors
    ///
    /// The error of the system if it refuses (`fcntl` on Unix), or if the host program has closed the descriptor; the
    /// lock is released.
    /// In a child of `fork`, [`NotLocked`](ErrorKind::NotLocked) for a guard of the parent's.
    pub fn inherit_on_exec(mut self) -> Result<(), LockError> {
        let ledger = self.ledger.for_current_process().into_owned();
        let path = ledger.path();
        let is_held = self.is_held();
        let Some(hold) = self.hold.take_if(|_| is_held) else {
            return Err(LockError::not_locked(path.path(), Action::Inherit));
        };
        let pass_on = || Os::inherit_on_exec(&hold.file);
        if let Err(error) = ledger.ledger().with_descriptors(pass_on) {
            let error = to_lock_error(path, error);
            release_guarded(ledger.ledger(), hold)?;
            return Err(error);
        }
        drop(hold); // Closed, not unlocked: there is a copy that the lock is on as well.
        // The process has the hold until it ends, and its state outlives every handle.
        std::mem::forget(ledger);
        Ok(())
    }

    /// Passes the hold to the children of `fork`: see fork(2), daemon(3).
    ///
    /// A child of `fork` usually holds nothing: it closes its copies of locked descriptors when it is born, so that the lock
    /// is free when the parent has died. After this call a child that is forked keeps its copy. There the guard is as good as
    /// in the parent, and [`Lock::state`](crate::Lock::state) counts the hold. The lock is one for all of them: it is free
    /// when each process has dropped its guard or has ended. For that, the end of the guard closes the descriptor
    /// and does not unlock it. The hold cannot be [downgraded](Self::downgrade).
    ///
    /// A program that becomes a daemon calls it before it forks:
    ///
    /// ```no_run
    /// # #[allow(unsafe_code)]
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let held = locket::Lock::new("/run/my_daemon.lock").try_lock()?;
    /// held.inherit_on_fork();
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
    pub fn inherit_on_fork(&self) {
        if let Some(hold) = self.hold.as_ref().filter(|_| self.is_held()) {
            hold.file.inherit_on_fork(self.ledger.path(), hold.mode);
        }
    }

    /// Returns whether this process has the hold, if it has not been released: it is not a parent's, nor lost.
    fn is_held(&self) -> bool {
        let is_ours = |hold: &Hold| !self.ledger.is_inherited() || hold.file.is_inherited_on_fork();
        !self.is_lost && self.hold.as_ref().is_some_and(is_ours)
    }

    fn end(&mut self) -> Result<(), LockError> {
        let is_held = self.is_held();
        match self.hold.take() {
            Some(hold) if is_held => {
                release_guarded(self.ledger.for_current_process().ledger(), hold)
            }
            // The parent's, or lost.
            _ => Err(LockError::not_locked(self.path(), Action::Unlock)),
        }
    }
}

/// Borrows the descriptor that the lock is on, for calls that take one.
///
/// It is the guard's: to unlock or close it ends the hold without the guard's knowledge, and a program that inherits it
/// (without `FD_CLOEXEC`) keeps the lock after the guard's process has died. A guard that has lent its descriptor knows
/// it by its file alone: it cannot notice that the caller closes it and opens the same file by that number. A child of `fork` has closed its copy, and the
/// number may be another file's there, unless the guard was passed on to it ([`inherit_on_fork`](Guard::inherit_on_fork)).
#[cfg(unix)]
impl AsFd for Guard {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.hold.iter().for_each(|hold| hold.file.lend());
        self.number.borrow_from(self)
    }
}

/// Borrows the handle that the lock is on, for calls that take one. It is the guard's: to unlock or close it
/// ends the hold without the guard's knowledge.
#[cfg(windows)]
impl AsHandle for Guard {
    fn as_handle(&self) -> BorrowedHandle<'_> {
        self.hold.iter().for_each(|hold| hold.file.lend());
        self.number.borrow_from(self)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // A drop reports no error; the hold has ended in any case.
        let _ = self.hold.is_some().then(|| self.end());
    }
}
