//! The descriptors of the library, in a table that a forked child can read.
//!
//! A child of `fork` has a copy of each. A lock on such a copy would outlive its parent's death (L7), so the child
//! closes them when it is born, in a handler that may neither allocate nor wait for a mutex: another thread may have
//! held any mutex at that moment (signal-safety(7)). Hence a list that only grows, of slots that change by single atomic
//! steps.

use std::ffi::OsStr;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::RawFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};

use once_cell::race::OnceBox;

use crate::options::Mode;

use crate::os::unix::generation;
use crate::os::unix::identity::{Identity, is_own};

/// The number of slots in a block: as many as most processes need. The first block needs no allocation.
const BLOCK: usize = 32;

struct Block {
    slots: [Slot; BLOCK],
    next: OnceBox<Block>,
}

static FIRST: Block = Block::new();

impl Block {
    const fn new() -> Self {
        Self { slots: [const { Slot::empty() }; BLOCK], next: OnceBox::new() }
    }
}

/// The place of one descriptor at a time.
///
/// | state | `descriptor` |
/// |---|---|
/// | free | `FREE` (-1) |
/// | being written or released | `TAKEN` (-2) |
/// | in use | 0 or more |
///
/// | `kept` | bits 63 to 2 | bit 1 | bit 0 |
/// |---|---|---|---|
/// | closed in children | 0 | 0 | 0 |
/// | open in children, without a hold | 0 | 0 | `KEPT` |
/// | open in children, with a hold | hash of the path | `SHARED` if it is shared | `KEPT` |
#[derive(Debug)]
struct Slot {
    /// Written after all other fields, and cleared when the descriptor is closed.
    descriptor: AtomicI32,
    /// The number of the entry in the slot: each entry has another one.
    entry: AtomicUsize,
    /// The process that opened the descriptor.
    generation: AtomicU32,
    /// The file offset that identifies the descriptor: see `own_file`.
    mark: AtomicU64,
    device: AtomicU64,
    inode: AtomicU64,
    /// The lock on the descriptor: `UNLOCKED`, or a mode.
    held: AtomicU8,
    /// Whether children keep the descriptor open, and with which hold.
    kept: AtomicU64,
}

const FREE: RawFd = -1;
/// Being written or released.
const TAKEN: RawFd = -2;

impl Slot {
    const fn empty() -> Self {
        Self {
            descriptor: AtomicI32::new(FREE),
            entry: AtomicUsize::new(0),
            generation: AtomicU32::new(0),
            mark: AtomicU64::new(0),
            device: AtomicU64::new(0),
            inode: AtomicU64::new(0),
            held: AtomicU8::new(UNLOCKED),
            kept: AtomicU64::new(0),
        }
    }

    fn take(&self) -> bool {
        // Relaxed first: most slots that are looked at are taken. Acquire: pairs with the Release in `free`.
        self.descriptor.load(Relaxed) == FREE
            && self.descriptor.compare_exchange(FREE, TAKEN, Acquire, Relaxed).is_ok()
    }

    /// Returns device and inode.
    fn identity(&self) -> Identity {
        (self.device.load(Relaxed), self.inode.load(Relaxed))
    }

    fn free(&self) {
        self.entry.store(0, Relaxed);
        self.held.store(UNLOCKED, Relaxed);
        self.kept.store(0, Relaxed);
        self.descriptor.store(FREE, Release);
    }

    /// Closes the copy of a child that has just been born.
    fn close_copy(&self, generation: u32) {
        let descriptor = self.descriptor.load(Acquire);
        let is_inherited = self.generation.load(Relaxed) != generation;
        if descriptor < 0 || !is_inherited || self.kept.load(Relaxed) != 0 {
            return;
        }
        let identity = self.identity();
        // The number may be another file's already, if the host has closed the descriptor.
        if is_own(descriptor, self.mark.load(Relaxed), identity) {
            // SAFETY: the number is that of the library's descriptor. What refers to it in this process, a
            // guard for instance, finds that the entry is gone, and does not close it.
            unsafe { libc::close(descriptor) };
        }
        self.free();
    }
}

/// The entry of an open descriptor. Its owner removes it after it has closed the descriptor.
#[derive(Debug)]
pub(super) struct Entry {
    slot: &'static Slot,
    number: usize,
}

impl Entry {
    pub(super) fn new(descriptor: RawFd, (device, inode): Identity) -> Self {
        static ENTRIES: AtomicUsize = AtomicUsize::new(1);
        let (slot, number) = (free_slot(), ENTRIES.fetch_add(1, Relaxed));
        slot.entry.store(number, Relaxed);
        slot.generation.store(generation::current(), Relaxed);
        slot.mark.store(0, Relaxed);
        slot.device.store(device, Relaxed);
        slot.inode.store(inode, Relaxed);
        // Release: pairs with the Acquire in `close_copy`, for a thread that forks.
        slot.descriptor.store(descriptor, Release);
        Self { slot, number }
    }

    /// Returns whether this process has the descriptor: a child may have closed its copy.
    #[inline]
    pub(super) fn is_there(&self) -> bool {
        self.slot.entry.load(Relaxed) == self.number
    }

    /// Returns the offset that identifies the descriptor; zero for none.
    #[inline]
    pub(super) fn mark(&self) -> u64 {
        self.slot.mark.load(Relaxed)
    }

    /// Sets the mark, and returns the old one.
    pub(super) fn set_mark(&self, mark: u64) -> u64 {
        self.slot.mark.swap(mark, Relaxed)
    }

    /// Returns whether this process has opened the descriptor.
    pub(super) fn is_of_this_process(&self) -> bool {
        self.slot.generation.load(Relaxed) == generation::current()
    }

    #[inline]
    pub(super) fn set_held(&self, mode: Option<Mode>) {
        self.slot.held.store(mode.map_or(UNLOCKED, held), Relaxed);
    }

    pub(super) fn held(&self) -> Option<Mode> {
        mode_of(self.slot.held.load(Relaxed))
    }

    /// Makes children keep the descriptor open.
    pub(super) fn stay_in_children(&self) {
        self.slot.kept.store(KEPT, Release);
    }

    /// Makes children that are born from now on keep the descriptor open, and have this hold.
    pub(super) fn inherit_on_fork(&self, path: &OsStr, mode: Mode) {
        self.slot.kept.store(kept(path, mode), Release);
    }

    pub(super) fn is_inherited_on_fork(&self) -> bool {
        self.is_there() && self.slot.kept.load(Acquire) != 0
    }

    /// Removes the entry, unless this process is a child that has closed its copy.
    pub(super) fn remove(&self) {
        if self.is_there() {
            self.slot.descriptor.store(TAKEN, Release);
            self.slot.free();
        }
    }
}

const UNLOCKED: u8 = 0;

fn held(mode: Mode) -> u8 {
    match mode {
        Mode::Exclusive => 1,
        Mode::Shared => 2,
    }
}

fn mode_of(held: u8) -> Option<Mode> {
    [Mode::Exclusive, Mode::Shared].into_iter().find(|&mode| self::held(mode) == held)
}

/// Returns the mode of a lock that this process has on the file, and that excludes a lock of the wanted mode on
/// another descriptor.
pub(super) fn held_here(other: RawFd, file: Identity, wanted: Mode) -> Option<Mode> {
    let generation = generation::current();
    slots().find_map(|slot| {
        let mode = mode_of(slot.held.load(Relaxed))?;
        let (number, identity) = (slot.descriptor.load(Acquire), slot.identity());
        let is_ours = slot.generation.load(Relaxed) == generation || slot.kept.load(Relaxed) != 0;
        let is_in_the_way = mode == Mode::Exclusive || wanted == Mode::Exclusive;
        // The host may have closed it, and its number may now be that of the other descriptor.
        let is_held =
            number >= 0 && number != other && identity == file && is_ours && is_in_the_way;
        (is_held && is_own(number, slot.mark.load(Relaxed), identity)).then_some(mode)
    })
}

fn slots() -> impl Iterator<Item = &'static Slot> {
    std::iter::successors(Some(&FIRST), |block| block.next.get()).flat_map(|block| &block.slots)
}

const KEPT: u64 = 1;
const SHARED: u64 = 2;

fn kept(path: &OsStr, mode: Mode) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    let mode = if mode == Mode::Shared { SHARED } else { 0 };
    hasher.finish() & !(KEPT | SHARED) | KEPT | mode
}

/// Returns the modes of the holds that this process has inherited at this path.
pub(super) fn inherited(path: &OsStr, generation: u32) -> impl Iterator<Item = Mode> {
    let [exclusive, shared] = [Mode::Exclusive, Mode::Shared].map(|mode| kept(path, mode));
    // The first process has inherited none.
    let blocks =
        std::iter::successors((generation > 0).then_some(&FIRST), |block| block.next.get());
    blocks.flat_map(|block| &block.slots).filter_map(move |slot| {
        let is_inherited =
            slot.descriptor.load(Acquire) >= 0 && slot.generation.load(Relaxed) != generation;
        match slot.kept.load(Relaxed) {
            kept if is_inherited && kept == exclusive => Some(Mode::Exclusive),
            kept if is_inherited && kept == shared => Some(Mode::Shared),
            _ => None,
        }
    })
}

fn free_slot() -> &'static Slot {
    let mut block = &FIRST;
    loop {
        if let Some(slot) = block.slots.iter().find(|slot| slot.take()) {
            return slot;
        }
        block = block.next.get_or_init(|| Box::new(Block::new()));
    }
}

/// Closes, in a child, the copies of its ancestors' descriptors, except those that were passed to it.
pub(super) fn close_inherited(generation: u32) {
    for slot in slots() {
        slot.close_copy(generation);
    }
}
