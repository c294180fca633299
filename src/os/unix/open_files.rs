//! The open lock files of this process, for the handler that closes a child's copies of them.
//!
//! The handler runs in a child that may have been born in the midst of any change by another thread. So
//! the list is read without a lock: entries are never freed, each change is one atomic step, and the
//! descriptor's number is written last and taken away first.

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize};

use once_cell::race::OnceBox;

/// No descriptor is negative: [`RawFd`] is -1 in a free entry, -2 in one that is being filled.
const FREE: RawFd = -1;
const TAKEN: RawFd = -2;

/// Blocks of entries: the first has 64, and each later one twice as many as the one before.
const BLOCKS: usize = 24;
const FIRST: usize = 64;
static LIST: [OnceBox<Vec<Entry>>; BLOCKS] = [const { OnceBox::new() }; BLOCKS];
/// Below this number of an entry none is free, as far as one thread has seen.
static HINT: AtomicUsize = AtomicUsize::new(0);

/// An open lock file, as the handler needs it.
#[derive(Debug)]
pub(super) struct Entry {
    number: AtomicI32,
    /// The file offset by which the descriptor is known again; zero if it is known by its file.
    mark: AtomicU64,
    device: AtomicU64,
    inode: AtomicU64,
    /// The children keep their copies.
    is_kept: AtomicBool,
    at: usize,
}

/// Enters a descriptor. `None` if there are more than the list can take: a child keeps its copy then.
pub(super) fn enter(number: RawFd, (device, inode): (u64, u64)) -> Option<&'static Entry> {
    let entry = claim()?;
    entry.mark.store(0, Relaxed);
    entry.is_kept.store(false, Relaxed);
    entry.device.store(device, Relaxed);
    entry.inode.store(inode, Relaxed);
    entry.number.store(number, Release); // A child that finds the number finds what is above.
    Some(entry)
}

fn claim() -> Option<&'static Entry> {
    let hint = HINT.load(Relaxed);
    let mut start = 0;
    for (at, block) in LIST.iter().enumerate() {
        let length = FIRST << at;
        if hint < start + length {
            let block = block.get_or_init(|| Box::new(new_block(start, length)));
            for entry in block.iter().skip(hint.saturating_sub(start)) {
                if entry.number.compare_exchange(FREE, TAKEN, AcqRel, Relaxed).is_ok() {
                    HINT.store(entry.at + 1, Relaxed);
                    return Some(entry);
                }
            }
        }
        start += length;
    }
    None
}

fn new_block(start: usize, length: usize) -> Vec<Entry> {
    let entry = |at| Entry {
        number: AtomicI32::new(FREE),
        mark: AtomicU64::new(0),
        device: AtomicU64::new(0),
        inode: AtomicU64::new(0),
        is_kept: AtomicBool::new(false),
        at,
    };
    (start..start + length).map(entry).collect()
}

impl Entry {
    pub(super) fn set_mark(&self, mark: u64) {
        self.mark.store(mark, Release);
    }

    /// Leaves the copies to children that are born from now on.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Release);
    }

    pub(super) fn is_kept(&self) -> bool {
        self.is_kept.load(Acquire)
    }

    /// Takes the descriptor out of the list, before it is closed.
    pub(super) fn leave(&self) {
        self.number.store(FREE, Release);
        HINT.fetch_min(self.at, Relaxed);
    }

    /// Closes the copy of a child. The number may be another file's by now: see `own_file`.
    fn close_copy(&self) {
        if self.number.load(Acquire) >= 0 && self.is_kept() {
            return;
        }
        // Also where a thread of the parent's was filling the entry: it is not a thread of the child's.
        let number = self.number.swap(FREE, Acquire);
        if number < 0 {
            return;
        }
        // SAFETY: the number is used for the length of these calls, in a process with one thread.
        let fd = unsafe { BorrowedFd::borrow_raw(number) };
        let is_own = match self.mark.load(Acquire) {
            0 => rustix::fs::fstat(fd).is_ok_and(|stat| {
                super::own_file::identity(&stat)
                    == (self.device.load(Relaxed), self.inode.load(Relaxed))
            }),
            mark => rustix::fs::tell(fd) == Ok(mark),
        };
        if is_own {
            // SAFETY: the descriptor is the library's, and an inherited `OwnFile` neither uses nor closes
            // it in a child.
            unsafe { rustix::io::close(number) };
        }
    }
}

/// Closes this child's copies. For the handler of `fork`: it allocates nothing and waits for nothing.
pub(super) fn close_copies() {
    for block in LIST.iter().filter_map(OnceBox::get) {
        block.iter().for_each(Entry::close_copy);
    }
    HINT.store(0, Relaxed);
}
