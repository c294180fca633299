//! What runs under the lock.

use std::ffi::{OsStr, OsString};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Program<'a> {
    /// A program and its arguments.
    Arguments(&'a [OsString]),
    /// A string that the user's shell runs.
    Shell(&'a OsStr),
}
