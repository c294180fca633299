//! The holders of a lock as messages name them: `pid 4242 (cargo)`, `pid 4242 (locket: cargo)`.

use std::borrow::Cow;
use std::fs;

use locket::{Claim, Claimant, Holders, Process};

/// The end of a sentence; nothing, if no holder can be named.
pub(crate) fn held_by(holders: &Holders) -> String {
    named(holders).map(|holders| format!(": held by {holders}")).unwrap_or_default()
}

/// `None` if none of them can be named.
pub(crate) fn named(holders: &Holders) -> Option<Cow<'_, Holders>> {
    let is_known = |claim: &Claim| claim.by != Claimant::Unknown;
    holders.held.iter().any(is_known).then(|| with_commands(holders))
}

/// A holder called locket stays beside a command, whose name tells more.
fn with_commands(holders: &Holders) -> Cow<'_, Holders> {
    let mut holders = Cow::Borrowed(holders);
    for at in 0..holders.held.len() {
        let Claimant::Process(process) = &holders.held[at].by else { continue };
        let Some(name) = with_command(process) else { continue };
        if let Claimant::Process(process) = &mut holders.to_mut().held[at].by {
            process.name = Some(name);
        }
    }
    holders
}

fn with_command(process: &Process) -> Option<String> {
    let name = process.name.as_ref().filter(|name| name.starts_with("locket"))?;
    Some(format!("{name}: {}", command_of(process.pid)?))
}

/// The name of the command: of the first child, since the canary comes after it. To ask for names touches neither
/// the memory nor the files of another process, which could take forever. Where the kernel does not tell, there is
/// none (`CONFIG_PROC_CHILDREN`; `proc_pid_task(5)`).
fn command_of(pid: u32) -> Option<String> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let command = children.split_whitespace().next()?;
    let name = fs::read(format!("/proc/{command}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end_matches('\n').to_string())
}
