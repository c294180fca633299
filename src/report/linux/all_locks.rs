//! All locks of the system.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::options::Mode;
use crate::report::linux::fdinfo::Locked;
use crate::report::linux::file::{About, Proof};
use crate::report::linux::mounts::Mount;
use crate::report::linux::reading::{self, Pass, Search};
use crate::report::linux::resolver::{Resolver, in_pid_namespace};
use crate::report::linux::table::{FileId, Hold};
use crate::report::lock_status::{Coverage, LockStatus, Owner};
use crate::report::system_lock::SystemLock;

/// Device and inode of a file as `stat` shows them, as far as it can be asked: several files may have the numbers of the
/// table.
type Identity = Option<(u64, u64)>;

/// The locks found so far, and their places by the numbers of the table.
#[derive(Default)]
struct Found {
    locks: Vec<(SystemLock, Identity)>,
    by_file: HashMap<FileId, Vec<usize>>,
}

pub(in crate::report) fn system_locks() -> io::Result<Vec<SystemLock>> {
    let mut resolver = Resolver::new(&|| true);
    let Pass { holds, doubtful, .. } =
        reading::until_whole(&Search { goes_on: &|| true, file: None }, |_| false)?;
    let coverage = coverage_by_device();
    let told = |hold: &Hold| LockStatus {
        coverage: coverage(hold.entry.file.device),
        ..LockStatus::default()
    };
    let mut found = Found::default();
    for hold in holds.into_iter().chain(resolver.unlisted()) {
        let mut status = told(&hold);
        let seen = resolver.add(&mut status, &hold, Proof::Numbers);
        if !status.holders.is_empty() {
            found.insert(&hold, status, seen);
        }
    }
    // Acquired or released during the read: it is held if a descriptor has it.
    for hold in doubtful {
        let mut status = told(&hold);
        if let Some(seen) = resolver.add(&mut status, &hold, Proof::Numbers) {
            found.insert(&hold, status, Some(seen));
        }
    }
    Ok(found.locks.into_iter().map(|(lock, _)| lock).collect())
}

/// Returns the coverage of a device. Network file systems are known by the devices of their mounts: processes on other hosts
/// may hold locks of their files.
fn coverage_by_device() -> impl Fn((u32, u32)) -> Coverage {
    let mounts = Mount::all().into_iter();
    let network: BTreeSet<_> = mounts.filter(Mount::is_network).map(|mount| mount.device).collect();
    let in_pid_namespace = in_pid_namespace();
    move |device| match network.contains(&device) {
        _ if in_pid_namespace => Coverage::PidNamespace,
        true => Coverage::Host,
        false => Coverage::Complete,
    }
}

impl Found {
    fn insert(&mut self, hold: &Hold, status: LockStatus, seen: Option<Locked>) {
        let about = seen.as_ref().and_then(|seen| About::of(seen.link().as_ref()));
        let (path, deleted) = seen.as_ref().map_or((None, false), |seen| place(seen, about));
        let (device, inode) = (hold.entry.file.device, hold.entry.file.inode);
        let lock = SystemLock { path, deleted, device, inode, status };
        let identity = about.map(|about| about.identity);
        let alike = self.by_file.entry(hold.entry.file).or_default();
        let is_same =
            |known: &Identity| *known == identity || known.is_none() || identity.is_none();
        let mut known = alike.iter().copied();
        let known = known.find(|&at| self.locks.get(at).is_some_and(|(_, known)| is_same(known)));
        if let Some(known) = known.and_then(|at| self.locks.get_mut(at)) {
            join(known, lock, identity);
        } else {
            alike.push(self.locks.len());
            self.locks.push((lock, identity));
        }
    }
}

/// Adds another hold of the same file.
fn join(known: &mut (SystemLock, Identity), lock: SystemLock, identity: Identity) {
    known.1 = known.1.or(identity);
    if known.0.path.is_none() {
        (known.0.path, known.0.deleted) = (lock.path, lock.deleted);
    }
    let told = &mut known.0.status;
    // An exclusive hold is one, even if the table shows it twice.
    let is_twice = |owner: &Owner| {
        let is_known = |known: &Owner| known.mode == owner.mode && known.kind == owner.kind;
        owner.mode == Some(Mode::Exclusive) && told.holders.iter().any(is_known)
    };
    if lock.status.holders.iter().any(is_twice) {
        return;
    }
    told.holders.extend(lock.status.holders);
    told.waiters.extend(lock.status.waiters);
}

/// Returns the path of a descriptor's file, and whether the file was deleted. The kernel then marks the path with words that
/// a path may end with as well. The path is not looked at: it belongs to the other process, and may lead anywhere.
fn place(locked: &Locked, about: Option<About>) -> (Option<PathBuf>, bool) {
    let Ok(path) = fs::read_link(locked.link()) else { return (None, false) };
    let was = path.as_os_str().as_bytes().strip_suffix(b" (deleted)");
    match was.map(|was| OsString::from_vec(was.into())) {
        Some(was) if about.is_some_and(|about| about.is_deleted) => (Some(was.into()), true),
        _ => (Some(path), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::lock_status::OwnerKind;

    /// Returns the number of holders and waiters of a lock that the table shows twice.
    fn joined(mode: Mode) -> (usize, usize) {
        let owner = |kind| Owner { mode: Some(mode), kind, seen: None };
        let holders = vec![owner(OwnerKind::Exited { pid: 7 })];
        let status = LockStatus {
            holders,
            waiters: vec![owner(OwnerKind::Unknown)],
            ..LockStatus::default()
        };
        let lock = SystemLock { path: None, deleted: false, device: (0, 0), inode: 0, status };
        let mut known = (lock.clone(), None);
        join(&mut known, lock, None);
        (known.0.status.holders.len(), known.0.status.waiters.len())
    }

    /// Entries move in the table while it is read.
    #[test]
    fn an_exclusive_hold_that_is_shown_twice_is_one() {
        assert_eq!(joined(Mode::Exclusive), (1, 1));
        // A process may have two shared holds.
        assert_eq!(joined(Mode::Shared), (2, 2));
    }
}
