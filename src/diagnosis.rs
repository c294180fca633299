//! From what the system said to what it means, and what to do about it.

use super::error::{Failure, LockError};
use super::kind::ErrorKind;
use super::os::{self, Name};

/// What is known about an error beyond its number.
#[derive(Debug)]
pub(crate) struct Diagnosis {
    pub(crate) kind: ErrorKind,
    /// The reason and the remedy, in one sentence.
    pub(crate) advice: Option<String>,
}

/// The system refused something about this path.
pub(crate) fn refused(name: &Name, failure: Failure) -> LockError {
    let Diagnosis { kind, advice } = os::diagnose(name, &failure);
    let Failure { action, source, reason, .. } = failure;
    let advice = reason.map(Into::into).or(advice);
    LockError::Io { path: name.path().into(), action, kind, source, advice }
}
