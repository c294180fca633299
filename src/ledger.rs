//! What this process holds at one path, and the three states of the lock in code.
//!
//! The kernel is the arbiter; the ledger only remembers. An acquisition is entered after the
//! kernel has granted it and taken out before the kernel is told to end it, so that what the
//! ledger calls held, the kernel holds.

use std::collections::VecDeque;

use super::courtesy::{Courtesy, Entrance};
use super::options::Mode;
use super::os::{self, Descriptor, Name};
use super::sync::{Arc, Mutex};

/// A descriptor while the kernel's lock is on it.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) descriptor: Descriptor,
    pub(crate) mode: Mode,
    pub(crate) entrance: Entrance,
}

/// What this process knows of a lock.
///
/// ```text
///             acquire ok                 release ok
///  Unlocked ───────────────▶ Held ──────────────────▶ Unlocked
///     │                       │ release: the system refuses
///     │ release               ▼
///     └──────────────▶ ReleasedError ── release ──▶ ReleasedError
///                             └─ acquire ok ──▶ Held
/// ```
///
/// `Held` is exclusive, or shared with a count. An acquisition that fails changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// This process does not hold the lock. Somebody else may.
    Unlocked,
    /// This process holds the lock alone.
    HeldExclusive,
    /// This process holds the lock, this many times over, beside other readers.
    HeldShared(usize),
    /// This process does not hold the lock, and its last release was an error.
    ReleasedError,
}

/// The ledger of one path in one process; all its handles, guards and kept holds share it.
#[derive(Debug)]
pub(crate) struct Ledger {
    name: Name,
    generation: u32,
    book: Mutex<Book>,
}

#[derive(Debug)]
struct Book {
    exclusive: usize,
    shared: usize,
    /// The holds of `acquire`, oldest first: `release` ends them in this order.
    kept: VecDeque<Kept>,
    /// One descriptor without a lock is kept for reuse (L13).
    idle: Option<Descriptor>,
    release_failed: bool,
    courtesy: Courtesy,
}

/// A hold that no guard has. It keeps its ledger, and so itself, alive when every handle is gone:
/// it belongs to the process.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) hold: Hold,
    _ledger: Arc<Ledger>,
}

impl Book {
    fn count(&mut self, mode: Mode) -> &mut usize {
        match mode {
            Mode::Exclusive => &mut self.exclusive,
            Mode::Shared => &mut self.shared,
        }
    }

    fn enter(&mut self, hold: &Hold) {
        *self.count(hold.mode) += 1;
        self.release_failed = false;
        self.courtesy.entered(hold.entrance, os::coarse_clock);
    }

    /// Takes a descriptor back, unless there is one already: then it is the caller's to close.
    fn put_idle(&mut self, descriptor: Descriptor) -> Option<Descriptor> {
        if self.idle.is_some() {
            return Some(descriptor);
        }
        self.idle = Some(descriptor);
        None
    }

    /// A failed release shows in the state only when it leaves nothing held.
    fn fail_release(&mut self) {
        self.release_failed = self.exclusive + self.shared == 0;
    }
}

impl Ledger {
    pub(crate) fn new(name: Name) -> Self {
        let book = Book {
            exclusive: 0,
            shared: 0,
            kept: VecDeque::new(),
            idle: None,
            release_failed: false,
            courtesy: Courtesy::new(os::coarse_clock()),
        };
        Self { name, generation: os::generation(), book: Mutex::new(book) }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// The process that made this ledger, in a line of forks.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn state(&self) -> State {
        let book = self.book.lock();
        match (book.exclusive, book.shared, book.release_failed) {
            (0, 0, false) => State::Unlocked,
            (0, 0, true) => State::ReleasedError,
            (0, holds, _) => State::HeldShared(holds),
            (_, _, _) => State::HeldExclusive,
        }
    }

    /// Unlocked, or released-error → held, by a guard.
    pub(crate) fn enter(&self, hold: &Hold) {
        self.book.lock().enter(hold);
    }

    /// Held → one hold less: a guard's is about to end.
    pub(crate) fn leave(&self, mode: Mode) {
        *self.book.lock().count(mode) -= 1;
    }

    /// Unlocked, or released-error → held, until some thread takes the hold out to end it.
    pub(crate) fn keep(ledger: &Arc<Self>, hold: Hold) {
        let mut book = ledger.book.lock();
        book.enter(&hold);
        book.kept.push_back(Kept { hold, _ledger: Arc::clone(ledger) });
    }

    /// Held → one hold less: the oldest kept one, which is the caller's to end. Whoever gets
    /// `None` released what nobody keeps: → released-error.
    pub(crate) fn take_kept(&self) -> Option<Kept> {
        let mut book = self.book.lock();
        let kept = book.kept.pop_front();
        match &kept {
            Some(kept) => *book.count(kept.hold.mode) -= 1,
            None => book.fail_release(),
        }
        kept
    }

    /// → released-error: the system refused to end a hold, which was given up all the same.
    pub(crate) fn refused(&self) {
        self.book.lock().fail_release();
    }

    /// A descriptor without a lock, for reuse; and is it time to let others have the lock for once?
    ///
    /// A descriptor that was open at a `fork` is shared with the child for good: no death of ours
    /// would end a hold on it (L7), so it is not used again.
    pub(crate) fn take_idle(&self) -> (Option<Descriptor>, bool) {
        let (idle, gives_way) = {
            let mut book = self.book.lock();
            (book.idle.take(), book.courtesy.is_due(os::coarse_clock))
        };
        (idle.filter(|descriptor| !descriptor.is_shared_by_fork()), gives_way)
    }

    /// Takes a descriptor back, or closes it if there is one already.
    pub(crate) fn put_idle(&self, descriptor: Descriptor) {
        let _surplus = self.book.lock().put_idle(descriptor);
    }

    /// The same, for the descriptor of a hold that has ended.
    pub(crate) fn put_released(&self, descriptor: Descriptor) {
        let _surplus = {
            let mut book = self.book.lock();
            book.courtesy.released(os::coarse_clock());
            book.put_idle(descriptor)
        };
    }
}
