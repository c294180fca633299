//! Where the system does not tell who holds a lock.

use std::io;

use crate::error::Failure;
use crate::holders::{Claim, Claimant, Effort, Holders};
use crate::in_use::LockInUse;
use crate::options::Options;

use super::Name;

#[allow(clippy::unnecessary_wraps, reason = "the contract's form")]
pub(crate) fn holders(
    _: &Name,
    _: &Options,
    known_held: bool,
    _: Effort,
) -> Result<Holders, Failure> {
    let held = known_held.then_some(Claim { mode: None, by: Claimant::Unknown });
    Ok(Holders { held: held.into_iter().collect(), waiting: Vec::new() })
}

pub(crate) fn locks_in_use() -> io::Result<Vec<LockInUse>> {
    let text = "who holds locks is not told on this platform";
    Err(io::Error::new(io::ErrorKind::Unsupported, text))
}
