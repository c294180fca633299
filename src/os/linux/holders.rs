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
use std::path::Path;

use crate::deadline::Deadline;
use crate::error::{Action, Failure};
use crate::holders::{Claim, Claimant, Coverage, Effort, Holders};
use crate::options::Options;
use crate::os::Name;
use crate::os::unix::Place;

use file::{LockFile, LocksAt};
use inquiry::{Inquiry, in_container};
use table::Hold;

pub(crate) use every::locks_in_use;

pub(crate) fn holders(
    name: &Name,
    options: &Options,
    known_held: bool,
    effort: Effort,
) -> Result<Holders, Failure> {
    let place = name.place(Action::Ask)?;
    if effort == Effort::Glance {
        if let Ok(Some(holders)) = glance(name.path(), place, options.follow_links) {
            return Ok(holders);
        }
    }
    let search = || {
        let found = settled(|| look(place, options.follow_links, known_held, effort));
        found.map_err(|error| Action::Ask.failed(error))
    };
    match Deadline::Passed.outlast_signals(search) {
        Err(_) if known_held => Ok(held_by(Claimant::Unknown)),
        found => found,
    }
}

/// Most lock files have the number that `stat` tells, and most holders opened them by the same path:
/// then little has to be read. `None` if that does not tell who has all of the lock.
fn glance(spelling: &Path, place: Place<'_>, follow_links: bool) -> io::Result<Option<Holders>> {
    let Some(file) = LockFile::presumed(place, follow_links)? else { return Ok(None) };
    let mut inquiry = Inquiry::at_first_sight(spelling);
    let mut holders = Holders::default();
    for hold in reading::once()?.into_iter().filter(|hold| hold.entry.file == file.id) {
        inquiry.add(&mut holders, &hold, file.proof);
    }
    let all_told = !holders.held.is_empty() && !holders.held.iter().any(is_missing);
    Ok(all_told.then_some(holders))
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
    effort: Effort,
) -> io::Result<Holders> {
    let Some(file) = LockFile::find(place, follow_links)? else {
        // No process can hold the lock of a file that does not exist.
        let free = Holders { coverage: Coverage::Complete, ..Holders::default() };
        return Ok(if known_held { held_by(Claimant::Unknown) } else { free });
    };
    let is_of_file = |hold: &Hold| hold.entry.file == file.id;
    let mut inquiry = Inquiry::new(effort);
    let mut holders = Holders { coverage: coverage(file.locks_at), ..Holders::default() };
    if known_held {
        for hold in reading::once()?.iter().filter(|hold| is_of_file(hold)) {
            inquiry.add(&mut holders, hold, file.proof);
        }
    } else {
        let pass = reading::until_whole(|pass| {
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
    if effort == Effort::Search || known_held && holders.held.is_empty() {
        for hold in inquiry.unlisted().into_iter().filter(is_of_file) {
            inquiry.add(&mut holders, &hold, file.proof);
        }
    }
    if holders.held.is_empty() && file.locks_at == LocksAt::NfsServer && effort == Effort::Search {
        let mode = remote::held_elsewhere(place, follow_links);
        // In a container it may as well be a process of this host.
        let by = if in_container() { Claimant::Unknown } else { Claimant::OtherHost };
        holders.held.extend(mode.map(|mode| Claim { mode: Some(mode), by }));
    }
    if known_held && holders.held.is_empty() {
        holders.held.push(Claim { mode: None, by: inquiry.nobody_seen() });
    }
    Ok(holders)
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
    Holders { held: vec![Claim { mode: None, by: claimant }], ..Holders::default() }
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
