//! Processes: what `/proc` has of them, and how messages name those that hold a lock.
//!
//! Only files of `/proc` that cannot block are read: `stat`, `status`, `comm`, `children` and `fdinfo` (proc(5)). The kernel
//! writes them without touching the memory or the files of the process. Where there is no `/proc`, nothing is known.

use std::borrow::Cow;
use std::path::Path;
use std::process;

use locket::{LockStatus, Owner, OwnerKind, Process};

/// Returns the end of a sentence that names the holders: `: held by pid 4242 (cargo)`. It is empty if none of them is known.
pub(crate) fn held_by(status: &LockStatus) -> String {
    named_holders(status).map(|holders| format!(": held by {holders}")).unwrap_or_default()
}

/// Returns the holders as messages name them: `pid 4242 (cargo)`, `pid 4242 (locket: cargo, stopped)`. `None` if none of them
/// is known.
pub(crate) fn named_holders(status: &LockStatus) -> Option<Cow<'_, LockStatus>> {
    let is_known = |owner: &Owner| owner.kind != OwnerKind::Unknown;
    status.holders.iter().any(is_known).then(|| with_details(status))
}

fn with_details(status: &LockStatus) -> Cow<'_, LockStatus> {
    /// The number of holders that are named; the library's text counts the rest.
    const NAMED: usize = 3;
    let mut status = Cow::Borrowed(status);
    for at in 0..status.holders.len().min(NAMED) {
        let OwnerKind::Process(process) = &status.holders[at].kind else { continue };
        let Some(name) = detailed_name(process) else { continue };
        if let OwnerKind::Process(process) = &mut status.to_mut().holders[at].kind {
            process.name = Some(name);
        }
    }
    status
}

/// Returns the name of a process with what explains its hold: of a locket the name of its command, and whether the process is
/// stopped, since a stopped process does not release its lock. `None` if there is nothing to add.
fn detailed_name(process: &Process) -> Option<String> {
    let name = process.name.as_ref()?;
    let command = name.starts_with("locket").then(|| command_under(process.pid)).flatten();
    let stopped = if is_stopped(process.pid) { ", stopped" } else { "" };
    match command {
        Some(command) => Some(format!("{name}: {command}{stopped}")),
        None => (!stopped.is_empty()).then(|| format!("{name}{stopped}")),
    }
}

/// Returns whether a process that started this one, directly or not, holds the lock.
pub(crate) fn ancestor_holds(status: &LockStatus) -> bool {
    let is_ancestor = |kind: &OwnerKind| match kind {
        OwnerKind::Process(process) => {
            !process.is_this && descends_from(process::id(), process.pid)
        }
        _ => false,
    };
    status.holders.iter().any(|owner| is_ancestor(&owner.kind))
}

/// Fields of `/proc/PID/stat` (`proc_pid_stat(5)`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    pub(crate) state: char,
    parent: u32,
    /// The device number of its terminal, `tty_nr`; zero if it has none.
    #[cfg_attr(windows, allow(dead_code, reason = "only Unix compares terminals"))]
    terminal: u32,
    /// When it was started, in clock ticks since boot.
    #[cfg_attr(windows, allow(dead_code, reason = "only Unix reads command lines"))]
    pub(crate) start: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&stat)
}

pub(crate) fn parse_stat(stat: &[u8]) -> Option<Stat> {
    // The name is in parentheses and may contain any character, parentheses too.
    let after_name = stat.windows(2).rposition(|bytes| bytes == b") ")? + 2;
    let mut words = std::str::from_utf8(stat.get(after_name..)?).ok()?.split_ascii_whitespace();
    let state = words.next()?.chars().next()?;
    let parent = words.next()?.parse().ok()?;
    // It is written as a signed number (`%d`).
    let terminal: i64 = words.nth(2)?.parse().ok()?;
    let terminal = u32::try_from(terminal & 0xffff_ffff).ok()?;
    Some(Stat { state, parent, terminal, start: words.nth(14)?.parse().ok()? })
}

/// Returns when a process was started. It differs between two processes that had the same id.
#[cfg(unix)]
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.start)
}

/// Returns whether a process is stopped, by Ctrl-Z for instance.
pub(crate) fn is_stopped(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat.state == 'T')
}

/// Returns whether this process is in a container: in a PID namespace other than the first one, whose inode number is fixed
/// (`PROC_PID_INIT_INO` in Linux's `include/linux/proc_ns.h`).
#[cfg(target_os = "linux")]
pub(crate) fn in_container() -> bool {
    use std::os::unix::fs::MetadataExt;

    const FIRST: u64 = 0xefff_fffc;
    std::fs::metadata("/proc/self/ns/pid").is_ok_and(|namespace| namespace.ino() != FIRST)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn in_container() -> bool {
    false
}

/// Returns the pending signals of a process: bit N for the signal N, where `ShdPnd` in `/proc/PID/status` has bit N - 1. Zero
/// without `/proc`.
#[cfg(unix)]
pub(crate) fn pending(pid: u32) -> u64 {
    if !cfg!(target_os = "linux") {
        return 0;
    }
    let status = std::fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let mask = status.lines().find_map(|line| line.strip_prefix("ShdPnd:"));
    mask.and_then(|it| u64::from_str_radix(it.trim(), 16).ok()).unwrap_or(0) << 1
}

/// Returns whether a process is the ancestor itself, or was started by it, directly or not. False if it has exited.
pub(crate) fn descends_from(pid: u32, ancestor: u32) -> bool {
    // A longer chain is a loop: process ids were used again while it was read.
    const LONGEST: usize = 1000;
    let parent = |&pid: &u32| stat(pid).map(|stat| stat.parent);
    std::iter::successors(Some(pid), parent).take(LONGEST).any(|pid| pid == ancestor)
}

/// Returns the major and minor number of a process's terminal.
#[cfg(unix)]
pub(crate) fn terminal_of(pid: u32) -> Option<(u32, u32)> {
    let number = stat(pid)?.terminal;
    // The reverse of `new_encode_dev` in include/linux/kdev_t.h.
    (number != 0).then_some(((number >> 8) & 0xfff, (number & 0xff) | ((number >> 12) & 0xf_ff00)))
}

/// Returns the name of the command under a locket: its first child, since the canary is the second. `None` also on a kernel
/// without `CONFIG_PROC_CHILDREN`.
fn command_under(pid: u32) -> Option<String> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let command = children.split_whitespace().next()?;
    let name = std::fs::read(format!("/proc/{command}/comm")).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end_matches('\n').to_string())
}

/// Returns the number of an inherited descriptor through which this process itself holds a lock of the file at the path: an
/// exclusive lock, or any lock if an exclusive one is wanted. A wait for it would never end. The descriptor `except` is left
/// out: it is the one to be locked.
///
/// A `lock:` line in `/proc/self/fdinfo/N` describes a lock of that open file description (`proc_pid_fdinfo(5)`).
#[cfg(target_os = "linux")]
pub(crate) fn own_locked_descriptor(path: &Path, shared: bool, except: Option<i32>) -> Option<i32> {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    let identity = |path: &Path| fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    let file = identity(path)?;
    let conflicts = |number: &i32| {
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let mut locks = info.lines().filter(|line| line.starts_with("lock:"));
        locks.any(|line| line.contains(" FLOCK ") && (!shared || line.contains(" WRITE ")))
            && identity(Path::new(&format!("/proc/self/fd/{number}"))) == Some(file)
    };
    let entries = fs::read_dir("/proc/self/fdinfo").ok()?.flatten();
    let mut numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers.find(|number| Some(*number) != except && conflicts(number))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn own_locked_descriptor(
    _path: &Path,
    _shared: bool,
    _except: Option<i32>,
) -> Option<i32> {
    None
}

#[cfg(test)]
mod tests {
    use super::parse_stat;

    #[test]
    fn a_process_name_may_contain_parentheses() {
        let text = b"42 (a) R 7 (b) T 41 40 39 34817 38 4194304 11 12 13 14 15 16 17 18 20 0 1 0 987654 9 8";
        let stat = parse_stat(text).expect("the line is well formed");
        assert_eq!((stat.state, stat.parent, stat.terminal, stat.start), ('T', 41, 34817, 987_654));
        assert!(parse_stat(b"42 (a").is_none());
        assert!(parse_stat(b"42 (a)").is_none());
    }
}
