//! What goes to stdout: answers, for people and for programs.

use std::io::{self, Write};

use super::exit::Failure;
#[cfg(unix)]
use super::unix::inherited;

pub(crate) fn print(text: &str) -> Result<(), Failure> {
    is_there().and_then(|()| write(text)).map_err(|error| Failure::of_output(&error))
}

/// Colours reach a terminal, and only one whose user wants them (`NO_COLOR`).
pub(crate) fn print_coloured(text: &str) -> Result<(), Failure> {
    let written = is_there().and_then(|()| write_to(anstream::stdout().lock(), text));
    written.map_err(|error| Failure::of_output(&error))
}

/// The same without a check that standard output is there, as flock(1) does it.
pub(crate) fn write(text: &str) -> io::Result<()> {
    write_to(io::stdout().lock(), text)
}

fn write_to(mut output: impl Write, text: &str) -> io::Result<()> {
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// An output that the caller has closed takes no answer. (std, and `unix/os/entry.rs`, open /dev/null in its place.)
#[cfg(unix)]
fn is_there() -> io::Result<()> {
    inherited(1).map(drop)
}

#[cfg(windows)]
#[allow(clippy::unnecessary_wraps, reason = "as on Unix")]
fn is_there() -> io::Result<()> {
    Ok(())
}
