//! From an entry of the table of locks to the processes that hold the lock.
//!
//! The table names the process that *took* a lock, and often another one holds it: `flock 9` in a shell
//! script takes the lock on a descriptor of the shell, and exits. So the process in the table
//! is looked into, as far as that is allowed; and if it does not have the lock, so are the others.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::options::Mode;
use crate::report::linux::fdinfo::{Locked, Looks};
use crate::report::linux::file::Proof;
use crate::report::linux::process::{self, Details, describe};
use crate::report::linux::table::{Entry, Hold};
use crate::report::lock_status::{LockStatus, Owner, OwnerKind, Process};

pub(super) struct Resolver<'a> {
    looks: Looks<'a>,
    /// The processes that were described so far; `None` for one that has exited.
    known: BTreeMap<u32, Option<Process>>,
}

/// A process that has a lock, and on which descriptor if that was seen.
struct Holder {
    kind: OwnerKind,
    seen: Option<Locked>,
}

/// What was found in a process that may have a lock.
enum Match {
    /// A descriptor with the lock of the file.
    Locked(Locked),
    /// Descriptors with a lock of these numbers, all of them of other files.
    OtherFiles,
    Nothing,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(goes_on: &'a dyn Fn() -> bool) -> Self {
        Self { looks: Looks::new(goes_on), known: BTreeMap::new() }
    }

    /// Adds the holders of a lock and its waiters, unless it is another file's. Returns a descriptor
    /// that has it, if one was seen.
    pub(super) fn add(&mut self, to: &mut LockStatus, hold: &Hold, proof: Proof) -> Option<Locked> {
        // An exclusive lock has one entry. A second one was moved in the table while that was read.
        let is_exclusive = hold.entry.mode == Mode::Exclusive;
        if is_exclusive && proof == Proof::Numbers && !to.holders.is_empty() {
            return None;
        }
        let found = self.holders_of(&hold.entry, proof);
        let seen = found.iter().find_map(|holder| holder.seen);
        if found.is_empty() {
            return None;
        }
        let mode = Some(hold.entry.mode);
        let owner =
            |holder: Holder| Owner { mode, kind: holder.kind, seen: holder.seen.map(Into::into) };
        to.holders.extend(found.into_iter().map(owner));
        let is_certain = proof == Proof::Numbers || seen.is_some();
        for waiter in &hold.waiting {
            let kind = match waiter.pid {
                _ if !is_certain => Some(OwnerKind::Unknown),
                0 if in_pid_namespace() => Some(OwnerKind::OtherPidNamespace),
                0 => Some(OwnerKind::Unknown),
                pid => self.named(pid),
            };
            to.waiters.extend(kind.map(|kind| Owner { mode: Some(waiter.mode), kind, seen: None }));
        }
        seen
    }

    /// Returns the holders; none if the lock is another file's, or if all of its descriptors were found before: the table shows
    /// an entry twice if the entry moves while it is read.
    fn holders_of(&mut self, lock: &Entry, proof: Proof) -> Vec<Holder> {
        if self.looks.at(lock.pid) {
            match self.take_from(lock.pid, lock, proof) {
                Match::Locked(locked) => return self.holder(locked).into_iter().collect(),
                Match::OtherFiles => return vec![],
                Match::Nothing => {}
            }
        } else if proof != Proof::Numbers {
            return vec![unseen(OwnerKind::Unknown)];
        } else if !process::has_ended(lock.pid) {
            // It may have closed the descriptor, which a child still has, or its pid may be a reused one.
            return vec![unseen(OwnerKind::TakenBy { pid: lock.pid })];
        }
        self.looks.everywhere();
        let pids = self.looks.with(lock).map(|all| all.keys().copied().collect::<Vec<u32>>());
        if let Some(pids) = pids {
            // One descriptor for each process; none is left if all were taken before.
            let had: Vec<Match> =
                pids.into_iter().map(|pid| self.take_from(pid, lock, proof)).collect();
            let has = |had| if let Match::Locked(locked) = had { Some(locked) } else { None };
            return had.into_iter().filter_map(has).filter_map(|it| self.holder(it)).collect();
        }
        let has_ended = lock.pid != 0 && process::has_ended(lock.pid);
        let is_told = proof == Proof::Numbers && has_ended;
        let ended = OwnerKind::Exited { pid: lock.pid };
        vec![unseen(if is_told { ended } else { OwnerKind::Unknown })]
    }

    /// Takes a descriptor with the lock out of what was seen: of several locks that look alike each has a descriptor.
    fn take_from(&mut self, pid: u32, lock: &Entry, proof: Proof) -> Match {
        let Some(all) = self.looks.with(lock) else { return Match::Nothing };
        let Some(locked) = all.get_mut(&pid) else { return Match::Nothing };
        let Some(at) = locked.iter().rposition(|locked| proof.is_of(locked)) else {
            locked.truncate(1);
            return Match::OtherFiles;
        };
        let taken = locked.remove(at);
        // The descriptors behind it belong to other files: one is kept as a mark of that.
        locked.truncate(at + 1);
        if locked.is_empty() {
            all.remove(&pid);
        }
        Match::Locked(taken)
    }

    /// The descriptors may have been looked at seconds ago, if other processes took long. If the process has exited since,
    /// and its pid is reused, the new process does not have the descriptor.
    fn holder(&mut self, locked: Locked) -> Option<Holder> {
        let is_first_of_process = !self.known.contains_key(&locked.pid);
        let kind = self.named(locked.pid)?;
        if is_first_of_process && !locked.is_still_so() {
            self.known.remove(&locked.pid);
            return Some(unseen(OwnerKind::Unknown));
        }
        Some(Holder { kind, seen: Some(locked) })
    }

    fn named(&mut self, pid: u32) -> Option<OwnerKind> {
        let process = self.known.entry(pid).or_insert_with(|| describe(pid, Details::All));
        process.clone().map(OwnerKind::Process)
    }

    /// Returns the locks that the table hides from a PID namespace because the process that took them has exited or is
    /// outside of it: a process inside may have them nevertheless.
    pub(super) fn unlisted(&mut self) -> Vec<Hold> {
        if !in_pid_namespace() {
            return vec![];
        }
        self.looks.everywhere();
        let unlisted = self.looks.locks().filter(|lock| lock.pid == 0);
        unlisted.map(|&entry| Hold { entry, waiting: vec![] }).collect()
    }

    /// Returns the holder of a lock that is held although no holder was seen.
    pub(super) fn unseen_holder(&mut self) -> OwnerKind {
        if in_pid_namespace() && self.looks.everywhere() {
            OwnerKind::OtherPidNamespace
        } else {
            OwnerKind::Unknown
        }
    }
}

fn unseen(kind: OwnerKind) -> Holder {
    Holder { kind, seen: None }
}

/// Returns whether this process is in a PID namespace other than the initial one, which has a fixed inode number
/// (`PROC_PID_INIT_INO`, `include/linux/proc_ns.h`, Linux 6.1).
pub(super) fn in_pid_namespace() -> bool {
    const FIRST: u64 = 0xefff_fffc;
    fs::metadata("/proc/thread-self/ns/pid").is_ok_and(|namespace| namespace.ino() != FIRST)
}

#[cfg(test)]
mod tests {
    use super::super::table::{FileId, holds};
    use super::*;

    /// A lock that this process is said to have, and does not.
    fn told(mode: Mode, times: usize) -> usize {
        let file = FileId { device: (0, 0), inode: 0 };
        let entry = Entry { mode, pid: std::process::id(), file, depth: 0 };
        let hold = Hold { entry, waiting: vec![] };
        let mut resolver = Resolver::new(&|| true);
        let mut holders = LockStatus::default();
        for _ in 0..times {
            resolver.add(&mut holders, &hold, Proof::Numbers);
        }
        holders.holders.len()
    }

    #[test]
    fn an_exclusive_hold_is_one_however_often_the_table_shows_it() {
        assert_eq!(told(Mode::Exclusive, 3), 1);
        assert_eq!(told(Mode::Shared, 3), 3);
    }

    /// A shared lock of this process that the table shows twice, as it does when the lock moves between two reads.
    #[test]
    fn l12_a_shared_hold_that_is_shown_twice_is_one() -> Result<(), Box<dyn std::error::Error>> {
        let file = tempfile::NamedTempFile::new()?;
        let _held = crate::Lock::new(file.path()).lock_shared()?;
        let (pid, inode) = (std::process::id(), fs::metadata(file.path())?.ino());
        // A read of a long table may leave a lock out.
        let hold = (0..1_000).find_map(|_| {
            let table = fs::read_to_string("/proc/locks").ok()?;
            holds(&table).into_iter().find(|hold| hold.entry.file.inode == inode)
        });
        let hold = hold.ok_or("the table does not show it")?;
        let mut status = LockStatus::default();
        let mut resolver = Resolver::new(&|| true);
        for _ in 0..3 {
            resolver.add(&mut status, &hold, Proof::Numbers);
        }
        let kinds: Vec<_> = status.holders.iter().map(|owner| &owner.kind).collect();
        assert!(matches!(kinds[..], [OwnerKind::Process(process)] if process.pid == pid));
        Ok(())
    }

    /// Numbers that other files may have prove nothing: the lock may be another file's.
    #[test]
    fn who_has_ended_is_told_of_this_file_s_locks_alone() {
        let file = FileId { device: (0, 0), inode: 0 };
        let unused_pid = i32::MAX.unsigned_abs();
        let entry = Entry { mode: Mode::Exclusive, pid: unused_pid, file, depth: 0 };
        let told = |proof| {
            let found = Resolver::new(&|| true).holders_of(&entry, proof);
            found.into_iter().map(|holder| holder.kind).collect::<Vec<_>>()
        };
        assert_eq!(told(Proof::Numbers), [OwnerKind::Exited { pid: unused_pid }]);
        assert_eq!(told(Proof::Stat(0, 0)), [OwnerKind::Unknown]);
    }

    /// A process that has released the lock since its descriptors were looked at, or has a reused pid.
    #[test]
    fn l12_a_process_that_has_not_got_the_lock_any_more_is_not_named() {
        let file = FileId { device: (0, 0), inode: 0 };
        let entry = Entry { mode: Mode::Exclusive, pid: 1, file, depth: 0 };
        let locked = Locked { pid: std::process::id(), descriptor: 0, entry };
        let holder = Resolver::new(&|| true).holder(locked);
        assert!(holder.is_some_and(|it| it.kind == OwnerKind::Unknown && it.seen.is_none()));
    }
}
