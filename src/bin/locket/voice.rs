//! All that locket says: single lines on stderr. Stdout is the command's.

use std::fmt::Display;
use std::io;
use std::path::Path;
use std::time::Duration;

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use clap::error::{ContextKind, ContextValue};

use super::escape::escape;
use super::exit::{self, Failure};
#[cfg(unix)]
use super::unix::{NoRoom, write};
#[cfg(windows)]
use super::windows::{NoRoom, write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Errors only.
    Quiet,
    /// Also what somebody who waits wants to know.
    Plain,
    /// Also how it went.
    Verbose,
}

impl Tone {
    /// As the options say. They exclude each other.
    pub(crate) fn of(quiet: bool, verbose: bool) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Verbose,
            (false, false) => Self::Plain,
        }
    }

    pub(crate) fn locked(self, path: &Path, waited: Duration) {
        if self == Self::Verbose {
            say(format_args!("locked {} after {waited:.1?}", path.display()));
        }
    }
}

/// Returns the status to exit with.
pub(crate) fn fail(failure: &Failure) -> i32 {
    say(&failure.text);
    failure.code
}

/// Says what is wrong with the arguments, and returns the status to exit with. As all else that is said, it is not waited
/// for.
pub(crate) fn refuse(error: clap::Error) -> i32 {
    let text = in_plain_words(error).render().ansi().to_string();
    let is_coloured = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    write(if is_coloured { text } else { strip_str(&text).to_string() }, NoRoom::Lose);
    exit::USAGE
}

/// The words of the command line are other people's too. A suggestion, which has them between its colours, is left out if
/// one of them is not shown as itself.
fn in_plain_words(mut error: clap::Error) -> clap::Error {
    let context: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    let mut is_plain = true;
    for (kind, value) in context {
        let escaped = match &value {
            ContextValue::String(word) => ContextValue::String(escape(word)),
            ContextValue::Strings(words) => {
                ContextValue::Strings(words.iter().map(|word| escape(word)).collect())
            }
            _ => continue,
        };
        is_plain &= escaped == value;
        error.insert(kind, escaped);
    }
    if !is_plain {
        error.insert(ContextKind::Suggested, ContextValue::None);
    }
    error
}

/// One write, so that lines of several processes stay whole. Where there is no room for it, it is lost.
pub(crate) fn say(text: impl Display) {
    write(format!("locket: {}\n", escape(&text.to_string())), NoRoom::Lose);
}
