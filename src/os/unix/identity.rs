//! Which file a descriptor belongs to.

use std::os::fd::{BorrowedFd, RawFd};

use rustix::fs::{Stat, fstat, tell};
use rustix::io::Errno;

/// Device and inode of a file.
pub(super) type Identity = (u64, u64);

#[inline]
pub(super) fn identity(stat: &Stat) -> Identity {
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "types vary by platform")]
    (stat.st_dev as u64, stat.st_ino as u64)
}

/// Returns whether the number belongs to the descriptor with this mark; without a mark, whether it belongs to a descriptor
/// of this file. A file that cannot be looked at is open nevertheless: a stale one on NFS, for instance. Legal in a
/// child that has just been born.
#[inline]
pub(super) fn is_own(number: RawFd, mark: u64, file: Identity) -> bool {
    // SAFETY: the number may belong to anything, or to nothing: these calls change nothing, and it is not kept.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    match mark {
        0 => {
            fstat(descriptor).map_or_else(|error| error != Errno::BADF, |it| identity(&it) == file)
        }
        mark => tell(descriptor) == Ok(mark),
    }
}
