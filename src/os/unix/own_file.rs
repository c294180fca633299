//! A descriptor that is left alone when its number is not its own, or no longer.
//!
//! A host may close descriptors that are not its own: `closefrom`, or the loop over all numbers that
//! daemon(7) recommends. The number then goes to the next file that the host opens, and what is locked
//! or closed by it would be the host's.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};

use rustix::fs::{Stat, fstat};
use rustix::io::Errno;

/// An open file, and what it was when it was opened.
#[derive(Debug)]
pub(super) struct OwnFile {
    file: ManuallyDrop<File>,
    /// Device and inode. They are read once: they are the descriptor's for life, and the inode's
    /// number goes to no other file as long as a descriptor holds it.
    identity: (u64, u64),
    is_borrowed: bool,
}

impl OwnFile {
    pub(super) fn new(file: File, stat: &Stat) -> Self {
        Self { file: ManuallyDrop::new(file), identity: identity(stat), is_borrowed: false }
    }

    /// A descriptor of the caller's, which has to outlive this: `BorrowedDescriptor` sees to that. It is
    /// not closed.
    pub(super) fn borrow(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let identity = identity(&fstat(fd)?);
        // SAFETY: it is never dropped as a file, so it closes nothing.
        let file = unsafe { File::from_raw_fd(fd.as_raw_fd()) };
        Ok(Self { file: ManuallyDrop::new(file), identity, is_borrowed: true })
    }

    /// Whether the number still belongs to this file. A file that cannot be looked at is open all the
    /// same, a stale one on NFS for instance. (That the host has opened the same file by the same
    /// number is not seen.)
    pub(super) fn is_own(&self) -> bool {
        match fstat(&*self.file) {
            Ok(stat) => self.is_of(&stat),
            Err(error) => error != Errno::BADF,
        }
    }

    pub(super) fn is_of(&self, stat: &Stat) -> bool {
        identity(stat) == self.identity
    }
}

impl Deref for OwnFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        if !self.is_borrowed && self.is_own() {
            // SAFETY: this is the only place that drops it, and nothing uses it after that.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

fn identity(stat: &Stat) -> (u64, u64) {
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "types vary by platform")]
    (stat.st_dev as u64, stat.st_ino as u64)
}
