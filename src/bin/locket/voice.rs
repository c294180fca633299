//! All that locket says: single lines on stderr. Stdout is the command's.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Errors only.
    Quiet,
    /// Also what somebody before a terminal wants to know.
    Plain,
    /// Also how it went.
    Verbose,
}

impl Tone {
    /// A silent wait looks like a hang.
    pub(crate) fn waiting(self, path: &Path) {
        let told = match self {
            Self::Quiet => false,
            Self::Plain => io::stderr().is_terminal(),
            Self::Verbose => true,
        };
        if told {
            say(format_args!("waiting for {}", path.display()));
        }
    }

    pub(crate) fn locked(self, path: &Path, waited: Duration) {
        if self == Self::Verbose {
            say(format_args!("locked {} after {waited:.1?}", path.display()));
        }
    }

    /// The exit code says it too.
    pub(crate) fn contended(self, path: &Path, timeout: Option<Duration>) {
        let path = path.display();
        match timeout {
            _ if self == Self::Quiet => {}
            None | Some(Duration::ZERO) => say(format_args!("{path} is locked by somebody else")),
            Some(timeout) => say(format_args!("couldn't lock {path} within {timeout:?}")),
        }
    }
}

/// One write, so that lines of several processes stay whole. Nobody may be there to read it.
pub(crate) fn say(text: impl Display) {
    let _ = io::stderr().write_all(format!("locket: {text}\n").as_bytes());
}
