//! What this process holds at one path, and the three states of the lock in code.
//!
//! The kernel is the arbiter; the ledger only remembers. An acquisition is entered after the
//! kernel has granted it and taken out before the kernel is told to end it, so that what the
//! ledger calls held, the kernel holds.
//!
//! Each transition is one atomic step of the tally. Only the holds that nobody else keeps need a
//! lock around them, since they are a queue.

use std::collections::VecDeque;

use super::courtesy::{Courtesy, Entrance};
use super::error::Failure;
use super::idle::IdlePool;
use super::options::{AfterUse, Mode};
use super::os::{self, Descriptor, Name};
use super::sync::{Arc, Mutex, Register, Slot};

/// A descriptor while the kernel's lock is on it.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) descriptor: Box<Descriptor>,
    pub(crate) mode: Mode,
    pub(crate) entrance: Entrance,
    pub(crate) after_use: AfterUse,
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
    tally: Register<Tally>,
    /// The holds of `acquire`, oldest first: `release` ends them in this order. They come and go
    /// together with their part of the tally, under this lock.
    kept: Mutex<VecDeque<Kept>>,
    /// One descriptor without a lock is kept for reuse (L13), if the pool lets this ledger keep one.
    idle: Slot<Descriptor>,
    is_keeper: Register<bool>,
    pool: Arc<IdlePool>,
    courtesy: Arc<Courtesy>,
}

/// A hold that no guard has. It keeps its ledger, and so itself, alive when every handle is gone:
/// it belongs to the process.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) hold: Hold,
    _ledger: Arc<Ledger>,
}

/// How many holds there are, of guards and kept ones.
///
/// As large as a pointer, which every processor changes in one step. No process has more
/// descriptors than half of it can count, but for one of 32 bits with 65,536 holds of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
#[cfg_attr(not(target_pointer_width = "64"), repr(align(4)))]
struct Tally {
    exclusive: Count,
    shared: Count,
}

#[cfg(target_pointer_width = "64")]
type Count = u32;
#[cfg(not(target_pointer_width = "64"))]
type Count = u16;

impl Tally {
    const UNLOCKED: Self = Self { exclusive: 0, shared: 0 };
    /// No holds, and an error: written as a number of holds that nobody has.
    const RELEASED_ERROR: Self = Self { exclusive: Count::MAX, shared: 0 };

    fn plus(self, mode: Mode) -> Self {
        let Self { exclusive, shared } =
            if self == Self::RELEASED_ERROR { Self::UNLOCKED } else { self };
        match mode {
            Mode::Exclusive => Self { exclusive: exclusive.wrapping_add(1), shared },
            Mode::Shared => Self { exclusive, shared: shared.wrapping_add(1) },
        }
    }

    fn minus(self, mode: Mode) -> Self {
        let Self { exclusive, shared } = self;
        match mode {
            Mode::Exclusive => Self { exclusive: exclusive.wrapping_sub(1), shared },
            Mode::Shared => Self { exclusive, shared: shared.wrapping_sub(1) },
        }
    }

    /// A failed release shows only when it leaves nothing held.
    fn after_failed_release(self) -> Self {
        if self == Self::UNLOCKED { Self::RELEASED_ERROR } else { self }
    }
}

impl From<Tally> for State {
    fn from(tally: Tally) -> Self {
        match tally {
            Tally::UNLOCKED => Self::Unlocked,
            Tally::RELEASED_ERROR => Self::ReleasedError,
            Tally { exclusive: 0, shared } => Self::HeldShared(shared as usize),
            Tally { .. } => Self::HeldExclusive,
        }
    }
}

impl Ledger {
    /// In a child of `fork` it begins with the holds that were kept for it.
    pub(crate) fn new(name: Name, pool: Arc<IdlePool>, courtesy: Arc<Courtesy>) -> Self {
        let tally = os::inherited(&name).fold(Tally::UNLOCKED, Tally::plus);
        Self {
            name,
            generation: os::generation(),
            tally: Register::new(tally),
            kept: Mutex::new(VecDeque::new()),
            idle: Slot::empty(),
            is_keeper: Register::new(false),
            pool,
            courtesy,
        }
    }

    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// The process that made this ledger, in a line of forks.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn state(&self) -> State {
        self.tally.get().into()
    }

    /// Unlocked, or released-error → held, by a guard.
    pub(crate) fn enter(&self, hold: &Hold) {
        self.tally.update(|tally| tally.plus(hold.mode));
        self.courtesy.entered(hold.entrance, os::clock);
    }

    /// Held → one hold less: a guard's is about to end.
    pub(crate) fn leave(&self, mode: Mode) {
        self.tally.update(|tally| tally.minus(mode));
    }

    /// Held exclusively → held once more as shared: a guard's downgrade, before the system hears of it.
    /// What the ledger calls shared meanwhile, the system's exclusive lock covers.
    pub(crate) fn lower(&self) {
        self.tally.update(|tally| tally.minus(Mode::Exclusive).plus(Mode::Shared));
    }

    /// Back again: the system refused.
    pub(crate) fn restore(&self) {
        self.tally.update(|tally| tally.minus(Mode::Shared).plus(Mode::Exclusive));
    }

    /// Unlocked, or released-error → held, until some thread takes the hold out to end it.
    pub(crate) fn keep(ledger: &Arc<Self>, hold: Hold) {
        let mut kept = ledger.kept.lock();
        ledger.enter(&hold);
        kept.push_back(Kept { hold, _ledger: Arc::clone(ledger) });
    }

    /// Held → one hold less: the oldest kept one, which is the caller's to end. Whoever gets
    /// `None` released what nobody keeps: → released-error.
    pub(crate) fn take_kept(&self) -> Option<Kept> {
        let mut kept = self.kept.lock();
        let oldest = kept.pop_front();
        match &oldest {
            Some(oldest) => self.leave(oldest.hold.mode),
            None => self.fail_release(),
        }
        oldest
    }

    /// → released-error, if nothing is held: there was nothing to release, or the system refused
    /// to end a hold, which was given up all the same.
    pub(crate) fn fail_release(&self) {
        self.tally.update(Tally::after_failed_release);
    }

    /// A descriptor without a lock, for reuse.
    ///
    /// A descriptor that was open at a `fork` is shared with the child for good: no death of ours
    /// would end a hold on it (L7), so it is not used again. Nor is one whose number belongs to another
    /// file now, since the host has closed what is not its own.
    pub(crate) fn take_idle(&self) -> Option<Box<Descriptor>> {
        self.idle.take().filter(|idle| !idle.is_shared_by_fork() && idle.is_own())
    }

    /// Takes a descriptor back. If there is one already, or it may not be kept, it is closed.
    pub(crate) fn put_idle(self: &Arc<Self>, descriptor: Box<Descriptor>) {
        if !descriptor.may_be_idle() {
            return;
        }
        if !self.is_keeper() {
            self.pool.admit(self);
        }
        let _surplus = self.idle.put(descriptor);
        // Dismissed in between, the descriptor came too late to be taken away. (The slot is changed by
        // both sides, here and in `dismiss`: the later one sees what the earlier did before.)
        if !self.is_keeper() {
            drop(self.idle.take());
        }
    }

    /// The same, for the descriptor of a hold that has ended.
    pub(crate) fn put_released(self: &Arc<Self>, hold: Hold) {
        self.courtesy.released(hold.entrance, os::clock);
        if hold.after_use == AfterUse::KeepOpen {
            self.put_idle(hold.descriptor);
        }
    }

    /// For the pool: may this ledger keep an idle descriptor?
    pub(crate) fn is_keeper(&self) -> bool {
        self.is_keeper.get()
    }

    /// For the pool: from now on it may.
    pub(crate) fn become_keeper(&self) {
        self.is_keeper.update(|_| true);
    }

    /// For the pool: from now on it may not, and its idle descriptor is the caller's to close.
    pub(crate) fn dismiss(&self) -> Option<Box<Descriptor>> {
        self.is_keeper.update(|_| false);
        self.idle.take()
    }

    /// For the pool: how long ago the lock was last released, in microseconds of `os::clock`.
    pub(crate) fn unused_for(&self, now: usize) -> usize {
        now.wrapping_sub(self.courtesy.last_released())
    }

    /// Makes a call that may need a descriptor. When there are no more, all idle ones are closed, and
    /// the call is made again.
    pub(crate) fn with_descriptors<T>(
        &self,
        mut call: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        loop {
            match call() {
                Err(failure) if os::lacks_descriptors(&failure) && self.give_back_idle() => {}
                answer => return answer,
            }
        }
    }

    /// Closes all idle descriptors of the process. Returns whether there were any.
    pub(crate) fn give_back_idle(&self) -> bool {
        self.pool.give_back()
    }

    /// Is it time to let others have the lock for once?
    pub(crate) fn gives_way(&self) -> bool {
        self.courtesy.is_due(os::clock)
    }
}
