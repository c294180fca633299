//! Waits for conditions. A condition that must become true has a minute.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for a condition that must become true. It is a limit on liveness, not a measurement: a test that
/// reaches it would hang, also on a machine with many times the load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the condition is true.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until exactly `count` threads of a process wait in the kernel's queue for the lock of the file at the path.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn until_waiting(pid: u32, path: &Path, count: usize) {
    until("the waiters in the kernel's queue", || waiting(pid, path) == count);
}

/// Sleeps for 100 ms. Outside Linux a test cannot see the kernel's queue, so the tests are weaker there.
#[cfg(not(target_os = "linux"))]
pub(crate) fn until_waiting(_pid: u32, _path: &Path, _count: usize) {
    thread::sleep(Duration::from_millis(100));
}

/// Counts the threads of a process that sleep in `flock(2)` on the file at the path. Only a waiter sleeps there. The
/// table of locks is not complete: in a container it leaves out a lock and its waiters when the process that took the
/// lock has ended (`locks_show` in fs/locks.c, Linux 6.1).
///
/// `/proc/PID/task/TID/syscall` contains the number of the call and its arguments, or `running`; see proc(5). A stopped
/// thread is still in the call, but not in the queue. It returns to the queue when it is continued. After a signal to the
/// process, a count of 0 does not show that a waiter has left the queue: see `until_stopped`.
#[cfg(target_os = "linux")]
pub(crate) fn waiting(pid: u32, path: &Path) -> usize {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| std::fs::metadata(path).map(|it| (it.dev(), it.ino())).ok();
    let Some(file) = identity(path) else { return 0 };
    if !Path::new("/proc/self/syscall").exists() {
        return waiting_in_table(pid, file);
    }
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let is_waiter = |task: &std::fs::DirEntry| {
        let call = std::fs::read_to_string(task.path().join("syscall")).unwrap_or_default();
        let mut words = call.split_whitespace();
        let is_flock = words.next().and_then(|it| it.parse().ok()) == Some(libc::SYS_flock);
        let descriptor = words.next().and_then(|it| it.strip_prefix("0x"));
        let descriptor = descriptor.and_then(|it| u32::from_str_radix(it, 16).ok());
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        is_flock
            && stat.contains(") S ")
            && descriptor.is_some_and(|it| {
                identity(Path::new(&format!("/proc/{pid}/fd/{it}"))) == Some(file)
            })
    };
    tasks.filter(is_waiter).count()
}

/// Counts the waiters of a process in the table of locks. It serves kernels without `/proc/PID/syscall` (User-Mode Linux
/// has no `HAVE_ARCH_TRACEHOOK`); on those the tests do not run in a container.
#[cfg(target_os = "linux")]
fn waiting_in_table(pid: u32, (device, inode): (u64, u64)) -> usize {
    let (major, minor) = (libc::major(device), libc::minor(device));
    let file = format!("{major:02x}:{minor:02x}:{inode}");
    table_of_locks().iter().filter(|it| it.is_waiting && it.pid == pid && it.file == file).count()
}

/// An entry of the kernel's table of locks.
#[cfg(target_os = "linux")]
pub(crate) struct LockEntry {
    pub(crate) is_waiting: bool,
    pub(crate) pid: u32,
    /// The device and the inode, as `fe:00:1234`.
    pub(crate) file: String,
}

/// Reads the `flock(2)` locks of `/proc/locks`. A waiter has an arrow: `7: -> FLOCK  ADVISORY  WRITE 42 fe:00:1234 0 EOF`
/// (`proc_locks(5)`).
#[cfg(target_os = "linux")]
pub(crate) fn table_of_locks() -> Vec<LockEntry> {
    let table = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let entry = |line: &str| {
        let (is_waiting, line) = (line.contains("->"), line.replace("->", ""));
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = words[..] else { return None };
        Some(LockEntry { is_waiting, pid: pid.parse().ok()?, file: file.into() })
    };
    table.lines().filter_map(entry).collect()
}

/// Waits until every thread of a process is stopped.
///
/// A stopped waiter has left the kernel's queue: it stops on its way out of `flock(2)` (`do_signal_stop` in
/// kernel/signal.c). A waiter that is awake but not stopped yet is still in the queue and may be granted the lock there.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn until_stopped(pid: u32) {
    let is_stopped = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat"));
        stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T')))
    };
    until("every thread is stopped", || {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
        tasks.is_ok_and(|mut tasks| tasks.all(|task| task.is_ok_and(is_stopped)))
    });
}

/// Returns whether the test runs outside the initial PID namespace, so that some processes are not visible to it. The
/// initial PID namespace has a fixed inode number (`PROC_PID_INIT_INO` in `include/linux/proc_ns.h`).
#[cfg(target_os = "linux")]
pub(crate) fn is_container() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/ns/pid").is_ok_and(|namespace| namespace.ino() != 0xefff_fffc)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn waiting(_pid: u32, _path: &Path) -> usize {
    0
}
