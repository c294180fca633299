//! What runs under the lock, and how.

use std::ffi::{OsStr, OsString};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Program<'a> {
    /// A program and its arguments.
    Arguments(&'a [OsString]),
    /// A string that the user's shell runs.
    Shell(&'a OsStr),
}

/// Does the command inherit the lock, while locket stays beside it?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inheritance {
    /// The lock is held until the command and all that it started have ended.
    Inherited,
    /// The lock is held until the command has ended.
    KeptBack,
    /// As `Inherited`, and the locked descriptor has this number in the command.
    #[cfg(unix)]
    As(i32),
}
