//! The entry in the table of locks that belongs to the file at a path.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, OFlags, Stat, StatxFlags, major, makedev, minor};
use rustix::io::Errno;

use crate::os::unix::lock_path::AtPath;
use crate::report::linux::fdinfo::Locked;
use crate::report::linux::mounts::Mount;
use crate::report::linux::table::{FileId, ask};

/// The file that a path names.
#[derive(Clone, Copy, Debug)]
pub(super) struct LockFile {
    pub(super) id: FileId,
    pub(super) proof: Proof,
    pub(super) locks_at: LocksAt,
}

/// Where the locks of the file are kept: that decides what an empty answer of `/proc/locks` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LocksAt {
    /// In this host's kernel alone.
    ThisHost,
    /// In this host's kernel, and on the server, which tells of the locks of other hosts (`F_GETLK`).
    NfsServer,
    /// In another place as well, which cannot be asked.
    Elsewhere,
}

impl LocksAt {
    /// A mount that is not listed belongs to another mount namespace.
    fn of(mount: Option<&Mount>) -> Self {
        match mount {
            Some(mount) if mount.kind.starts_with("nfs") => Self::NfsServer,
            Some(mount) if !mount.is_network() => Self::ThisHost,
            _ => Self::Elsewhere,
        }
    }
}

/// What proves that a lock belongs to this file and to no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// The device and inode in the table: no other file has them.
    Numbers,
    /// The device and inode of `stat`. Other files may have the numbers of the table: subvolumes of btrfs and layers of
    /// overlayfs number their files separately, and the table shows neither.
    Stat(u64, u64),
}

impl LockFile {
    /// Finds the file; `None` if it does not exist. Opens it for neither reading nor writing, and does not create it.
    pub(super) fn find(at: AtPath<'_>, follow_links: bool) -> io::Result<Option<Self>> {
        let mut flags = OFlags::PATH | OFlags::CLOEXEC;
        flags.set(OFlags::NOFOLLOW, !follow_links);
        let file = match rustix::fs::openat(at.directory, at.path, flags, rustix::fs::Mode::empty())
        {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&file)?;
        if !follow_links && FileType::from_raw_mode(stat.st_mode).is_symlink() {
            return Err(Errno::LOOP.into());
        }
        Self::of(&file, &stat).map(Some)
    }

    /// The mount of the descriptor tells the device that the table shows. It is read from
    /// `thread-self`, since `self` is gone once the first thread has exited.
    fn of(file: &OwnedFd, stat: &Stat) -> io::Result<Self> {
        let about = ask(&format!("/proc/thread-self/fdinfo/{}", file.as_raw_fd()))?;
        let of_stat = FileId { device: device(stat.st_dev), inode: stat.st_ino };
        // Kernels before 5.14 do not tell the inode.
        let inode = number(&about, "ino:").unwrap_or(stat.st_ino);
        let mount = Mount::from_fdinfo(&about);
        let mounted = mount.as_ref().map(|mount| mount.device);
        let locks_at = LocksAt::of(mount.as_ref());
        let id = FileId { device: mounted.unwrap_or(of_stat.device), inode };
        // A mount that is not listed (of another namespace, or unmounted already) proves nothing.
        let is_proof = mounted.is_some() && id == of_stat;
        let stat = Proof::Stat(stat.st_dev, stat.st_ino);
        Ok(Self { id, proof: if is_proof { Proof::Numbers } else { stat }, locks_at })
    }
}

impl Proof {
    /// Returns whether this descriptor, which has a lock with the same numbers, belongs to the file.
    pub(super) fn is_of(self, locked: &Locked) -> bool {
        match self {
            Self::Numbers => true,
            Self::Stat(device, inode) => About::of(locked.link().as_ref())
                .is_some_and(|about| about.identity == (device, inode)),
        }
    }
}

/// The attributes that the kernel has cached of the file that a link in `/proc` leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    /// Its device and inode, as `stat` shows them.
    pub(super) identity: (u64, u64),
    /// Whether no name leads to it any more.
    pub(super) is_deleted: bool,
}

impl About {
    /// Reads them without asking the server of the file system (`AT_STATX_DONT_SYNC`), which may be dead or hostile: another
    /// process chose the file.
    pub(super) fn of(link: &Path) -> Option<Self> {
        let flags = AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
        let wanted = StatxFlags::INO | StatxFlags::NLINK;
        let stat = rustix::fs::statx(CWD, link, flags, wanted).ok()?;
        let device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
        Some(Self { identity: (device, stat.stx_ino), is_deleted: stat.stx_nlink == 0 })
    }
}

fn device(number: u64) -> (u32, u32) {
    (major(number), minor(number))
}

/// The number after a word at the beginning of a line.
pub(super) fn number(about: &str, word: &str) -> Option<u64> {
    about.lines().find_map(|line| line.strip_prefix(word))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::MemfdFlags;

    use super::*;

    #[test]
    fn numbers_of_a_descriptor() {
        let about = "pos:\t0\nflags:\t012100000\nmnt_id:\t28\nino:\t18446744073709551615\n";
        assert_eq!(number(about, "ino:"), Some(u64::MAX));
        assert_eq!(number("pos:\t0\n", "ino:"), None);
    }

    /// As of a file on a mount of another namespace: here on one that only the kernel has.
    #[test]
    fn a_mount_that_is_not_listed_proves_nothing() {
        let proof_of = |file: &OwnedFd| {
            let stat = rustix::fs::fstat(file)?;
            let found = LockFile::of(file, &stat)?;
            io::Result::Ok((found.proof, Proof::Stat(stat.st_dev, stat.st_ino)))
        };
        let unlisted = rustix::fs::memfd_create("unlisted", MemfdFlags::CLOEXEC);
        let unlisted = unlisted.map_err(io::Error::from).and_then(|file| proof_of(&file));
        assert!(unlisted.as_ref().is_ok_and(|(proof, stat)| proof == stat), "{unlisted:?}");
        let listed = fs::File::open("/proc").and_then(|file| proof_of(&file.into()));
        assert!(listed.as_ref().is_ok_and(|(proof, _)| *proof == Proof::Numbers), "{listed:?}");
    }
}
