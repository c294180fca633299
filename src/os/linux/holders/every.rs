//! All locks there are.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::descriptors::Locked;
use super::file::Proof;
use super::inquiry::{Inquiry, in_container};
use super::reading::{self, Pass};
use super::table::Hold;
use crate::holders::{Claim, Coverage, Effort, Holders};
use crate::in_use::LockInUse;
use crate::options::Mode;
use crate::os::linux::mounts::Mount;

/// A file by what `stat` says of it, as far as it can be asked: the table's numbers may be those of
/// several.
type Identity = Option<(u64, u64)>;

pub(crate) fn locks_in_use() -> io::Result<Vec<LockInUse>> {
    let mut inquiry = Inquiry::new(Effort::Search);
    let Pass { holds, doubtful, .. } = reading::until_whole(|_| false)?;
    let coverage = coverage_by_device();
    let told =
        |hold: &Hold| Holders { coverage: coverage(hold.entry.file.device), ..Holders::default() };
    let mut locks: Vec<(LockInUse, Identity)> = vec![];
    for hold in holds.into_iter().chain(inquiry.unlisted()) {
        let mut holders = told(&hold);
        let seen = inquiry.add(&mut holders, &hold, Proof::Numbers);
        if !holders.held.is_empty() {
            insert(&mut locks, &hold, holders, seen);
        }
    }
    // Taken or released meanwhile: it is held if a descriptor has it.
    for hold in doubtful {
        let mut holders = told(&hold);
        if let Some(seen) = inquiry.add(&mut holders, &hold, Proof::Numbers) {
            insert(&mut locks, &hold, holders, Some(seen));
        }
    }
    Ok(locks.into_iter().map(|(lock, _)| lock).collect())
}

/// Network file systems are known by the devices of their mounts: a lock of one of their files may be shared with
/// processes on other hosts, too.
fn coverage_by_device() -> impl Fn((u32, u32)) -> Coverage {
    let mounts = Mount::all().into_iter();
    let network: BTreeSet<_> = mounts.filter(Mount::is_network).map(|mount| mount.device).collect();
    let in_container = in_container();
    move |device| match network.contains(&device) {
        _ if in_container => Coverage::Container,
        true => Coverage::Host,
        false => Coverage::Complete,
    }
}

fn insert(
    locks: &mut Vec<(LockInUse, Identity)>,
    hold: &Hold,
    holders: Holders,
    seen: Option<Locked>,
) {
    let (path, deleted) = seen.as_ref().map_or((None, false), place);
    let (device, inode) = (hold.entry.file.device, hold.entry.file.inode);
    let lock = LockInUse { path, deleted, device, inode, holders };
    let identity = seen.and_then(|locked| identity(locked.link()));
    match locks.iter_mut().find(|known| is_same(known, &lock, identity)) {
        Some(known) => join(known, lock, identity),
        None => locks.push((lock, identity)),
    }
}

fn is_same(known: &(LockInUse, Identity), lock: &LockInUse, identity: Identity) -> bool {
    let numbers = |lock: &LockInUse| (lock.device, lock.inode);
    numbers(&known.0) == numbers(lock)
        && (known.1 == identity || known.1.is_none() || identity.is_none())
}

/// Another hold of the same file.
fn join(known: &mut (LockInUse, Identity), lock: LockInUse, identity: Identity) {
    known.1 = known.1.or(identity);
    if known.0.path.is_none() {
        (known.0.path, known.0.deleted) = (lock.path, lock.deleted);
    }
    let told = &mut known.0.holders;
    // An exclusive hold is one, however often the table shows it.
    let is_twice = |claim: &Claim| claim.mode == Some(Mode::Exclusive) && told.held.contains(claim);
    if lock.holders.held.iter().any(is_twice) {
        return;
    }
    told.held.extend(lock.holders.held);
    told.waiting.extend(lock.holders.waiting);
}

fn identity(path: impl AsRef<Path>) -> Identity {
    fs::metadata(path).ok().map(|stat| (stat.dev(), stat.ino()))
}

/// Where the file of a descriptor is or was, and whether it was: the kernel marks the path then,
/// with words that a path may end with as well.
fn place(locked: &Locked) -> (Option<PathBuf>, bool) {
    let Ok(path) = fs::read_link(locked.link()) else { return (None, false) };
    let was = path.as_os_str().as_bytes().strip_suffix(b" (deleted)");
    match was.map(|was| OsString::from_vec(was.into())) {
        Some(was) if identity(&path) != identity(locked.link()) => (Some(was.into()), true),
        _ => (Some(path), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::holders::Claimant;

    /// How many holds and waiters are told of a lock that was shown twice.
    fn joined(mode: Mode) -> (usize, usize) {
        let claim = |by| Claim { mode: Some(mode), by };
        let held = vec![claim(Claimant::Ended { pid: 7 })];
        let holders =
            Holders { held, waiting: vec![claim(Claimant::Unknown)], ..Holders::default() };
        let lock = LockInUse { path: None, deleted: false, device: (0, 0), inode: 0, holders };
        let mut known = (lock.clone(), None);
        join(&mut known, lock, None);
        (known.0.holders.held.len(), known.0.holders.waiting.len())
    }

    /// The table moves while it is read.
    #[test]
    fn an_exclusive_hold_that_is_shown_twice_is_one() {
        assert_eq!(joined(Mode::Exclusive), (1, 1));
        // One process may share a lock with itself.
        assert_eq!(joined(Mode::Shared), (2, 2));
    }
}
