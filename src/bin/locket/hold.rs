//! The lock that a command runs under, by whatever it is held.

#[cfg(unix)]
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use locket::{Guard, LockError};

#[derive(Debug)]
pub(crate) enum Hold {
    /// The lock of a regular file.
    File(Guard),
    /// A descriptor that locket has opened: of a directory or a device, or to lock it in flock's ways.
    #[cfg(unix)]
    Opened(OwnedFd),
    /// A descriptor of the process that started locket, which has the lock after locket's end.
    #[cfg(unix)]
    Inherited(BorrowedFd<'static>),
}

impl Hold {
    /// Ends the hold, for all that share it.
    pub(crate) fn release(self) -> Result<(), LockError> {
        match self {
            Self::File(guard) => guard.release(),
            #[cfg(unix)]
            Self::Opened(fd) => locket::lock_fd(fd).unlock(),
            #[cfg(unix)]
            Self::Inherited(fd) => locket::lock_fd(fd).unlock(),
        }
    }

    /// Leaves the lock to the programs that have inherited it: this process closes it when it ends, and unlocks nothing.
    #[cfg(unix)]
    pub(crate) fn leave(self) {
        std::mem::forget(self);
    }
}

#[cfg(unix)]
impl AsFd for Hold {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::File(guard) => guard.as_fd(),
            Self::Opened(fd) => fd.as_fd(),
            Self::Inherited(fd) => *fd,
        }
    }
}
