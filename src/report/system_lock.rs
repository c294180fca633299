//! The locks of all files, as the system lists them.

use std::path::PathBuf;

use crate::report::lock_status::LockStatus;

/// A lock that is held, of any file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SystemLock {
    /// The path of the file as its holder sees it: in another container the same path may name
    /// another file. `None` if it is not known, as for a process of another user.
    pub path: Option<PathBuf>,
    /// Whether the file is gone from `path`: it was deleted or replaced. (A file that has other names left is not called
    /// deleted: its `path` then ends with the kernel's ` (deleted)`.)
    pub deleted: bool,
    /// The device of the file system, major and minor, as the system's table of locks
    /// has it. It may differ from the device that `stat` returns (btrfs, overlayfs).
    pub device: (u32, u32),
    /// The inode number of the file.
    pub inode: u64,
    /// Its holders and waiters.
    pub status: LockStatus,
}
