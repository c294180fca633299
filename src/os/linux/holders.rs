//! Who holds a lock, as `/proc` tells it.

mod descriptors;
mod every;
mod file;
mod inquiry;
mod process;
mod table;

use std::ffi::CStr;
use std::io;

use crate::error::{Action, Failure};
use crate::holders::{Claim, Claimant, Effort, Holders};
use crate::options::Options;
use crate::os::Name;

use file::LockFile;
use inquiry::Inquiry;
use table::Hold;

pub(crate) use every::locks_in_use;

pub(crate) fn holders(
    name: &Name,
    options: &Options,
    known_held: bool,
    effort: Effort,
) -> Result<Holders, Failure> {
    let path = name.raw(Action::Ask)?;
    let found = settled(|| look(path, options.follow_links, known_held, effort));
    match found {
        Err(_) if known_held => Ok(held_by(Claimant::Unknown)),
        found => found.map_err(|error| Action::Ask.failed(error)),
    }
}

/// The table moves while it is read, and processes end before they are looked at: where somebody
/// is missing, a second look tells.
fn settled(mut look: impl FnMut() -> io::Result<Holders>) -> io::Result<Holders> {
    let is_missing = |claim: &Claim| !matches!(claim.by, Claimant::Process(_));
    match look() {
        Ok(holders) if holders.held.iter().any(is_missing) => look(),
        found => found,
    }
}

fn look(path: &CStr, follow_links: bool, known_held: bool, effort: Effort) -> io::Result<Holders> {
    let Some(file) = LockFile::find(path, follow_links)? else {
        return Ok(if known_held { held_by(Claimant::Unknown) } else { Holders::default() });
    };
    let is_of_file = |hold: &Hold| hold.entry.file == file.id;
    let mut inquiry = Inquiry::new(effort);
    let mut holders = Holders::default();
    for hold in table::read()?.into_iter().filter(is_of_file) {
        inquiry.add(&mut holders, &hold, file.proof);
    }
    // The table of a container does not tell all. To see the rest costs more.
    if effort == Effort::Search || known_held && holders.held.is_empty() {
        for hold in inquiry.unlisted().into_iter().filter(is_of_file) {
            inquiry.add(&mut holders, &hold, file.proof);
        }
    }
    if known_held && holders.held.is_empty() {
        return Ok(held_by(inquiry.nobody_seen()));
    }
    Ok(holders)
}

fn held_by(claimant: Claimant) -> Holders {
    Holders { held: vec![Claim { mode: None, by: claimant }], waiting: vec![] }
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
