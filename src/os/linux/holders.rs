//! Who holds a lock, as `/proc` tells it.

mod descriptors;
mod every;
mod file;
mod inquiry;
mod process;
mod reading;
mod remote;
mod table;

use std::io;

use crate::deadline::Deadline;
use crate::error::{Action, Failure};
use crate::holders::{Claim, Claimant, Coverage, Holders, Process, Sighting};
use crate::options::{Mode, Options};
use crate::os::Name;
use crate::os::unix::Place;

use descriptors::locks_on;
use file::{LockFile, LocksAt, Proof};
use inquiry::{Inquiry, in_container};
use process::{Details, describe};
use reading::Search;
use table::{Entry, FileId, Hold};

pub(crate) use every::locks_in_use;

/// Reads what cannot block on another process: the table of locks, and of processes `stat`, `comm`, `fdinfo` and links. The
/// path itself is the caller's. Between two reads it is asked whether that goes on; if not, the answer is an error.
pub(crate) fn holders(
    name: &Name,
    options: &Options,
    known_held: bool,
    goes_on: &dyn Fn() -> bool,
) -> Result<Holders, Failure> {
    let place = name.place(Action::Ask)?;
    let search = || {
        let found = settled(|| look(place, options.follow_links, known_held, goes_on));
        found.map_err(|error| Action::Ask.failed(error))
    };
    match Deadline::Passed.outlast_signals(search) {
        Err(_) if known_held && goes_on() => Ok(held_by(Claimant::Unknown)),
        found => found,
    }
}

/// Returns the process that has the lock, by now, if the descriptor on which it was seen still has it.
pub(crate) fn still_has(seen: &Sighting, mode: Mode) -> Option<Process> {
    let Sighting { pid, descriptor, taker, device, inode } = *seen;
    let entry = Entry { mode, pid: taker, file: FileId { device, inode }, depth: 0 };
    let locks = locks_on(format!("/proc/{pid}/fdinfo/{descriptor}").as_ref()).ok()?;
    locks.contains(&entry).then(|| describe(pid, Details::Name)).flatten()
}

/// The table moves while it is read, and processes end before they are looked at: where somebody
/// is missing, a second look tells.
fn settled(mut look: impl FnMut() -> io::Result<Holders>) -> io::Result<Holders> {
    match look() {
        Ok(holders) if holders.held.iter().any(is_missing) => look(),
        found => found,
    }
}

fn is_missing(claim: &Claim) -> bool {
    !matches!(claim.by, Claimant::Process(_))
}

fn look(
    place: Place<'_>,
    follow_links: bool,
    known_held: bool,
    goes_on: &dyn Fn() -> bool,
) -> io::Result<Holders> {
    let Some(file) = LockFile::find(place, follow_links)? else {
        // No process can hold the lock of a file that does not exist.
        let free = Holders { coverage: Coverage::Complete, ..Holders::default() };
        return Ok(if known_held { held_by(Claimant::Unknown) } else { free });
    };
    let is_of_file = |hold: &Hold| hold.entry.file == file.id;
    let mut inquiry = Inquiry::new(goes_on);
    let mut holders = Holders { coverage: coverage(file.locks_at), ..Holders::default() };
    let search = Search { goes_on, file: (file.proof == Proof::Numbers).then_some(file.id) };
    if known_held {
        for hold in reading::once(&search)?.iter().filter(|hold| is_of_file(hold)) {
            inquiry.add(&mut holders, hold, file.proof);
        }
    } else {
        let pass = reading::until_whole(&search, |pass| {
            for hold in pass.holds.iter().chain(&pass.doubtful).filter(|hold| is_of_file(hold)) {
                inquiry.add(&mut holders, hold, file.proof);
            }
            !holders.held.is_empty()
        })?;
        if !pass.is_whole {
            holders.coverage = Coverage::Partial;
        }
    }
    // The table of a container does not tell all. To see the rest costs more.
    for hold in inquiry.unlisted().into_iter().filter(is_of_file) {
        inquiry.add(&mut holders, &hold, file.proof);
    }
    // To ask the server is to wait for it.
    if holders.held.is_empty() && file.locks_at == LocksAt::NfsServer && !known_held {
        let mode = remote::held_elsewhere(place, follow_links);
        // In a container it may as well be a process of this host.
        let by = if in_container() { Claimant::Unknown } else { Claimant::OtherHost };
        holders.held.extend(mode.map(|mode| Claim { mode: Some(mode), by, seen: None }));
    }
    if known_held && holders.held.is_empty() {
        holders.held.push(Claim { mode: None, by: inquiry.nobody_seen(), seen: None });
    }
    if goes_on() { Ok(holders) } else { Err(io::ErrorKind::TimedOut.into()) }
}

/// The table of locks is this host's, and a container is shown a part of it.
fn coverage(locks_at: LocksAt) -> Coverage {
    match locks_at {
        _ if in_container() => Coverage::Container,
        LocksAt::ThisHost => Coverage::Complete,
        LocksAt::NfsServer | LocksAt::Elsewhere => Coverage::Host,
    }
}

fn held_by(claimant: Claimant) -> Holders {
    Holders { held: vec![Claim { mode: None, by: claimant, seen: None }], ..Holders::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_missing_is_looked_for_twice() {
        let found = [Claimant::Unknown, Claimant::Ended { pid: 7 }, Claimant::Outside];
        for first in found {
            let mut looks = vec![Holders::default(), held_by(first)];
            let settled = settled(|| looks.pop().ok_or_else(|| io::ErrorKind::Other.into()));
            assert_eq!(settled.ok(), Some(Holders::default()));
        }
    }

    #[test]
    fn one_look_is_enough_otherwise() {
        let this = process::describe(std::process::id(), process::Details::Name);
        let this = held_by(this.map_or(Claimant::Unknown, Claimant::Process));
        for found in [Holders::default(), this] {
            let mut looks = vec![found.clone()];
            let settled = settled(|| looks.pop().ok_or_else(|| io::ErrorKind::Other.into()));
            assert_eq!(settled.ok(), Some(found));
        }
    }
}
