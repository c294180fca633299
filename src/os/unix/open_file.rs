//! Open lock files, and descriptors that are lent to and by the caller.

use std::fs::File;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use rustix::fs::Stat;

use crate::error::Action;
use crate::fork_count::Seen;
use crate::options::Mode;
use crate::os::platform::{OsError, PlatformFile, PlatformPath};

use crate::os::unix::file_system::FileSystem;
use crate::os::unix::generation;
use crate::os::unix::lock_path::LockPath;
use crate::os::unix::own_file::OwnFile;

/// An open file description of the library's own.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(super) own: OwnFile,
    /// The forks that this process had seen when it was opened.
    forks: Seen,
    pub(super) file_system: FileSystem,
}

impl OpenFile {
    pub(super) fn new(file: File, stat: &Stat, forks: Seen) -> Self {
        let file_system = FileSystem::of(&file);
        Self { own: OwnFile::new(file, stat), forks, file_system }
    }

    /// Returns the number of its descriptor, for the guard that owns it.
    pub(crate) fn number(&self) -> RawDescriptor {
        RawDescriptor(self.own.as_raw_fd())
    }

    /// Prepares the descriptor for the caller of the library, which may read by it.
    pub(crate) fn lend(&self) {
        self.own.clear_mark();
    }

    /// Passes the hold to children of `fork` that are born from now on, by their copies of this descriptor.
    pub(crate) fn inherit_on_fork(&self, path: &LockPath, mode: Mode) {
        self.own.inherit_on_fork(path.key(), mode);
    }
}

impl PlatformFile for OpenFile {
    fn is_shared_by_fork(&self) -> bool {
        generation::forked_since(self.forks)
    }

    fn is_own(&self) -> bool {
        self.own.is_own()
    }

    fn is_inherited_on_fork(&self) -> bool {
        self.own.is_inherited_on_fork()
    }

    /// On network file systems and FUSE an open file prevents its directory from being removed, since a
    /// deleted file lives on under another name there, and its mount from being unmounted.
    fn may_be_idle(&self) -> bool {
        self.file_system == FileSystem::Local
    }
}

/// The number of a descriptor, for a guard that owns it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawDescriptor(RawFd);

impl RawDescriptor {
    /// Borrows the descriptor for as long as its owner is borrowed, which keeps it open meanwhile.
    pub(crate) fn borrow_from<T>(self, _owner: &T) -> BorrowedFd<'_> {
        // SAFETY: a guard owns the descriptor whose number it has, and that leaves the guard only when
        // the guard itself ends: by `release`, `inherit_on_exec` and drop.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

/// An open file description of the caller's.
#[derive(Debug)]
pub(crate) struct BorrowedFile<'fd> {
    file: OpenFile,
    _fd: PhantomData<BorrowedFd<'fd>>,
}

impl<'fd> BorrowedFile<'fd> {
    pub(crate) fn new(fd: BorrowedFd<'fd>) -> Result<Self, OsError> {
        let own = OwnFile::borrow(fd).map_err(|error| Action::Lock.failed(error))?;
        let file_system = FileSystem::of(&own);
        let file = OpenFile { own, forks: generation::seen_forks(), file_system };
        Ok(Self { file, _fd: PhantomData })
    }

    pub(crate) fn file(&self) -> &OpenFile {
        &self.file
    }
}
