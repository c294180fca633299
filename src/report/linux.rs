//! The holders of a lock on Linux, from `/proc`.

mod all_locks;
mod fdinfo;
mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
pub(super) mod mounts;
mod proc;
mod process;
mod reading;
mod resolver;
mod table;

use std::io;

use crate::deadline::Deadline;
use crate::error::Action;
use crate::options::Mode;
use crate::os::LockPath;
use crate::os::linux::conflicting_lock;
use crate::os::platform::{OsError, retry_on_intr};
use crate::os::unix::lock_path::AtPath;
use crate::report::lock_status::{
    Coverage, DescriptorRef, LockStatus, Owner, OwnerKind, Process, Query,
};

use fdinfo::locks_on;
use file::{LockFile, LocksAt, Proof};
use process::{Details, describe};
use reading::Search;
use resolver::{Resolver, in_pid_namespace};
use table::{Entry, FileId, Hold};

pub(super) use all_locks::system_locks;

/// Queries the holders. Reads only files that cannot block on another process: the table of locks, and of processes `stat`,
/// `fdinfo` and links. If the query does not go on, the answer is an error.
pub(crate) fn query(path: &LockPath, query: &Query<'_>) -> Result<LockStatus, OsError> {
    let at = path.at(Action::Query)?;
    let search = || settled(|| look(at, query)).map_err(|error| Action::Query.failed(error));
    match retry_on_intr(&Deadline::Passed, search) {
        Err(_) if query.known_held && (query.goes_on)() => Ok(held_by(OwnerKind::Unknown)),
        found => found,
    }
}

/// Returns the process that has the lock now, if the descriptor on which it was seen still has it.
pub(super) fn still_has(seen: &DescriptorRef, mode: Mode) -> Option<Process> {
    let DescriptorRef { pid, descriptor, taker, device, inode } = *seen;
    let entry = Entry { mode, pid: taker, file: FileId { device, inode }, depth: 0 };
    let locks = locks_on(format!("/proc/{pid}/fdinfo/{descriptor}").as_ref()).ok()?;
    locks.contains(&entry).then(|| describe(pid, Details::Name)).flatten()
}

/// Looks a second time where an owner could not be named: the table changes while it is read, and processes end
/// before they are looked at.
fn settled(mut look: impl FnMut() -> io::Result<LockStatus>) -> io::Result<LockStatus> {
    match look() {
        Ok(holders) if holders.holders.iter().any(is_unnamed) => look(),
        found => found,
    }
}

fn is_unnamed(owner: &Owner) -> bool {
    !matches!(owner.kind, OwnerKind::Process(_))
}

fn look(at: AtPath<'_>, query: &Query<'_>) -> io::Result<LockStatus> {
    let Query { follow_links, known_held, goes_on } = *query;
    let Some(file) = LockFile::find(at, follow_links)? else {
        // No process can hold the lock of a file that does not exist.
        let free = LockStatus { coverage: Coverage::Complete, ..LockStatus::default() };
        return Ok(if known_held { held_by(OwnerKind::Unknown) } else { free });
    };
    let is_of_file = |hold: &Hold| hold.entry.file == file.id;
    let mut resolver = Resolver::new(goes_on);
    let mut status = LockStatus { coverage: coverage(file.locks_at), ..LockStatus::default() };
    let search = Search { goes_on, file: (file.proof == Proof::Numbers).then_some(file.id) };
    if known_held {
        for hold in reading::once(&search)?.iter().filter(|hold| is_of_file(hold)) {
            resolver.add(&mut status, hold, file.proof);
        }
    } else {
        let pass = reading::until_whole(&search, |pass| {
            for hold in pass.holds.iter().chain(&pass.doubtful).filter(|hold| is_of_file(hold)) {
                resolver.add(&mut status, hold, file.proof);
            }
            !status.holders.is_empty()
        })?;
        if !pass.is_whole {
            status.coverage = Coverage::Partial;
        }
    }
    // The table of a container does not show all locks. The search for the rest costs more.
    for hold in resolver.unlisted().into_iter().filter(is_of_file) {
        resolver.add(&mut status, &hold, file.proof);
    }
    // This call waits for the answer of the server.
    if status.holders.is_empty() && file.locks_at == LocksAt::NfsServer && !known_held {
        let mode = conflicting_lock::held_elsewhere(at, follow_links);
        // In a container it may as well be a process of this host.
        let kind = if in_pid_namespace() { OwnerKind::Unknown } else { OwnerKind::OtherHost };
        status.holders.extend(mode.map(|mode| Owner { mode: Some(mode), kind, seen: None }));
    }
    if known_held && status.holders.is_empty() {
        status.holders.push(Owner { mode: None, kind: resolver.unseen_holder(), seen: None });
    }
    if goes_on() { Ok(status) } else { Err(io::ErrorKind::TimedOut.into()) }
}

/// Returns how far the table of locks shows all holders: it is this host's, and a PID namespace is shown a part of it.
fn coverage(locks_at: LocksAt) -> Coverage {
    match locks_at {
        _ if in_pid_namespace() => Coverage::PidNamespace,
        LocksAt::ThisHost => Coverage::Complete,
        LocksAt::NfsServer | LocksAt::Elsewhere => Coverage::Host,
    }
}

fn held_by(kind: OwnerKind) -> LockStatus {
    let owner = Owner { mode: None, kind, seen: None };
    LockStatus { holders: vec![owner], ..LockStatus::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_that_is_not_named_is_looked_for_twice() {
        let found =
            [OwnerKind::Unknown, OwnerKind::Exited { pid: 7 }, OwnerKind::OtherPidNamespace];
        for first in found {
            let mut looks = vec![LockStatus::default(), held_by(first)];
            let settled = settled(|| looks.pop().ok_or_else(|| io::ErrorKind::Other.into()));
            assert_eq!(settled.ok(), Some(LockStatus::default()));
        }
    }

    #[test]
    fn one_look_is_enough_otherwise() {
        let this = process::describe(std::process::id(), process::Details::Name);
        let this = held_by(this.map_or(OwnerKind::Unknown, OwnerKind::Process));
        for found in [LockStatus::default(), this] {
            let mut looks = vec![found.clone()];
            let settled = settled(|| looks.pop().ok_or_else(|| io::ErrorKind::Other.into()));
            assert_eq!(settled.ok(), Some(found));
        }
    }
}
