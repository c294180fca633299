//! A `report` without information: no scenario asks for holders or hints.

#[path = "../../../src/report/escape.rs"]
mod escape;
#[allow(dead_code, unreachable_pub, reason = "the library's public face is not used here")]
#[path = "../../../src/report/lock_status.rs"]
pub(crate) mod lock_status;

use crate::error::{ErrorKind, LockError};
use crate::os::LockPath;
use crate::os::platform::{OsError, PlatformPath};

use lock_status::{LockStatus, Query};

pub(crate) fn to_lock_error(path: &LockPath, error: OsError) -> LockError {
    let OsError { action, source, .. } = error;
    LockError::system(path.path(), action, ErrorKind::of(&source), source, None)
}

#[allow(clippy::unnecessary_wraps, reason = "the library's signature")]
pub(crate) fn query(_: &LockPath, _: &Query<'_>) -> Result<LockStatus, OsError> {
    Ok(LockStatus::default())
}

impl LockStatus {
    pub(crate) fn still_held(&self) -> Self {
        self.clone()
    }
}
