//! All locks that can be seen from here, whatever their files.

use std::io;
use std::path::PathBuf;

use super::holders::Holders;
use super::os;

/// The lock of a file that somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LockInUse {
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
    pub holders: Holders,
}

/// Every lock of the kind that this library takes which somebody holds now, in this process and
/// all others, whatever program took it; in no particular order.
///
/// On Linux: the `flock(2)` locks in `/proc/locks`, which shows a container its own processes'
/// only. Locks of files whose numbers are alike there (btrfs, overlayfs) are told apart as far as
/// their holders may be looked into. The kernel shows a table of more than about sixty locks in parts, between which it
/// changes: a lock that is taken or released during the look is returned if a process that may be looked into has it.
/// For people to read, like
/// [`Lock::holders`](crate::Lock::holders).
///
/// # Errors
///
/// What the system answers when it cannot be asked; [`io::ErrorKind::Unsupported`] where it has
/// nothing to ask (everywhere but on Linux).
///
/// ```
/// match locket::locks_in_use() {
///     Ok(locks) => locks.iter().for_each(|lock| println!("{:?}: {}", lock.path, lock.holders)),
///     Err(error) => eprintln!("the locks in use cannot be told: {error}"),
/// }
/// ```
pub fn locks_in_use() -> io::Result<Vec<LockInUse>> {
    os::locks_in_use()
}
