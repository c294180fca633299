//! Why a request has no value: an error of the library, or a failure of the peer.

use std::fmt::Display;
use std::io;

use locket::LockError;

use super::protocol::{Refusal, Value};

#[derive(Debug)]
pub(crate) enum Failure {
    Refused(Refusal),
    /// The peer could not carry out the request.
    Peer(String),
}

pub(crate) type Outcome = Result<Value, Failure>;

impl Failure {
    pub(crate) fn of_peer(message: impl Display) -> Self {
        Self::Peer(message.to_string())
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        Self::Refused(Refusal {
            kind: error.kind(),
            action: error.action(),
            message: error.to_string(),
        })
    }
}

/// Converts the error of a system call that the peer made without Locket.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::of_peer(error)
    }
}
