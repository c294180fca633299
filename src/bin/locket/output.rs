//! What locket prints: answers on standard output, single lines of messages on standard error.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use clap::error::{ContextKind, ContextValue};

use crate::escape::escape;
use crate::exit::{self, Failure};
use crate::platform::Platform;
use crate::system::System;

/// How much is printed on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Errors only.
    Quiet,
    /// Also the progress of a wait.
    Normal,
    /// Also how long the lock took.
    Verbose,
}

impl Verbosity {
    /// Returns the verbosity that the options `--quiet` and `--verbose`, which exclude each other, ask for.
    pub(crate) fn from_options(quiet: bool, verbose: bool) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Verbose,
            (false, false) => Self::Normal,
        }
    }

    /// Prints that the lock was acquired, if that is wanted.
    pub(crate) fn print_locked(self, path: &Path, elapsed: Duration) {
        if self == Self::Verbose {
            print_message(format_args!("locked {} after {elapsed:.1?}", path.display()));
        }
    }
}

/// Prints one line on standard error. A single write keeps the lines of several processes whole.
pub(crate) fn print_message(text: impl Display) {
    System::write_stderr(format!("locket: {}\n", escape(&text.to_string())));
}

/// Prints the failure, and returns its exit status.
pub(crate) fn print_failure(failure: &Failure) -> i32 {
    print_message(&failure.text);
    failure.code
}

/// Prints what is wrong with the arguments, and returns the exit status.
pub(crate) fn print_usage_error(error: clap::Error) -> i32 {
    let text = escaped(error).render().ansi().to_string();
    let is_coloured = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    System::write_stderr(if is_coloured { text } else { strip_str(&text).to_string() });
    exit::USAGE
}

/// Escapes the words of the command line, which may come from another user. A suggestion has them between its colours: it is
/// left out if one of them changes.
fn escaped(mut error: clap::Error) -> clap::Error {
    let context: Vec<_> = error.context().map(|(kind, value)| (kind, value.clone())).collect();
    let mut is_unchanged = true;
    for (kind, value) in context {
        let escaped = match &value {
            ContextValue::String(word) => ContextValue::String(escape(word)),
            ContextValue::Strings(words) => {
                ContextValue::Strings(words.iter().map(|word| escape(word)).collect())
            }
            _ => continue,
        };
        is_unchanged &= escaped == value;
        error.insert(kind, escaped);
    }
    if !is_unchanged {
        error.insert(ContextKind::Suggested, ContextValue::None);
    }
    error
}

/// Prints an answer on standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let written = System::check_stdout().and_then(|()| write_stdout(text));
    written.map_err(|error| Failure::output(&error))
}

/// Prints an answer on standard output, with its colours if that is a terminal and `NO_COLOR` is not set.
pub(crate) fn print_coloured(text: &str) -> Result<(), Failure> {
    let written = System::check_stdout().and_then(|()| write_to(anstream::stdout().lock(), text));
    written.map_err(|error| Failure::output(&error))
}

/// Writes to standard output without checking that it was open when this process was started, as flock(1) does.
pub(crate) fn write_stdout(text: &str) -> io::Result<()> {
    write_to(io::stdout().lock(), text)
}

fn write_to(mut output: impl Write, text: &str) -> io::Result<()> {
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        // The reader has read enough: `locket man run | head -1`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
