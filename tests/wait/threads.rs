//! What a wait leaves behind: threads, timers and descriptors, as `/proc` shows them, and the thread's signal mask.

use std::collections::BTreeMap;
use std::fs;

use super::signals;
use super::support::until;

/// Counts the timers that send their signals to a thread of this process. While other threads make and delete timers,
/// the kernel's list may lack one.
pub(crate) fn timers_of(tid: libc::c_int) -> usize {
    let target = format!("tid.{tid}");
    all_timers().values().filter(|notified| notified.ends_with(&target)).count()
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

/// What a wait could leave behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remains {
    pub(crate) threads: usize,
    pub(crate) timers: usize,
    pub(crate) descriptors: usize,
}

impl Remains {
    pub(crate) fn now() -> Self {
        let count = |list| fs::read_dir(list).expect("/proc should be mounted").count();
        let (threads, descriptors) = (count("/proc/self/task"), count("/proc/self/fd"));
        Self { threads, timers: all_timers().len(), descriptors }
    }

    /// Waits until this is all that there is. The end of a thread takes a moment.
    #[track_caller]
    pub(crate) fn until_only_these(self) {
        until("nothing is left", || Self::now() == self);
    }
}

/// Runs a wait of this thread with this signal mask. It must not change the mask, and leave no timer.
pub(crate) fn unchanged<T>(mask: u64, wait: impl FnOnce() -> T) -> T {
    signals::set_mask(mask);
    let before = signals::mask();
    let result = wait();
    let after = signals::mask();
    assert_eq!(after, before, "{after:x} != {before:x}");
    assert_eq!(timers_of(signals::tid()), 0, "a timer is left");
    result
}

/// Returns the value of a key in a status file.
pub(crate) fn field(text: &str, key: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in {text}")).trim().to_owned()
}
