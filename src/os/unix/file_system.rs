//! File systems that are not local: how their locks and paths differ.
//!
//! Each fact was seen with a real server (Linux 6.1 and 6.18 as the client); `ci/network.sh` shows it again.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "elsewhere every file system counts as local")
)]

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::os::unix::lock_path::AtPath;

/// The kind of file system that a descriptor is on, as far as it matters to a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileSystem {
    Local,
    Nfs,
    Smb,
    /// Any server in user space; virtiofs has the same magic number.
    Fuse,
    /// 9p, the protocol of Plan 9.
    NineP,
}

impl FileSystem {
    /// Reads the magic number of the file system (`statfs(2)`). After an error it counts as local.
    #[cfg(target_os = "linux")]
    pub(super) fn of(file: &File) -> Self {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "32 bits")]
        let magic =
            rustix::io::retry_on_intr(|| rustix::fs::fstatfs(file)).map(|it| it.f_type as u32);
        match magic {
            Ok(0x6969) => Self::Nfs,
            // SMB 1; SMB 2 and 3; smbfs, which Linux had before 5.15.
            Ok(0xff53_4d42 | 0xfe53_4d42 | 0x517b) => Self::Smb,
            Ok(0x6573_5546) => Self::Fuse,
            Ok(0x0102_1997) => Self::NineP,
            _ => Self::Local,
        }
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(_: &File) -> Self {
        Self::Local
    }

    /// Returns whether a signal with a handler ends a wait in `flock(2)`. SMB waits for the server's answer in any case
    /// (`cifs_setlk` in fs/smb/client/file.c, Linux 6.1), and a FUSE server may ignore the interruption that it is sent: there
    /// is no way to ask which servers do.
    #[cfg(target_os = "linux")]
    pub(super) const fn ends_waits(self) -> bool {
        !matches!(self, Self::Smb | Self::Fuse)
    }

    /// Returns the file that a path names now; `None` if it names none.
    #[inline]
    pub(super) fn look_up(self, at: AtPath<'_>, follow_links: bool) -> Result<Option<Stat>, Errno> {
        let stat = match self {
            Self::Nfs => {
                refresh(at, follow_links);
                stat(at, follow_links)
            }
            Self::Smb => stat_by_opening(at, follow_links),
            Self::Local | Self::Fuse | Self::NineP => stat(at, follow_links),
        };
        match stat {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            // A file that was deleted or replaced while this client had it in its cache.
            Err(Errno::STALE | Errno::INVAL) if self == Self::Smb => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[inline]
fn stat(at: AtPath<'_>, follow_links: bool) -> Result<Stat, Errno> {
    let flags = if follow_links { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    statat(at.directory, at.path, flags)
}

/// Opens the path and returns the `stat` of the descriptor: the SMB client answers `stat` of a path from its cache.
///
/// An open asks the server, unless the client has the path open with the same flags: then it shares that handle, whatever
/// the path names meanwhile (`cifs_open` in fs/smb/client/file.c compares `f_flags`, Linux 6.1). So this open has `O_APPEND`,
/// which lock files are opened without, and which has no effect here.
fn stat_by_opening(at: AtPath<'_>, follow_links: bool) -> Result<Stat, Errno> {
    let mut flags = OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    flags.set(OFlags::NOFOLLOW, !follow_links);
    let open = |access| openat(at.directory, at.path, flags | access, Mode::empty());
    let opened = match open(OFlags::RDONLY) {
        Err(Errno::ACCESS | Errno::PERM) => open(OFlags::WRONLY),
        opened => opened,
    };
    fstat(opened?)
}

/// Makes the NFS client revalidate the directories on the way.
///
/// The client caches the contents of directories, and `stat` answers from that cache for up to a minute, even with
/// `AT_STATX_FORCE_SYNC`. An open of a directory asks the server whether it has changed (close-to-open consistency,
/// nfs(5)); the cache of a changed directory is then dropped. Errors are ignored here: the look-up that follows
/// meets them as well.
fn refresh(at: AtPath<'_>, follow_links: bool) {
    /// As many symbolic links as the kernel follows (`MAXSYMLINKS`).
    const LINKS: usize = 40;
    let mut path = PathBuf::from(OsStr::from_bytes(at.path.to_bytes()));
    for _ in 0..LINKS {
        let mut directories: Vec<_> = path.ancestors().skip(1).collect();
        directories.reverse();
        for directory in directories {
            // The directory in which a relative path begins.
            let is_first = directory.as_os_str().is_empty();
            let directory = if is_first { Path::new(".") } else { directory };
            let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
            drop(openat(at.directory, directory, flags, Mode::empty()));
        }
        let target = match readlinkat(at.directory, &path, Vec::new()) {
            Ok(target) if follow_links => PathBuf::from(OsStr::from_bytes(target.to_bytes())),
            _ => return,
        };
        path = path.parent().map_or_else(|| target.clone(), |directory| directory.join(&target));
    }
}
