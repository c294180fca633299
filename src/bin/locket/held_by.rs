//! The holders of a lock as messages name them: `pid 4242 (cargo)`, `pid 4242 (locket: cargo, stopped)`.

use std::borrow::Cow;

use locket::{LockStatus, Owner, OwnerKind, Process};

use super::other;

/// The end of a sentence; nothing, if no holder can be named.
pub(crate) fn held_by(holders: &LockStatus) -> String {
    named(holders).map(|holders| format!(": held by {holders}")).unwrap_or_default()
}

/// `None` if none of them can be named.
pub(crate) fn named(holders: &LockStatus) -> Option<Cow<'_, LockStatus>> {
    let is_known = |owner: &Owner| owner.kind != OwnerKind::Unknown;
    holders.holders.iter().any(is_known).then(|| with_more(holders))
}

fn with_more(holders: &LockStatus) -> Cow<'_, LockStatus> {
    /// No more are named: the rest is counted.
    const NAMED: usize = 3;
    let mut holders = Cow::Borrowed(holders);
    for at in 0..holders.holders.len().min(NAMED) {
        let OwnerKind::Process(process) = &holders.holders[at].kind else { continue };
        let Some(name) = more_than_name(process) else { continue };
        if let OwnerKind::Process(process) = &mut holders.to_mut().holders[at].kind {
            process.name = Some(name);
        }
    }
    holders
}

/// A holder called locket stays beside a command, whose name tells more; and one that is stopped gives nothing back.
fn more_than_name(process: &Process) -> Option<String> {
    let name = process.name.as_ref()?;
    let command = name.starts_with("locket").then(|| other::command_under(process.pid)).flatten();
    let stopped = if other::is_stopped(process.pid) { ", stopped" } else { "" };
    match command {
        Some(command) => Some(format!("{name}: {command}{stopped}")),
        None => (!stopped.is_empty()).then(|| format!("{name}{stopped}")),
    }
}
