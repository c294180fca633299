//! Systems that do not tell which process holds a lock.

use std::io;

use crate::error::Action;
use crate::options::Mode;
#[cfg(not(windows))]
use crate::os::LockPath;
use crate::os::platform::OsError;
use crate::report::lock_status::{DescriptorRef, LockStatus, Owner, OwnerKind, Process, Query};
use crate::report::system_lock::SystemLock;

#[cfg(not(windows))]
pub(crate) fn query(_: &LockPath, query: &Query<'_>) -> Result<LockStatus, OsError> {
    known(query, || OwnerKind::Unknown)
}

/// Returns a holder that is known to exist, and cannot be named.
pub(super) fn known(
    query: &Query<'_>,
    kind: impl FnOnce() -> OwnerKind,
) -> Result<LockStatus, OsError> {
    if !query.known_held {
        return Err(Action::Query.failed(not_available()));
    }
    let holders = vec![Owner { mode: None, kind: kind(), seen: None }];
    Ok(LockStatus { holders, ..LockStatus::default() })
}

pub(super) fn still_has(_: &DescriptorRef, _: Mode) -> Option<Process> {
    None
}

pub(super) fn system_locks() -> io::Result<Vec<SystemLock>> {
    Err(not_available())
}

fn not_available() -> io::Error {
    let text = "lock holders are not available on this platform";
    io::Error::new(io::ErrorKind::Unsupported, text)
}
