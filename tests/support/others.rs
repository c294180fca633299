//! Processes that the test knows only by process id.

use std::fmt::Display;
use std::process::Command;

/// Returns whether the process is running. A zombie is not.
pub(crate) fn is_alive(pid: impl Display) -> bool {
    let kill = Command::new("sh").args(["-c", &format!("kill -0 {pid} 2>/dev/null")]).status();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    kill.is_ok_and(|status| status.success()) && !stat.contains(") Z ")
}

#[track_caller]
pub(crate) fn kill(pid: impl Display) {
    let kill = Command::new("sh").args(["-c", &format!("kill -9 {pid}")]).status();
    assert!(kill.is_ok_and(|status| status.success()), "process {pid} should exist");
}
