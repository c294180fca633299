//! The locks of other hosts, which `/proc/locks` does not show: the server of an NFS mount is asked (`F_GETLK`).

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::OFlags;

use crate::options::Mode;
use crate::os::unix::lock_path::AtPath;

/// Returns the mode of a lock that conflicts with an exclusive one, and that no process of this host holds. `None` if
/// there is none, or if the server cannot be asked.
///
/// The NFS client keeps `flock(2)` locks at the server as byte ranges (nfs(5), `local_lock`), so that `F_GETLK` finds
/// them. The server does not name their processes: the number is 0 (NFS 4) or negative (NFS 3). A positive number is a
/// process of this host, with a lock of another kind. The lock is only asked about: no lock is taken, and a descriptor
/// that is open for reading is enough.
pub(crate) fn held_elsewhere(at: AtPath<'_>, follow_links: bool) -> Option<Mode> {
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    flags.set(OFlags::NOFOLLOW, !follow_links);
    let file = rustix::fs::openat(at.directory, at.path, flags, rustix::fs::Mode::empty()).ok()?;
    mode_of(&conflicting(&file).ok()?)
}

fn conflicting(file: &OwnedFd) -> io::Result<libc::flock> {
    // SAFETY: all zeros are a valid value of this structure of numbers.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = short(libc::F_WRLCK);
    lock.l_whence = short(libc::SEEK_SET);
    // SAFETY: the descriptor is open, and the structure is read and written during the call alone.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLK, &raw mut lock) } {
        0 => Ok(lock),
        _ => Err(io::Error::last_os_error()),
    }
}

fn mode_of(lock: &libc::flock) -> Option<Mode> {
    let is_of_this_host = lock.l_pid > 0;
    match i32::from(lock.l_type) {
        _ if is_of_this_host => None,
        libc::F_WRLCK => Some(Mode::Exclusive),
        libc::F_RDLCK => Some(Mode::Shared),
        _ => None,
    }
}

/// Converts a constant: some systems define them as `int`, others as `short`.
#[allow(clippy::cast_possible_truncation, reason = "they are small numbers")]
const fn short(number: libc::c_int) -> libc::c_short {
    number as libc::c_short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_lock_of_another_host_counts() {
        let told = |kind, pid| {
            // SAFETY: all zeros are a value of this structure of numbers.
            let mut lock: libc::flock = unsafe { std::mem::zeroed() };
            (lock.l_type, lock.l_pid) = (short(kind), pid);
            mode_of(&lock)
        };
        assert_eq!([0, -7].map(|pid| told(libc::F_WRLCK, pid)), [Some(Mode::Exclusive); 2]);
        assert_eq!(told(libc::F_RDLCK, 0), Some(Mode::Shared));
        assert_eq!(told(libc::F_WRLCK, 42), None, "a lock of fcntl(2)");
        assert_eq!(told(libc::F_UNLCK, 0), None);
    }
}
