//! An answer that is an error. Tests match its class and kind; its message is for people.

use std::fmt::{self, Display, Formatter};
use std::io;

use locket::{ErrorKind, LockError};

#[derive(Debug)]
pub(crate) struct Refusal {
    class: String,
    kind: String,
    message: String,
}

pub(crate) type Reply = Result<String, Refusal>;

impl Refusal {
    /// Returns the error for a command that the peer does not understand.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { class: "usage".into(), kind: "none".into(), message: message.to_string() }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "error {} {} {}", self.class, self.kind, self.message)
    }
}

impl From<LockError> for Refusal {
    fn from(error: LockError) -> Self {
        let class = match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "timed_out".into(),
            ErrorKind::NotLocked => "not_locked".into(),
            _ => format!("{:?}", error.action()).to_lowercase(),
        };
        let kind = format!("{:?}", error.kind()).to_lowercase();
        Self { class, kind, message: error.to_string() }
    }
}

/// Converts the error of a system call that the peer made without Locket.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { class: "system".into(), kind: "none".into(), message: error.to_string() }
    }
}
