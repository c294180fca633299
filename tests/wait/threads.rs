//! What `/proc` tells of a process and its threads.

use std::fs;

/// How many timers send their signals to this thread of ours.
pub(crate) fn timers_of(tid: libc::c_int) -> usize {
    let target = format!("tid.{tid}");
    all_timers().lines().filter(|line| line.ends_with(&target)).count()
}

/// How many timers this process has.
pub(crate) fn timers() -> usize {
    all_timers().lines().filter(|line| line.starts_with("ID:")).count()
}

fn all_timers() -> String {
    fs::read_to_string("/proc/self/timers").expect("the kernel should list timers")
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
