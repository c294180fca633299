//! What `/proc` tells of a process and its threads.

use std::collections::BTreeMap;
use std::fs;

/// How many timers send their signals to this thread of ours. While other threads make timers and
/// delete them, the list may leave one out.
pub(crate) fn timers_of(tid: libc::c_int) -> usize {
    let target = format!("tid.{tid}");
    all_timers().values().filter(|whom| whom.ends_with(&target)).count()
}

/// How many timers this process has.
pub(crate) fn timers() -> usize {
    all_timers().len()
}

/// What each of them notifies, by their numbers: the list is made piece by piece, and one may be in
/// it twice.
fn all_timers() -> BTreeMap<String, String> {
    let list = fs::read_to_string("/proc/self/timers").expect("the kernel should list timers");
    let mut timers = BTreeMap::new();
    let mut id = "";
    for line in list.lines() {
        if let Some(next) = line.strip_prefix("ID: ") {
            id = next;
        } else if let Some(whom) = line.strip_prefix("notify: ") {
            timers.insert(id.to_owned(), whom.to_owned());
        }
    }
    timers
}

pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("/proc should be there").count()
}

pub(crate) fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("/proc should be there").count()
}

/// A line of a status file.
pub(crate) fn field(text: &str, key: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in {text}")).trim().to_owned()
}
