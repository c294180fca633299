//! From an error of the system to an error of the library: its kind, and a hint.

use std::io;
use std::path::Path;

use crate::error::{Action, ErrorKind, LockError};
use crate::os::LockPath;
use crate::os::platform::{OsError, PlatformPath};

/// What is known about an error beyond its number.
#[derive(Debug)]
pub(crate) struct Hint {
    pub(crate) kind: ErrorKind,
    /// The reason and the remedy, in one sentence.
    pub(crate) text: Option<String>,
}

pub(crate) fn to_lock_error(path: &LockPath, error: OsError) -> LockError {
    let Hint { kind, text } = explain(path, &error);
    let OsError { action, source, reason, .. } = error;
    let hint = reason.map(Into::into).or(text);
    LockError::system(path.path(), action, kind, source, hint)
}

/// Converts an error of a query that is about no lock file.
pub(super) fn without_path(path: &Path, source: io::Error) -> LockError {
    LockError::system(path, Action::Query, ErrorKind::of(&source), source, None)
}

#[cfg(unix)]
use super::unix_hints::explain;

#[cfg(not(unix))]
fn explain(_: &LockPath, error: &OsError) -> Hint {
    Hint { kind: ErrorKind::of(&error.source), text: None }
}
