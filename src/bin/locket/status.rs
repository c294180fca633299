//! `locket status`: who holds a lock, and who waits for it.

mod json;
mod subject;
mod table;

use std::collections::BTreeSet;

use locket::{Owner, OwnerKind};

use super::args::StatusOptions;
use super::exit::{self, Failure};
use super::other::in_container;
use super::output::{print, print_coloured};
#[cfg(unix)]
use super::unix::{CommandLines, command_lines};
use super::voice::{fail, say};
#[cfg(windows)]
use super::windows::{CommandLines, command_lines};
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
        print(&json::of(&subjects, &commands_of(&subjects)))?;
    } else if !options.quiet {
        print_coloured(&table::of(&subjects, &commands_of(&subjects)))?;
    }
    if options.all && !options.quiet && in_container() {
        say("this is a container (PID namespace): locks of processes outside of it are not listed");
    }
    let code = match subjects.iter().map(Subject::state).max() {
        Some(State::Held) => exit::HELD,
        Some(State::Unknown) => exit::REFUSED,
        Some(State::Free) | None => exit::FREE,
    };
    Ok(failed.unwrap_or(code))
}

/// The command lines of all processes that are told of.
fn commands_of(subjects: &[Subject]) -> CommandLines {
    let holders = subjects.iter().map(|subject| &subject.holders);
    let claims = holders.flat_map(|holders| holders.holders.iter().chain(&holders.waiters));
    let pid = |owner: &Owner| match &owner.kind {
        OwnerKind::Process(process) => Some(process.pid),
        _ => None,
    };
    let pids: BTreeSet<u32> = claims.filter_map(pid).collect();
    command_lines(&pids.into_iter().collect::<Vec<_>>())
}
