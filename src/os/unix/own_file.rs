//! A file that is used only while its descriptor is its own.
//!
//! A host may close descriptors that it does not own: `closefrom`, or the loop over all numbers that
//! daemon(7) recommends. The number then goes to the next file that the host opens, and a call by that number would lock
//! or close the host's file.
//!
//! A descriptor is identified by its file offset, which belongs to the open file description alone, and
//! which the library does not need: it is set to an odd number above 1 GiB that no other descriptor of the library
//! has. `lseek` reads it in 100 ns, `fstat` takes 260 (Linux 6.18, 2 cores), and the offset also tells the library's
//! descriptor from one of the host for the same file.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, RawFd};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use rustix::fs::{OFlags, SeekFrom, Stat, fcntl_getfl, fstat, seek};

use crate::options::Mode;

use crate::os::unix::descriptor_table::{self, Entry};
use crate::os::unix::identity::{Identity, identity, is_own};

/// Access of a descriptor that is open for neither reading nor writing.
#[cfg(target_os = "linux")]
const PATH: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const PATH: OFlags = OFlags::empty();

/// An open file, and its identity when it was opened.
#[derive(Debug)]
pub(super) struct OwnFile {
    file: ManuallyDrop<File>,
    /// Device and inode. They are read once: they do not change while the descriptor is open, and no other file gets the
    /// inode number meanwhile.
    identity: Identity,
    /// Its entry in the table, with the offset: zero if none was set, or if the caller may have moved it. A borrowed
    /// descriptor has no entry.
    entry: Option<Entry>,
}

impl OwnFile {
    pub(super) fn new(file: File, stat: &Stat) -> Self {
        let (file, identity) = (ManuallyDrop::new(file), identity(stat));
        let entry = Some(Entry::new(file.as_raw_fd(), identity));
        Self { file, identity, entry }
    }

    /// Wraps a directory that a path is relative to. Children need it, and it is never locked.
    pub(super) fn of_directory(file: File, stat: &Stat) -> Self {
        let own = Self::new(file, stat);
        own.entry.iter().for_each(Entry::stay_in_children);
        own
    }

    /// Sets the offset that identifies the descriptor; where the file system has no such offsets,
    /// device and inode identify it.
    pub(super) fn set_mark(&self) {
        static MARKS: AtomicU64 = AtomicU64::new(0);
        const BEYOND: u64 = 1 << 30;
        let Some(entry) = &self.entry else { return };
        // The largest offset of FAT is 4 GiB.
        let mark = BEYOND | ((2 * MARKS.fetch_add(1, Relaxed) + 1) % BEYOND);
        if seek(&*self.file, SeekFrom::Start(mark)) == Ok(mark) {
            entry.set_mark(mark);
        }
    }

    /// Resets the offset to zero, for a caller that may read by this descriptor.
    pub(super) fn clear_mark(&self) {
        // Not in a child of a raw `clone`, which no handler has run in: its parent needs the offset.
        let is_ours = |entry: &Entry| entry.is_of_this_process() && entry.set_mark(0) != 0;
        if self.is_own() && self.entry.as_ref().is_some_and(is_ours) {
            // If the system refuses, the caller cannot seek either.
            let _ = seek(&*self.file, SeekFrom::Start(0));
        }
    }

    /// Borrows a descriptor of the caller's, which must outlive this: `BorrowedFile` has its lifetime. It is
    /// not closed.
    pub(super) fn borrow(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let identity = identity(&fstat(fd)?);
        // SAFETY: it is never dropped as a file, so it closes nothing.
        let file = unsafe { File::from_raw_fd(fd.as_raw_fd()) };
        Ok(Self { file: ManuallyDrop::new(file), identity, entry: None })
    }

    /// Returns whether the descriptor is borrowed from the caller.
    pub(super) fn is_borrowed(&self) -> bool {
        self.entry.is_none()
    }

    /// Returns whether it is open for reading and not for writing. (A descriptor of `O_PATH` is open for neither.)
    pub(super) fn is_read_only(&self) -> bool {
        let access = OFlags::RDONLY | OFlags::WRONLY | OFlags::RDWR | PATH;
        fcntl_getfl(&*self.file).is_ok_and(|flags| flags & access == OFlags::RDONLY)
    }

    /// Returns whether the number still belongs to this descriptor: always, if it is the caller's. In a child of `fork` it
    /// does not, unless the descriptor is passed to children.
    #[inline]
    pub(super) fn is_own(&self) -> bool {
        let mark = match &self.entry {
            Some(entry) if !entry.is_there() => return false,
            Some(entry) => entry.mark(),
            None => return true,
        };
        is_own(self.file.as_raw_fd(), mark, self.identity)
    }

    /// Passes a copy to children of `fork` that are born from now on.
    ///
    /// They share the offset, and any of them may reset it: from now on device and inode identify the descriptor.
    pub(super) fn inherit_on_fork(&self, path: &OsStr, mode: Mode) {
        self.clear_mark();
        self.entry.iter().for_each(|entry| entry.inherit_on_fork(path, mode));
    }

    pub(super) fn is_inherited_on_fork(&self) -> bool {
        self.entry.as_ref().is_some_and(Entry::is_inherited_on_fork)
    }

    /// Records whether this descriptor has the lock, and in which mode.
    #[inline]
    pub(super) fn set_held(&self, mode: Option<Mode>) {
        if let Some(entry) = &self.entry {
            entry.set_held(mode);
        }
    }

    /// Enters a copy of this descriptor that is never closed here, and that children keep.
    pub(super) fn enter_copy(&self, copy: RawFd) {
        let entry = Entry::new(copy, self.identity);
        entry.set_held(self.entry.as_ref().and_then(Entry::held));
        entry.stay_in_children();
    }

    /// Returns in which mode this process has a lock on the file by another descriptor, if that excludes this mode.
    pub(super) fn held_here(&self, wanted: Mode) -> Option<Mode> {
        descriptor_table::held_here(self.as_raw_fd(), self.identity, wanted)
    }

    #[inline]
    pub(super) fn is_of(&self, stat: &Stat) -> bool {
        identity(stat) == self.identity
    }
}

impl Deref for OwnFile {
    type Target = File;

    #[inline]
    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for OwnFile {
    fn drop(&mut self) {
        let Some(entry) = &self.entry else { return };
        if self.is_own() {
            // SAFETY: this is the only place that drops it, and nothing uses it after that.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
        // After the close: a child that is born in between finds its copy in the table, and closes it.
        entry.remove();
    }
}
