//! The locks that processes have on their descriptors, as far as they may be looked into.
//!
//! A `lock:` line in `/proc/PID/fdinfo/N` is about the lock of that very open file description,
//! which names who took it; whoever else has the description holds the lock too.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::process;
use super::table::{Entry, entry};
use crate::os::linux::proc::read_text;

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
    /// What was opened by another path is not looked at.
    only: Option<PathBuf>,
}

impl Looks {
    pub(super) fn at_most(limit: usize) -> Self {
        Self { left: limit, seen: BTreeMap::new(), everywhere: None, only: None }
    }

    /// At the processes that are asked for, and no others.
    pub(super) fn at_one_file(path: &Path, limit: usize) -> Self {
        let only = Some(path.to_path_buf());
        Self { left: limit, seen: BTreeMap::new(), everywhere: Some(false), only }
    }

    /// The locks of a process; none if there is no such process, `None` if that cannot be told.
    pub(super) fn at(&mut self, pid: u32) -> Option<&[Locked]> {
        let (left, only) = (&mut self.left, self.only.as_deref());
        self.seen.entry(pid).or_insert_with(|| locks_of(pid, only, left)).as_deref()
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

fn locks_of(pid: u32, only: Option<&Path>, left: &mut usize) -> Option<Vec<Locked>> {
    spend(left)?;
    match in_process(pid, &format!("/proc/{pid}"), only, left) {
        Ok(Some((0, _))) => of_threads(pid, only, left),
        Ok(looked) => looked.map(|(_, locks)| locks),
        // What has ended has nothing. What is hidden may have.
        Err(_) => process::has_ended(pid).then(Vec::new),
    }
}

/// A process whose first thread has ended shows its descriptors in the others alone.
fn of_threads(pid: u32, only: Option<&Path>, left: &mut usize) -> Option<Vec<Locked>> {
    let threads = numbers_in(&format!("/proc/{pid}/task")).unwrap_or_default();
    for thread in threads {
        spend(left)?;
        match in_process(pid, &format!("/proc/{pid}/task/{thread}"), only, left) {
            Ok(Some((0, _))) | Err(_) => {}
            looked => return looked.ok().flatten().map(|(_, locks)| locks),
        }
    }
    Some(vec![])
}

/// How many descriptors there are, and the locks on them. `None` if they are too many.
fn in_process(
    pid: u32,
    process: &str,
    only: Option<&Path>,
    left: &mut usize,
) -> io::Result<Option<(usize, Vec<Locked>)>> {
    let descriptors = numbers_in(&format!("{process}/fdinfo"))?;
    let opened = only.and_then(|only| Some((only, Opened::by(process).ok()?)));
    let is_other = |descriptor| {
        let opened = opened.as_ref();
        opened.is_some_and(|(only, opened)| opened.path(descriptor).is_some_and(|is| is != *only))
    };
    let mut locks = vec![];
    for &descriptor in &descriptors {
        if spend(left).is_none() {
            return Ok(None);
        }
        if is_other(descriptor) {
            continue;
        }
        let about = match read_text(&format!("{process}/fdinfo/{descriptor}")) {
            Err(error) if is_gone(&error) => continue,
            about => about?,
        };
        let lines = about.lines().filter(|line| line.starts_with("lock:"));
        let entries = lines.filter_map(entry);
        locks.extend(entries.map(|entry| Locked { pid, descriptor, entry }));
        if only.is_some() && !locks.is_empty() {
            break; // Whoever looks for one file is told of one lock on it.
        }
    }
    Ok(Some((descriptors.len(), locks)))
}

/// The files that a process has open, by their paths.
struct Opened(OwnedFd);

impl Opened {
    fn by(process: &str) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(format!("{process}/fd"), flags, Mode::empty())?))
    }

    fn path(&self, descriptor: u32) -> Option<PathBuf> {
        let link = rustix::fs::readlinkat(&self.0, descriptor.to_string(), vec![]).ok()?;
        Some(OsString::from_vec(link.into_bytes()).into())
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// They may be just enough for the processes that were looked at. There may be more.
    #[test]
    fn whose_looks_are_used_up_has_not_seen_all() {
        for limit in 0..100 {
            let mut looks = Looks::at_most(limit);
            let complete = looks.everywhere();
            assert!(looks.left > 0 || !complete, "all in {limit} looks");
        }
    }
}
