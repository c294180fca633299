//! Who holds a lock, as `/proc` tells it.

mod descriptors;
mod every;
mod file;
mod inquiry;
mod process;
mod table;
mod users;

use std::ffi::CStr;
use std::io;

use crate::error::{Action, Failure};
use crate::holders::{Claim, Claimant, Effort, Holders};
use crate::options::Options;
use crate::os::Name;

use file::LockFile;
use inquiry::Inquiry;

pub(crate) use every::locks_in_use;

pub(crate) fn holders(
    name: &Name,
    options: &Options,
    known_held: bool,
    effort: Effort,
) -> Result<Holders, Failure> {
    let path = name.raw(Action::Ask)?;
    let look = || look(path, options.follow_links, known_held, effort);
    // The table moves while it is read, and processes end before they are looked at: where
    // something is missing, a second look tells.
    let found = match look() {
        Ok(holders) if holders.held.iter().any(is_doubtful) => look(),
        found => found,
    };
    match found {
        Err(_) if known_held => Ok(held_by(Claimant::Unknown)),
        found => found.map_err(|error| Action::Ask.failed(error)),
    }
}

fn look(path: &CStr, follow_links: bool, known_held: bool, effort: Effort) -> io::Result<Holders> {
    let mut inquiry = Inquiry::new(effort);
    let mut holders = Holders::default();
    if let Some(file) = LockFile::find(path, follow_links)? {
        for hold in table::read()?.into_iter().filter(|hold| hold.entry.file == file.id) {
            inquiry.add(&mut holders, &hold, file.proof);
        }
        // The table of a container does not tell all. To see the rest costs more.
        if effort == Effort::Search || known_held && holders.held.is_empty() {
            for hold in inquiry.unlisted().into_iter().filter(|hold| hold.entry.file == file.id) {
                inquiry.add(&mut holders, &hold, file.proof);
            }
        }
    }
    if known_held && holders.held.is_empty() {
        return Ok(held_by(inquiry.nobody_seen()));
    }
    Ok(holders)
}

fn is_doubtful(claim: &Claim) -> bool {
    !matches!(claim.by, Claimant::Process(_))
}

fn held_by(claimant: Claimant) -> Holders {
    Holders { held: vec![Claim { mode: None, by: claimant }], waiting: vec![] }
}
