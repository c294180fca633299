//! Where the system does not tell who holds a lock.

use std::io;

use crate::error::{Action, Failure};
use crate::holders::{Claim, Claimant, Effort, Holders};
use crate::in_use::LockInUse;
use crate::options::Options;

use super::Name;

pub(crate) fn holders(
    _: &Name,
    _: &Options,
    known_held: bool,
    _: Effort,
) -> Result<Holders, Failure> {
    if !known_held {
        return Err(Action::Ask.failed(not_told()));
    }
    let held = vec![Claim { mode: None, by: Claimant::Unknown }];
    Ok(Holders { held, ..Holders::default() })
}

pub(crate) fn locks_in_use() -> io::Result<Vec<LockInUse>> {
    Err(not_told())
}

fn not_told() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this system does not tell")
}
