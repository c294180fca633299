//! Descriptions of processes, from `/proc`.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use crate::os::unix::clock;
use crate::report::lock_status::Process;
use crate::report::users;

use crate::report::linux::proc::{is_gone, numbers_in, read_text};

/// How much to tell of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Details {
    /// Its name.
    Name,
    /// Its user and its start as well. Its command line is not read: that is in the process's own memory, where a page may
    /// belong to a file system that never answers.
    All,
}

/// Returns the pids of all processes that are shown here, in order.
pub(super) fn all() -> io::Result<Vec<u32>> {
    numbers_in("/proc")
}

/// Describes a process. Returns `None` if it has exited.
pub(super) fn describe(pid: u32, details: Details) -> Option<Process> {
    let stat = match read_text(format!("/proc/{pid}/stat")) {
        Err(error) if is_gone(&error) && !exists(pid) => return None,
        text => text.ok(),
    };
    let stat = stat.as_deref().and_then(Stat::parse);
    if stat.as_ref().is_some_and(Stat::has_ended) {
        return None;
    }
    let all = details == Details::All;
    Some(Process {
        pid,
        is_this: this() == Some(pid),
        user: all.then(|| user(pid)).flatten(),
        started: stat.as_ref().filter(|_| all).and_then(|stat| started(stat.start)),
        name: stat.map(|stat| stat.name.into()),
    })
}

/// Returns whether the process has exited, reaped by its parent or not.
pub(super) fn has_ended(pid: u32) -> bool {
    describe(pid, Details::Name).is_none()
}

/// Returns this process's pid in the namespace of `/proc`, which may differ from its own.
pub(super) fn this() -> Option<u32> {
    fs::read_link("/proc/self").ok()?.to_str()?.parse().ok()
}

/// Returns whether the process exists although `/proc` does not show it (`hidepid`, proc(5)). A `/proc` of another
/// namespace cannot tell.
fn exists(pid: u32) -> bool {
    if this() != Some(std::process::id()) {
        return false;
    }
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| matches!(test_kill_process(pid), Ok(()) | Err(Errno::PERM)))
}

/// A line of `/proc/PID/stat`: `4242 (name) S 1 ...`. The name may contain anything, parentheses included.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stat<'a> {
    pub(super) name: &'a str,
    pub(super) state: &'a str,
    pub(super) threads: u32,
    /// In clock ticks since the boot.
    pub(super) start: u64,
}

impl<'a> Stat<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (before, after) = text.rsplit_once(") ")?;
        let (_, name) = before.split_once(" (")?;
        // The first word is field 3 of proc_pid_stat(5).
        let mut words = after.split_ascii_whitespace();
        let state = words.next()?;
        let threads = words.nth(16)?.parse().ok()?;
        let start = words.nth(1)?.parse().ok()?;
        Some(Self { name, state, threads, start })
    }

    /// Returns whether the process has exited. A zombie first thread alone does not mean that.
    fn has_ended(&self) -> bool {
        matches!(self.state, "Z" | "X") && self.threads <= 1
    }
}

fn user(pid: u32) -> Option<String> {
    let process = fs::metadata(format!("/proc/{pid}")).ok()?;
    Some(users::name(process.uid()))
}

fn started(ticks: u64) -> Option<SystemTime> {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(clock::ticks_per_second()?);
    let start = Duration::from_nanos(u64::try_from(nanos).ok()?);
    let now = clock::read(libc::CLOCK_BOOTTIME)?;
    SystemTime::now().checked_sub(now.saturating_sub(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "S 1 7 7 0 -1 4194560 2141 0 5 0 12 7 0 0 20 0 3 0 987654321 9 8";

    #[test]
    fn names_may_contain_anything() {
        for name in ["cargo", "a b", "(sd-pam)", ") S 1 (", "two\nlines", "", ")"] {
            let text = format!("42 ({name}) {REST}\n");
            let expected = Stat { name, state: "S", threads: 3, start: 987_654_321 };
            assert_eq!(Stat::parse(&text), Some(expected), "{name}");
        }
        assert_eq!(Stat::parse("42 (cargo) S 1"), None);
    }

    #[test]
    fn a_process_exits_with_its_last_thread() {
        let stat = |state, threads| Stat { name: "", state, threads, start: 0 };
        assert!(stat("Z", 1).has_ended());
        assert!(!stat("Z", 2).has_ended());
        assert!(!stat("D", 1).has_ended());
    }

    #[test]
    fn this_process_is_described() {
        let this = describe(std::process::id(), Details::All);
        let is_now = |start: SystemTime| start.elapsed().is_ok_and(|age| age.as_secs() < 3600);
        let this = this.as_ref();
        assert!(this.is_some_and(|it| it.is_this && it.started.is_some_and(is_now)), "{this:?}");
        assert!(this.is_some_and(|it| it.user.is_some() && it.name.is_some()), "{this:?}");
    }

    #[test]
    fn a_pid_without_a_process_is_none() {
        assert_eq!(describe(u32::MAX, Details::All), None);
        assert_eq!(describe(i32::MAX.unsigned_abs(), Details::All), None);
    }
}
