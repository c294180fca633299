//! Waiting, asymmetrically: what must happen has ten seconds, what must not has a moment.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// What must happen happens within this.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until it is so.
#[track_caller]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Waits until so many threads of a process wait for the lock of the file at the path: in the
/// kernel's queue, where the system shows it.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn until_waiting(pid: u32, path: &Path, count: usize) {
    until("the waiters in the kernel's queue", || waiting(pid, path) == count);
}

/// Elsewhere nobody can look: a moment has to do, and the tests are so much weaker.
#[cfg(not(target_os = "linux"))]
pub(crate) fn until_waiting(_pid: u32, _path: &Path, _count: usize) {
    thread::sleep(Duration::from_millis(100));
}

/// A waiter in `/proc/locks` is an arrow under the lock that it waits for:
/// `7: -> FLOCK  ADVISORY  WRITE 4242 fe:00:1234 0 EOF`. The device is left out: not every file
/// system shows the one that `stat` does.
#[cfg(target_os = "linux")]
pub(crate) fn waiting(pid: u32, path: &Path) -> usize {
    use std::os::unix::fs::MetadataExt;
    let Ok(file) = std::fs::metadata(path) else { return 0 };
    let inode = file.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").expect("/proc/locks should be readable");
    let is_waiter = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "->", "FLOCK", _, _, waiter, file, ..] = words[..] else { return false };
        waiter.parse() == Ok(pid) && file.rsplit(':').next() == Some(&inode)
    };
    locks.lines().filter(is_waiter).count()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn waiting(_pid: u32, _path: &Path) -> usize {
    0
}
