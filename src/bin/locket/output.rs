//! What goes to stdout: answers, for people and for programs.

use std::io::{self, Write};

use super::exit::Failure;

pub(crate) fn print(text: &str) -> Result<(), Failure> {
    write(io::stdout().lock(), text)
}

/// Colours reach a terminal, and only one whose user wants them (`NO_COLOR`).
pub(crate) fn print_coloured(text: &str) -> Result<(), Failure> {
    write(anstream::stdout().lock(), text)
}

fn write(mut output: impl Write, text: &str) -> Result<(), Failure> {
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        // Whoever reads it has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::of_system("write the answer", &error)),
    }
}
