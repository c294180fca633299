//! `locket status`: who holds a lock, and who waits for it.

mod json;
mod subject;
mod table;

use super::args::StatusOptions;
use super::exit::{self, Failure};
use super::output::{print, print_coloured};
use super::voice::fail;
use subject::{State, Subject};

/// One file that cannot be looked at does not keep the others from being told.
pub(crate) fn status(options: &StatusOptions) -> Result<i32, Failure> {
    let mut failed = None;
    let mut subjects = Vec::new();
    if options.all {
        subjects = Subject::all()?;
    }
    for file in &options.files {
        match Subject::of(file) {
            Ok(subject) => subjects.push(subject),
            Err(failure) => failed = failed.or(Some(fail(&failure))),
        }
    }
    if options.json {
        print(&json::of(&subjects))?;
    } else if !options.quiet {
        print_coloured(&table::of(&subjects))?;
    }
    let code = match subjects.iter().map(Subject::state).max() {
        Some(State::Held) => exit::HELD,
        Some(State::Unknown) => exit::REFUSED,
        Some(State::Free) | None => exit::FREE,
    };
    Ok(failed.unwrap_or(code))
}
