//! Who holds a lock, as `/proc` tells it.

use std::io;

use crate::error::Failure;
use crate::holders::{Claim, Claimant, Holders};
use crate::in_use::LockInUse;
use crate::options::Options;
use crate::os::Name;

#[allow(clippy::unnecessary_wraps, reason = "the contract's form")]
pub(crate) fn holders(_: &Name, _: &Options, known_held: bool) -> Result<Holders, Failure> {
    let held = known_held.then_some(Claim { mode: None, by: Claimant::Unknown });
    Ok(Holders { held: held.into_iter().collect(), waiting: Vec::new() })
}

#[allow(clippy::unnecessary_wraps, reason = "the contract's form")]
pub(crate) fn locks_in_use() -> io::Result<Vec<LockInUse>> {
    Ok(Vec::new())
}
