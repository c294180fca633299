//! Reads from `/proc` how many threads, timers and descriptors this process has.

use std::collections::BTreeMap;
use std::fs;

/// Counts the timers that send their signals to a thread of this process. While other threads make and delete timers,
/// the kernel's list may lack one.
pub(crate) fn timers_of(tid: libc::c_int) -> usize {
    let target = format!("tid.{tid}");
    all_timers().values().filter(|notified| notified.ends_with(&target)).count()
}

/// Counts the timers of this process.
pub(crate) fn timers() -> usize {
    all_timers().len()
}

/// Returns the timers by their ids, with the thread or process that each one notifies. The kernel makes the list piece
/// by piece, so a timer may be in it twice.
fn all_timers() -> BTreeMap<String, String> {
    let list = fs::read_to_string("/proc/self/timers").expect("the kernel should list timers");
    let mut timers = BTreeMap::new();
    let mut id = "";
    for line in list.lines() {
        if let Some(next) = line.strip_prefix("ID: ") {
            id = next;
        } else if let Some(notified) = line.strip_prefix("notify: ") {
            timers.insert(id.to_owned(), notified.to_owned());
        }
    }
    timers
}

pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("/proc should be mounted").count()
}

pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("/proc should be mounted").count()
}

/// Returns the value of a key in a status file.
pub(crate) fn field(text: &str, key: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in {text}")).trim().to_owned()
}
