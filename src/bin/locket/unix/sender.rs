//! Where a signal came from, as far as the system tells.

use libc::pid_t;

/// Is a process the command, or one that the command has started, directly or not? One that is gone is not.
#[cfg(target_os = "linux")]
pub(super) fn is_of_command(process: pid_t, command: pid_t) -> bool {
    // A chain longer than that is a loop: the numbers were used again while it was read.
    const LONGEST: usize = 1000;
    let ancestors = std::iter::successors(Some(process), |&process| parent_of(process));
    ancestors.take(LONGEST).any(|process| process == command)
}

#[cfg(target_os = "linux")]
fn parent_of(process: pid_t) -> Option<pid_t> {
    let stat = std::fs::read(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may have anything in it. The state and the parent follow.
    let after_name = stat.iter().rposition(|&byte| byte == b')')?;
    let text = std::str::from_utf8(stat.get(after_name..)?).ok()?;
    text.split(' ').nth(2)?.parse().ok().filter(|&parent| parent > 0)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn is_of_command(process: pid_t, command: pid_t) -> bool {
    process == command
}
