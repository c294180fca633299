//! From an error of the system to an error of the library: its kind, and a hint.

use std::io;
use std::path::Path;

use crate::error::{Action, ErrorKind, LockError};
use crate::os::LockPath;
use crate::os::platform::{OsError, PlatformPath};
#[cfg(unix)]
use crate::report::unix_hints::explain;

/// Adds the path, the kind and a hint to an error of the system. To be called soon after the failed call: the hint
/// is found by a look at the path.
pub(crate) fn to_lock_error(path: &LockPath, error: OsError) -> LockError {
    let (kind, hint) = explain(path, &error);
    let OsError { action, source, reason, .. } = error;
    let hint = reason.map(Into::into).or(hint);
    LockError::system(path.path(), action, kind, source, hint)
}

/// Converts an error of a query that is about no lock file.
pub(super) fn without_path(path: &Path, source: io::Error) -> LockError {
    LockError::system(path, Action::Query, ErrorKind::of(&source), source, None)
}

#[cfg(not(unix))]
fn explain(_: &LockPath, error: &OsError) -> (ErrorKind, Option<String>) {
    (ErrorKind::of(&error.source), None)
}
