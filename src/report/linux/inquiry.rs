//! From what the table says to who it is.
//!
//! The table names who *took* a lock, and often that is not who holds it: `flock 9` in a shell
//! script takes the lock of a descriptor that is the shell's, and ends. So the process in the table
//! is looked into, as far as that is allowed; and if it has not got the lock, so are the others.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use super::fdinfo::{Locked, Looks};
use super::file::Proof;
use super::process::{self, Details, describe};
use super::table::{Entry, Hold};
use crate::options::Mode;
use crate::report::lock_status::{LockStatus, Owner, OwnerKind, Process};

pub(super) struct Inquiry<'a> {
    looks: Looks<'a>,
    /// Whom it was asked about, and what was told.
    known: BTreeMap<u32, Option<Process>>,
}

/// Who has a lock, and on which descriptor if that was seen.
struct Holder {
    kind: OwnerKind,
    seen: Option<Locked>,
}

/// What a process that is said to have a lock has.
enum Had {
    /// A descriptor with the lock of the file.
    It(Locked),
    /// Descriptors with a lock of these numbers, all of them of other files.
    Others,
    Nothing,
}

impl<'a> Inquiry<'a> {
    pub(super) fn new(goes_on: &'a dyn Fn() -> bool) -> Self {
        Self { looks: Looks::new(goes_on), known: BTreeMap::new() }
    }

    /// Adds who has a lock and who waits for it, unless it is another file's. Tells a descriptor
    /// that has it, if one was seen.
    pub(super) fn add(&mut self, to: &mut LockStatus, hold: &Hold, proof: Proof) -> Option<Locked> {
        // An exclusive hold is one. What is in the table twice was moved in it while it was read.
        let is_exclusive = hold.entry.mode == Mode::Exclusive;
        if is_exclusive && proof == Proof::Numbers && !to.holders.is_empty() {
            return None;
        }
        let found = self.who_has(&hold.entry, proof);
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
                0 if in_container() => Some(OwnerKind::OtherPidNamespace),
                0 => Some(OwnerKind::Unknown),
                pid => self.named(pid),
            };
            to.waiters.extend(kind.map(|kind| Owner { mode: Some(waiter.mode), kind, seen: None }));
        }
        seen
    }

    /// None if the lock is another file's.
    fn who_has(&mut self, lock: &Entry, proof: Proof) -> Vec<Holder> {
        if self.looks.at(lock.pid) {
            match self.take_from(lock.pid, lock, proof) {
                Had::It(locked) => return self.holder(locked).into_iter().collect(),
                Had::Others => return vec![],
                Had::Nothing => {}
            }
        } else if proof != Proof::Numbers {
            return vec![unseen(OwnerKind::Unknown)];
        } else if !process::has_ended(lock.pid) {
            // It may have closed the descriptor, which a child has still, or have the number of the process that took
            // the lock.
            return vec![unseen(OwnerKind::TakenBy { pid: lock.pid })];
        }
        self.looks.everywhere();
        let pids: Vec<u32> =
            self.looks.with(lock).map(|all| all.keys().copied().collect()).unwrap_or_default();
        if !pids.is_empty() {
            // One descriptor for each process.
            let had: Vec<Had> =
                pids.into_iter().map(|pid| self.take_from(pid, lock, proof)).collect();
            let has = |had| if let Had::It(locked) = had { Some(locked) } else { None };
            return had.into_iter().filter_map(has).filter_map(|it| self.holder(it)).collect();
        }
        let has_ended = lock.pid != 0 && process::has_ended(lock.pid);
        let is_told = proof == Proof::Numbers && has_ended;
        let ended = OwnerKind::Exited { pid: lock.pid };
        vec![unseen(if is_told { ended } else { OwnerKind::Unknown })]
    }

    /// Locks may be alike: each descriptor stands for one of them, and is taken out.
    fn take_from(&mut self, pid: u32, lock: &Entry, proof: Proof) -> Had {
        let Some(all) = self.looks.with(lock) else { return Had::Nothing };
        let Some(locked) = all.get_mut(&pid) else { return Had::Nothing };
        let Some(at) = locked.iter().rposition(|locked| proof.is_of(locked)) else {
            locked.truncate(1);
            return Had::Others;
        };
        let taken = locked.remove(at);
        // Those behind it were looked at in vain: one is kept as a sign of them.
        locked.truncate(at + 1);
        if locked.is_empty() {
            all.remove(&pid);
        }
        Had::It(taken)
    }

    /// The descriptors may have been looked at seconds ago, when other processes took long. If the process has ended since,
    /// and its number is another's, that one has not got the descriptor.
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

    /// The locks that the table keeps from a container because who took them has ended, or is not
    /// seen there: somebody in the container may have them all the same.
    pub(super) fn unlisted(&mut self) -> Vec<Hold> {
        if !in_container() {
            return vec![];
        }
        self.looks.everywhere();
        let unlisted = self.looks.locks().filter(|lock| lock.pid == 0);
        unlisted.map(|&entry| Hold { entry, waiting: vec![] }).collect()
    }

    /// Of a lock that is held though nobody was seen to hold it.
    pub(super) fn unseen_holder(&mut self) -> OwnerKind {
        if in_container() && self.looks.everywhere() {
            OwnerKind::OtherPidNamespace
        } else {
            OwnerKind::Unknown
        }
    }
}

fn unseen(kind: OwnerKind) -> Holder {
    Holder { kind, seen: None }
}

/// Is there a world outside of the processes that are seen here? The first namespace of processes
/// has a number of its own.
pub(super) fn in_container() -> bool {
    const FIRST: u64 = 0xefff_fffc;
    fs::metadata("/proc/thread-self/ns/pid").is_ok_and(|namespace| namespace.ino() != FIRST)
}

#[cfg(test)]
mod tests {
    use super::super::table::FileId;
    use super::*;

    /// A lock of this process's that it has not got: somebody's, as far as can be told.
    fn told(mode: Mode, times: usize) -> usize {
        let file = FileId { device: (0, 0), inode: 0 };
        let entry = Entry { mode, pid: std::process::id(), file, depth: 0 };
        let hold = Hold { entry, waiting: vec![] };
        let mut inquiry = Inquiry::new(&|| true);
        let mut holders = LockStatus::default();
        for _ in 0..times {
            inquiry.add(&mut holders, &hold, Proof::Numbers);
        }
        holders.holders.len()
    }

    #[test]
    fn an_exclusive_hold_is_one_however_often_the_table_shows_it() {
        assert_eq!(told(Mode::Exclusive, 3), 1);
        assert_eq!(told(Mode::Shared, 3), 3);
    }

    /// Numbers that are not the file's own prove nothing: the lock may be another file's.
    #[test]
    fn who_has_ended_is_told_of_this_file_s_locks_alone() {
        let file = FileId { device: (0, 0), inode: 0 };
        let nobody_s = i32::MAX.unsigned_abs();
        let entry = Entry { mode: Mode::Exclusive, pid: nobody_s, file, depth: 0 };
        let told = |proof| {
            let found = Inquiry::new(&|| true).who_has(&entry, proof);
            found.into_iter().map(|holder| holder.kind).collect::<Vec<_>>()
        };
        assert_eq!(told(Proof::Numbers), [OwnerKind::Exited { pid: nobody_s }]);
        assert_eq!(told(Proof::Stat(0, 0)), [OwnerKind::Unknown]);
    }

    /// A process that has released the lock since its descriptors were looked at, or has the number of one that held it.
    #[test]
    fn l12_a_process_that_has_not_got_the_lock_any_more_is_not_named() {
        let file = FileId { device: (0, 0), inode: 0 };
        let entry = Entry { mode: Mode::Exclusive, pid: 1, file, depth: 0 };
        let locked = Locked { pid: std::process::id(), descriptor: 0, entry };
        let holder = Inquiry::new(&|| true).holder(locked);
        assert!(holder.is_some_and(|it| it.kind == OwnerKind::Unknown && it.seen.is_none()));
    }
}
