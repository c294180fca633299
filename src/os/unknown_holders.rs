//! Where the system does not tell who holds a lock.

use std::io;

use crate::error::{Action, Failure};
use crate::holders::{Claim, Claimant, Holders, Process, Sighting};
use crate::in_use::LockInUse;
use crate::options::{Mode, Options};

use super::Name;

pub(crate) fn holders(
    _: &Name,
    _: &Options,
    known_held: bool,
    _: &dyn Fn() -> bool,
) -> Result<Holders, Failure> {
    if !known_held {
        return Err(Action::Ask.failed(not_told()));
    }
    let held = vec![Claim { mode: None, by: Claimant::Unknown, seen: None }];
    Ok(Holders { held, ..Holders::default() })
}

pub(crate) fn still_has(_: &Sighting, _: Mode) -> Option<Process> {
    None
}

pub(crate) fn locks_in_use() -> io::Result<Vec<LockInUse>> {
    Err(not_told())
}

fn not_told() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this system does not tell")
}
