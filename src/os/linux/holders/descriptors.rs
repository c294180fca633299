//! The locks that processes have on their descriptors, as far as they may be looked into.
//!
//! A `lock:` line in `/proc/PID/fdinfo/N` is about the lock of that very open file description,
//! which names who took it; whoever else has the description holds the lock too.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use rustix::io::Errno;

use super::process;
use super::table::{Entry, entry, read_text};

/// A descriptor with a `flock(2)` lock on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Locked {
    pub(super) pid: u32,
    pub(super) descriptor: u32,
    pub(super) entry: Entry,
}

impl Locked {
    /// The link to its file.
    pub(super) fn link(&self) -> String {
        format!("/proc/{}/fd/{}", self.pid, self.descriptor)
    }
}

/// What was seen of the processes at one time. No process is looked at twice.
#[derive(Debug)]
pub(super) struct Looks {
    /// How many more processes and descriptors may be looked at.
    left: usize,
    /// `None` for what may not be looked into.
    seen: BTreeMap<u32, Option<Vec<Locked>>>,
    /// Were all of them looked at, and was nothing left out?
    everywhere: Option<bool>,
}

impl Looks {
    pub(super) fn at_most(limit: usize) -> Self {
        Self { left: limit, seen: BTreeMap::new(), everywhere: None }
    }

    /// The locks of a process; none if there is no such process, `None` if that cannot be told.
    pub(super) fn at(&mut self, pid: u32) -> Option<&[Locked]> {
        let left = &mut self.left;
        self.seen.entry(pid).or_insert_with(|| locks_of(pid, left)).as_deref()
    }

    /// Looks at every process, the latest first. Could all be seen?
    pub(super) fn everywhere(&mut self) -> bool {
        if let Some(complete) = self.everywhere {
            return complete;
        }
        let pids = process::all();
        let mut complete = pids.is_ok();
        for pid in pids.unwrap_or_default().into_iter().rev() {
            complete &= self.at(pid).is_some();
            if self.left == 0 {
                complete = false;
                break;
            }
        }
        self.everywhere = Some(complete);
        complete
    }

    /// All locked descriptors that were seen.
    pub(super) fn seen(&self) -> impl Iterator<Item = &Locked> {
        self.seen.values().flatten().flatten()
    }
}

fn locks_of(pid: u32, left: &mut usize) -> Option<Vec<Locked>> {
    spend(left)?;
    match in_directory(pid, &format!("/proc/{pid}/fdinfo"), left) {
        Ok(Some((0, _))) => of_threads(pid, left),
        Ok(looked) => looked.map(|(_, locks)| locks),
        // What has ended has nothing. What is hidden may have.
        Err(_) => process::has_ended(pid).then(Vec::new),
    }
}

/// A process whose first thread has ended shows its descriptors in the others alone.
fn of_threads(pid: u32, left: &mut usize) -> Option<Vec<Locked>> {
    let threads = numbers_in(&format!("/proc/{pid}/task")).unwrap_or_default();
    for thread in threads {
        spend(left)?;
        match in_directory(pid, &format!("/proc/{pid}/task/{thread}/fdinfo"), left) {
            Ok(Some((0, _))) | Err(_) => {}
            looked => return looked.ok().flatten().map(|(_, locks)| locks),
        }
    }
    Some(vec![])
}

/// How many descriptors there are, and the locks on them. `None` if they are too many.
fn in_directory(
    pid: u32,
    directory: &str,
    left: &mut usize,
) -> io::Result<Option<(usize, Vec<Locked>)>> {
    let descriptors = numbers_in(directory)?;
    let mut locks = vec![];
    for &descriptor in &descriptors {
        if spend(left).is_none() {
            return Ok(None);
        }
        let about = match read_text(&format!("{directory}/{descriptor}")) {
            Err(error) if is_gone(&error) => continue,
            about => about?,
        };
        let lines = about.lines().filter(|line| line.starts_with("lock:"));
        let entries = lines.filter_map(entry);
        locks.extend(entries.map(|entry| Locked { pid, descriptor, entry }));
    }
    Ok(Some((descriptors.len(), locks)))
}

/// `None` if no look is left.
fn spend(left: &mut usize) -> Option<()> {
    *left = left.checked_sub(1)?;
    Some(())
}

/// The entries of a directory of `/proc` that are numbers, in order.
pub(super) fn numbers_in(directory: &str) -> io::Result<Vec<u32>> {
    let mut numbers = vec![];
    for entry in fs::read_dir(directory)? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Closed, or ended, since it was listed.
pub(super) fn is_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::SRCH))
}
