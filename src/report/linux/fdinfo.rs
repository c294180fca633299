//! The locks that processes have on their descriptors, as far as this process may read their `/proc/PID/fdinfo`.
//!
//! A `lock:` line in `/proc/PID/fdinfo/N` is about the lock of that very open file description. It names the process that
//! took the lock; every process that shares the description holds the lock too.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use crate::report::lock_status::DescriptorRef;

use crate::report::linux::proc::{is_gone, numbers_in, read_text};
use crate::report::linux::process;
use crate::report::linux::table::{Entry, entry};

/// A descriptor with a `flock(2)` lock on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Locked {
    pub(super) pid: u32,
    pub(super) descriptor: u32,
    pub(super) entry: Entry,
}

impl Locked {
    /// Returns the link to its file.
    pub(super) fn link(&self) -> String {
        format!("/proc/{}/fd/{}", self.pid, self.descriptor)
    }

    /// Returns whether the descriptor still has the lock. (The descriptors of a process with an exited first thread are shown
    /// in its other threads.)
    pub(super) fn is_still_so(&self) -> bool {
        let Self { pid, descriptor, entry } = self;
        match locks_on(format!("/proc/{pid}/fdinfo/{descriptor}").as_ref()) {
            Ok(locks) => locks.contains(entry),
            Err(_) => numbers_in(&format!("/proc/{pid}/fdinfo")).is_ok_and(|all| all.is_empty()),
        }
    }
}

impl From<Locked> for DescriptorRef {
    fn from(locked: Locked) -> Self {
        let Locked { pid, descriptor, entry } = locked;
        let (device, inode) = (entry.file.device, entry.file.inode);
        Self { pid, descriptor, taker: entry.pid, device, inode }
    }
}

/// What was seen of the processes. No process is looked at twice.
pub(super) struct Looks<'a> {
    /// Asked before each look. After a no, nothing more is looked at.
    goes_on: &'a dyn Fn() -> bool,
    /// Whether the process could be looked into.
    seen: BTreeMap<u32, bool>,
    locked: HashMap<Entry, BTreeMap<u32, Vec<Locked>>>,
    /// Whether all processes were looked at, and none was hidden; `None` before the attempt.
    everywhere: Option<bool>,
}

impl<'a> Looks<'a> {
    pub(super) fn new(goes_on: &'a dyn Fn() -> bool) -> Self {
        let (seen, locked, everywhere) = (BTreeMap::new(), HashMap::new(), None);
        Self { goes_on, seen, locked, everywhere }
    }

    /// Looks at a process. Returns whether it could be looked into; a process that has ended could.
    pub(super) fn at(&mut self, pid: u32) -> bool {
        if let Some(&could) = self.seen.get(&pid) {
            return could;
        }
        let locks = locks_of(pid, self.goes_on);
        let could = locks.is_some();
        for locked in locks.into_iter().flatten().rev() {
            self.locked.entry(locked.entry).or_default().entry(pid).or_default().push(locked);
        }
        self.seen.insert(pid, could);
        could
    }

    /// Looks at every process, the latest first. Returns whether all could be seen.
    pub(super) fn everywhere(&mut self) -> bool {
        if let Some(complete) = self.everywhere {
            return complete;
        }
        let pids = process::all();
        let mut complete = pids.is_ok();
        for pid in pids.unwrap_or_default().into_iter().rev() {
            complete &= self.at(pid);
            if !(self.goes_on)() {
                complete = false;
                break;
            }
        }
        self.everywhere = Some(complete);
        complete
    }

    /// Returns the descriptors with this lock that were seen and not yet taken out, by their processes; of each process the
    /// lowest descriptor last.
    pub(super) fn with(&mut self, lock: &Entry) -> Option<&mut BTreeMap<u32, Vec<Locked>>> {
        self.locked.get_mut(lock)
    }

    /// Returns the locks that were seen.
    pub(super) fn locks(&self) -> impl Iterator<Item = &Entry> {
        self.locked.keys()
    }
}

/// Returns the locks of a process; none if the process does not exist, `None` if it may not be looked into.
fn locks_of(pid: u32, goes_on: &dyn Fn() -> bool) -> Option<Vec<Locked>> {
    match in_process(pid, &format!("/proc/{pid}"), goes_on) {
        Ok((0, _)) => Some(of_threads(pid, goes_on)),
        Ok((_, locks)) => Some(locks),
        // A process that has exited holds nothing. A hidden one may.
        Err(_) => process::has_ended(pid).then(Vec::new),
    }
}

/// Returns the locks of a process with an exited first thread: its other threads show the descriptors.
fn of_threads(pid: u32, goes_on: &dyn Fn() -> bool) -> Vec<Locked> {
    let threads = numbers_in(&format!("/proc/{pid}/task")).unwrap_or_default();
    let looks = threads
        .iter()
        .map(|thread| in_process(pid, &format!("/proc/{pid}/task/{thread}"), goes_on));
    let with_descriptors = looks.flatten().find(|(descriptors, _)| *descriptors > 0);
    with_descriptors.map(|(_, locks)| locks).unwrap_or_default()
}

/// Returns the number of descriptors, and the locks on them.
fn in_process(
    pid: u32,
    process: &str,
    goes_on: &dyn Fn() -> bool,
) -> io::Result<(usize, Vec<Locked>)> {
    let descriptors = numbers_in(&format!("{process}/fdinfo"))?;
    let mut locks = vec![];
    for &descriptor in &descriptors {
        if !goes_on() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match locks_on(format!("{process}/fdinfo/{descriptor}").as_ref()) {
            Err(error) if is_gone(&error) => {}
            entries => {
                let locked = |entry| Locked { pid, descriptor, entry };
                locks.extend(entries?.into_iter().map(locked));
            }
        }
    }
    Ok((descriptors.len(), locks))
}

/// Returns the locks on one descriptor, by its `fdinfo`.
pub(super) fn locks_on(fdinfo: &Path) -> io::Result<Vec<Entry>> {
    Ok(locks_in(&read_text(fdinfo)?).collect())
}

/// Returns the locks in the text of a `fdinfo`.
pub(super) fn locks_in(about: &str) -> impl Iterator<Item = Entry> {
    about.lines().filter(|line| line.starts_with("lock:")).filter_map(entry)
}
