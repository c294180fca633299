//! All locks that can be seen from here, whatever their files.

use std::path::PathBuf;

use super::lock_status::LockStatus;

/// The lock of a file that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SystemLock {
    /// Where the file is, as its holder sees it: in another container the same words may mean
    /// another file. `None` if that cannot be told, as it cannot of another user's process.
    pub path: Option<PathBuf>,
    /// The file is not at `path` any more: it was deleted, or another has taken its place. (A file that has other names
    /// left, and its holder's name not, is not said to be deleted: its `path` ends with the kernel's ` (deleted)`.)
    pub deleted: bool,
    /// The numbers of the file system's device, major and minor, as the system's table of locks
    /// has them. Not always those that `stat` shows.
    pub device: (u32, u32),
    /// The number of the file's inode.
    pub inode: u64,
    /// Who holds it, and who waits for it.
    pub status: LockStatus,
}
