//! The mount that a file is on: the file system and its options.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::report::linux::proc::read_text;

/// A line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The device of the file system, major and minor, as the table of locks shows it.
    pub(crate) device: (u32, u32),
    pub(crate) point: PathBuf,
    /// The type of the file system: `ext4`, `nfs4`.
    pub(crate) kind: String,
    /// The options of the mount and of the file system, separated by commas.
    pub(crate) options: String,
}

impl Mount {
    /// Returns the mount of the file at this path, which is opened for neither reading nor writing.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let file = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).ok()?;
        Self::of(&file)
    }

    /// Returns the mount of an open file. (`self` is gone once the first thread has exited; `thread-self` is not.)
    pub(crate) fn of(file: impl AsFd) -> Option<Self> {
        let descriptor = file.as_fd().as_raw_fd();
        Self::from_fdinfo(&read_text(format!("/proc/thread-self/fdinfo/{descriptor}")).ok()?)
    }

    /// Returns the mount of an open file, by its `fdinfo`.
    pub(crate) fn from_fdinfo(about: &str) -> Option<Self> {
        let id = about.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim();
        Self::find(&read_text("/proc/thread-self/mountinfo").ok()?, id.parse().ok()?)
    }

    /// Returns all mounts of this namespace. A file system may have several.
    pub(crate) fn all() -> Vec<Self> {
        let mounts = read_text("/proc/thread-self/mountinfo").unwrap_or_default();
        mounts.lines().filter_map(Self::parse).map(|(_, mount)| mount).collect()
    }

    /// Parses a line: `36 35 98:0 /root /where rw,noatime shared:1 - ext4 /dev/root rw,errors=continue`.
    pub(super) fn parse(line: &str) -> Option<(u64, Self)> {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut words = mount.split(' ');
        let id = words.next()?.parse().ok()?;
        let (major, minor) = words.nth(1)?.split_once(':')?;
        let device = (major.parse().ok()?, minor.parse().ok()?);
        let point = unescaped(words.nth(1)?).into();
        let options = words.next()?;
        let mut words = file_system.split(' ');
        let kind = words.next()?.into();
        let options = format!("{options},{}", words.nth(1).unwrap_or_default());
        Some((id, Self { device, point, kind, options }))
    }

    fn find(mounts: &str, id: u64) -> Option<Self> {
        mounts.lines().filter_map(Self::parse).find_map(|(its, mount)| (its == id).then_some(mount))
    }

    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|its| its == option)
    }

    /// Returns whether files of this file system may be reached by another way than this mount of this host's kernel: by
    /// another host, or by the directory below that a server in user space uses. It then depends on the server
    /// whether locks are seen on the other side.
    ///
    /// An overlay locks its own inodes: a second overlay over the same directory has another inode for the same file.
    pub(crate) fn is_network(&self) -> bool {
        const KINDS: [&str; 16] = [
            "9p",
            "afs",
            "beegfs",
            "ceph",
            "cifs",
            "coda",
            "gfs2",
            "glusterfs",
            "gpfs",
            "lustre",
            "ocfs2",
            "orangefs",
            "overlay",
            "smb3",
            "smbfs",
            "virtiofs",
        ];
        let kind = self.kind.as_str();
        let is_fuse = kind.starts_with("fuse.") || matches!(kind, "fuse" | "fuseblk");
        kind.starts_with("nfs") || is_fuse || KINDS.contains(&kind)
    }
}

/// Decodes octal escapes, as mountinfo has them for blanks: `\040`.
fn unescaped(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (escape, blank)| text.replace(escape, blank))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 28 0:20 / /sys rw,nosuid - sysfs sysfs rw
128 28 0:51 / /mnt/two\\012lines\\040and\\040spaces rw - btrfs /dev/loop0 rw
28 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/root rw,errors=continue
29 28 259:1048575 /sub /large rw - xfs /dev/nvme0n1p9 rw
30 28 0:52 / /mnt/nfs rw - nfs server:/export rw,vers=3,nolock,addr=10.0.0.1
31 28 0:53 / /mnt/sshfs rw - fuse.sshfs host:/ rw,user_id=0
32 28 0:54 / /sys/fs/fuse/connections rw - fusectl fusectl rw
33 28 0:55 / /merged rw - overlay overlay rw,lowerdir=/a,upperdir=/b,workdir=/c
";

    #[test]
    fn a_mount_is_found_by_its_number() {
        let root = Mount {
            device: (254, 0),
            point: "/".into(),
            kind: "ext4".into(),
            options: "rw,relatime,rw,errors=continue".into(),
        };
        assert_eq!(Mount::find(MOUNTS, 28), Some(root));
        // The parent of another mount, and the prefix of another number.
        assert_eq!(Mount::find(MOUNTS, 1), None);
        assert_eq!(Mount::find(MOUNTS, 12), None);
    }

    #[test]
    fn devices_and_places_may_look_odd() {
        let device = |id| Mount::find(MOUNTS, id).map(|mount| mount.device);
        assert_eq!(device(29), Some((259, 1_048_575)));
        assert_eq!(device(128), Some((0, 51)));
        let point = Mount::find(MOUNTS, 128).map(|mount| mount.point);
        assert_eq!(point, Some("/mnt/two\nlines and spaces".into()));
    }

    #[test]
    fn network_mounts_say_so() {
        let nfs = Mount::find(MOUNTS, 30);
        assert!(nfs.is_some_and(|nfs| nfs.is_network() && nfs.has("nolock") && !nfs.has("lock")));
        let is_network = |id| Mount::find(MOUNTS, id).map(|mount| mount.is_network());
        assert_eq!([31, 33].map(is_network), [Some(true); 2]);
        assert_eq!([28, 32].map(is_network), [Some(false); 2]);
    }

    #[test]
    fn an_open_file_is_on_some_mount() {
        let here = Mount::at(Path::new("/proc"));
        assert_eq!(
            here.map(|mount| (mount.point, mount.kind)),
            Some(("/proc".into(), "proc".into()))
        );
        assert_eq!(Mount::at(Path::new("/nowhere/at/all")), None);
    }
}
