//! Reports and counts checks that cannot run on this machine. With `LOCKET_NO_SKIP` such a check fails.

use std::env;
use std::io::{self, Write};
use std::panic::Location;
use std::thread;

use super::skip_log::SkipLog;

/// Reports that a check is skipped, and why. The caller returns afterwards. The reason begins with the missing
/// requirement, in a word or two, and a colon: `strace: not installed`.
///
/// # Panics
///
/// If `LOCKET_NO_SKIP` is set.
#[track_caller]
pub(crate) fn skip(check: &str, reason: &str) {
    assert!(env::var_os("LOCKET_NO_SKIP").is_none(), "{check} must not be skipped: {reason}");
    // Written to the descriptor: the test harness captures the output of `eprintln!`.
    let _ = io::stderr().write_all(format!("SKIPPED {check}: {reason}\n").as_bytes());
    let (missing, _) = reason.split_once(": ").expect("a reason begins with the requirement");
    if let Some(log) = SkipLog::of_this_run() {
        // A skip that is not counted would make the run look complete.
        log.add(check, missing).unwrap_or_else(|error| panic!("{}: {error}", log.0.display()));
    }
}

/// Skips the running test, whose thread has its name. With one test at a time all run on the main thread; then the place
/// stands for the name.
#[track_caller]
pub(crate) fn skip_this(reason: &str) {
    let place = Location::caller().to_string();
    let thread = thread::current();
    skip(thread.name().filter(|&name| name != "main").unwrap_or(&place), reason);
}

/// Returns whether the test runs as root, and skips it if it does not.
#[cfg(unix)]
#[track_caller]
pub(crate) fn has_root() -> bool {
    if !is_root() {
        skip_this("root: only root can mount file systems and switch to other users");
    }
    is_root()
}

#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    tempfile::tempfile().and_then(|file| file.metadata()).is_ok_and(|file| file.uid() == 0)
}

/// Returns whether the root is a mount point, and skips the test if it is not. It is not in a plain chroot. There
/// `/proc/self/mountinfo` leaves out the mount that the root is on (`mountinfo` in proc(5)). Then a process cannot tell
/// the file systems of files apart, and a path in another mount namespace is shown from the root of that namespace.
#[cfg(target_os = "linux")]
#[track_caller]
pub(crate) fn has_mounted_root() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("/proc should be mounted");
    let is_mounted = mounts.lines().any(|line| line.split(' ').nth(4) == Some("/"));
    if !is_mounted {
        skip_this("mounted root: the root is not a mount point, as in a chroot");
    }
    is_mounted
}
