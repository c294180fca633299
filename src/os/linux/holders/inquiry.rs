//! From what the table says to who it is.
//!
//! The table names who *took* a lock, and often that is not who holds it: `flock 9` in a shell
//! script takes the lock of a descriptor that is the shell's, and ends. So the process in the table
//! is looked into, as far as that is allowed; and if it has not got the lock, so are the others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::descriptors::{Locked, Looks};
use super::file::Proof;
use super::process::{self, Details, describe};
use super::table::{Entry, Hold};
use crate::holders::{Claim, Claimant, Effort, Holders, Process};
use crate::options::Mode;

#[derive(Debug)]
pub(super) struct Inquiry {
    looks: Looks,
    details: Details,
    /// Whom it was asked about, and what was told.
    known: BTreeMap<u32, Option<Process>>,
    /// Locks may be alike: each descriptor stands for one of them.
    counted: BTreeSet<(u32, u32)>,
}

/// Whoever has waited until the deadline is not to wait much longer: some hundred looks take half a
/// millisecond.
const GLANCE: usize = 200;

/// Who has a lock, and on which descriptor if that was seen.
struct Holder {
    by: Claimant,
    seen: Option<Locked>,
}

impl Inquiry {
    pub(super) fn new(effort: Effort) -> Self {
        let (looks, details) = match effort {
            Effort::Glance => (GLANCE, Details::Name),
            Effort::Search => (usize::MAX, Details::All),
        };
        let (known, counted) = (BTreeMap::new(), BTreeSet::new());
        Self { looks: Looks::at_most(looks), details, known, counted }
    }

    /// Of those alone who opened the file by this path, and of them who took the locks.
    pub(super) fn at_first_sight(path: &Path) -> Self {
        Self { looks: Looks::at_one_file(path, GLANCE), ..Self::new(Effort::Glance) }
    }

    /// Adds who has a lock and who waits for it, unless it is another file's. Tells a descriptor
    /// that has it, if one was seen.
    pub(super) fn add(&mut self, to: &mut Holders, hold: &Hold, proof: Proof) -> Option<Locked> {
        // An exclusive hold is one. What is in the table twice was moved in it while it was read.
        let is_exclusive = hold.entry.mode == Mode::Exclusive;
        if is_exclusive && proof == Proof::Numbers && !to.held.is_empty() {
            return None;
        }
        let found = self.who_has(&hold.entry, proof);
        let seen = found.iter().find_map(|holder| holder.seen);
        if found.is_empty() {
            return None;
        }
        let mode = Some(hold.entry.mode);
        to.held.extend(found.into_iter().map(|holder| Claim { mode, by: holder.by }));
        let is_certain = proof == Proof::Numbers || seen.is_some();
        for waiter in &hold.waiting {
            let by = match waiter.pid {
                _ if !is_certain => Some(Claimant::Unknown),
                0 if in_container() => Some(Claimant::Outside),
                0 => Some(Claimant::Unknown),
                pid => self.named(pid),
            };
            to.waiting.extend(by.map(|by| Claim { mode: Some(waiter.mode), by }));
        }
        seen
    }

    /// Nobody if the lock is another file's.
    fn who_has(&mut self, lock: &Entry, proof: Proof) -> Vec<Holder> {
        match self.looks.at(lock.pid).map(|locks| with(lock, locks, &self.counted)) {
            Some(taker) if !taker.is_empty() => {
                let has_it = taker.into_iter().find(|locked| proof.is_of(locked));
                return self.holders(has_it);
            }
            None if proof != Proof::Numbers => return vec![unseen(Claimant::Unknown)],
            // Who may not be looked into is taken at the table's word.
            None => {
                if let Some(by) = self.named(lock.pid) {
                    return vec![unseen(by)];
                }
            }
            Some(_) => {}
        }
        self.looks.everywhere();
        let mut others = with(lock, self.looks.seen(), &self.counted);
        if !others.is_empty() {
            others.retain(|locked| proof.is_of(locked));
            // One descriptor for each process.
            others.dedup_by_key(|locked| locked.pid);
            return self.holders(others);
        }
        let has_ended = lock.pid != 0 && process::has_ended(lock.pid);
        let is_told = proof == Proof::Numbers && has_ended;
        let ended = Claimant::Ended { pid: lock.pid };
        vec![unseen(if is_told { ended } else { Claimant::Unknown })]
    }

    fn holders(&mut self, of: impl IntoIterator<Item = Locked>) -> Vec<Holder> {
        let mut holders = vec![];
        for locked in of {
            self.counted.insert((locked.pid, locked.descriptor));
            let by = self.named(locked.pid);
            holders.extend(by.map(|by| Holder { by, seen: Some(locked) }));
        }
        holders
    }

    fn named(&mut self, pid: u32) -> Option<Claimant> {
        let details = self.details;
        let process = self.known.entry(pid).or_insert_with(|| describe(pid, details));
        process.clone().map(Claimant::Process)
    }

    /// The locks that the table keeps from a container because who took them has ended, or is not
    /// seen there: somebody in the container may have them all the same.
    pub(super) fn unlisted(&mut self) -> Vec<Hold> {
        if !in_container() {
            return vec![];
        }
        self.looks.everywhere();
        let mut holds: Vec<Hold> = vec![];
        for locked in self.looks.seen().filter(|locked| locked.entry.pid == 0) {
            let hold = Hold { entry: locked.entry, waiting: vec![] };
            if !holds.contains(&hold) {
                holds.push(hold);
            }
        }
        holds
    }

    /// Of a lock that is held though nobody was seen to hold it.
    pub(super) fn nobody_seen(&mut self) -> Claimant {
        if in_container() && self.looks.everywhere() {
            Claimant::Outside
        } else {
            Claimant::Unknown
        }
    }
}

/// The descriptors with such a lock, except those that were counted.
fn with<'a>(
    lock: &Entry,
    among: impl IntoIterator<Item = &'a Locked>,
    counted: &BTreeSet<(u32, u32)>,
) -> Vec<Locked> {
    let is_it = |locked: &&Locked| {
        locked.entry == *lock && !counted.contains(&(locked.pid, locked.descriptor))
    };
    among.into_iter().filter(is_it).copied().collect()
}

fn unseen(by: Claimant) -> Holder {
    Holder { by, seen: None }
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
        let mut inquiry = Inquiry::new(Effort::Glance);
        let mut holders = Holders::default();
        for _ in 0..times {
            inquiry.add(&mut holders, &hold, Proof::Numbers);
        }
        holders.held.len()
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
            let found = Inquiry::new(Effort::Search).who_has(&entry, proof);
            found.into_iter().map(|holder| holder.by).collect::<Vec<_>>()
        };
        assert_eq!(told(Proof::Numbers), [Claimant::Ended { pid: nobody_s }]);
        assert_eq!(told(Proof::Stat(0, 0)), [Claimant::Unknown]);
    }
}
