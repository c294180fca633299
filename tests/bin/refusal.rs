//! An answer that is an error: its class and kind, for tests to match, and its message, for people.

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
    /// The command makes no sense.
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

/// The system refused something that the peer did without Locket.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self { class: "system".into(), kind: "none".into(), message: error.to_string() }
    }
}
