//! The holds of this process at one path, and the three states of the lock.
//!
//! The kernel grants and ends locks; the ledger counts the holds of this process. A hold is added after the kernel has
//! granted it, and removed before the kernel is told to end it, so every hold in the ledger is a lock in the kernel. (Unless
//! the host program closes the descriptor, which it does not own: that is noticed at the release.)
//!
//! Each transition is one atomic step of the counts. Unguarded holds (taken by `Lock::acquire`, without a `Guard`) also need
//! a mutex, since they are a queue.

use std::collections::VecDeque;

use super::fairness::{Acquired, Fairness};
use super::idle::{IdlePool, KeepsIdle};
use super::options::{AfterUse, Mode};
use super::os::platform::{OsError, Platform, PlatformFile};
use super::os::{LockPath, OpenFile, Os};
use super::sync::{Arc, AtomicBox, AtomicState, Mutex};

/// An open file while the kernel's lock is on it.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) file: Box<OpenFile>,
    pub(crate) mode: Mode,
    pub(crate) acquired: Acquired,
    pub(crate) after_use: AfterUse,
}

/// The state of a lock in this process.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// This process does not hold the lock. Another process may.
    #[default]
    Unlocked,
    /// This process holds the lock exclusively.
    HeldExclusive,
    /// This process has this many shared holds of the lock.
    HeldShared(usize),
    /// This process does not hold the lock, and its last release was an error.
    ReleasedError,
}

/// The ledger of one path in one process; all its handles, guards and unguarded holds share it.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: LockPath,
    generation: u32,
    counts: AtomicState<HoldCounts>,
    /// The unguarded holds, oldest first: `release` ends them in this order. Each is added and removed
    /// together with its count, under this mutex.
    unguarded: Mutex<VecDeque<UnguardedHold>>,
    /// One file without a lock is kept open for reuse (L13), if the pool allows this ledger to.
    idle: AtomicBox<OpenFile>,
    may_keep_idle: AtomicState<bool>,
    pool: Arc<IdlePool>,
    fairness: Arc<Fairness>,
}

/// A hold without a guard. The cycle of references is intended: the hold lives until it is released, even when every
/// handle is gone.
#[derive(Debug)]
pub(crate) struct UnguardedHold {
    pub(crate) hold: Hold,
    _ledger: Arc<Ledger>,
}

/// The number of holds, with a guard or without.
///
/// It fits in a pointer, which every processor changes in one step:
///
/// | value | exclusive | shared |
/// |---|---|---|
/// | unlocked | 0 | 0 |
/// | held shared, n times | 0 | n |
/// | held exclusively | 1 | 0 |
/// | the file was replaced while held: holds of the old file and of the new one | more than 0 | any |
/// | released-error | all bits set | 0 |
///
/// A count cannot overflow: each hold has a descriptor, and a process has at most 2^30 (`fs.nr_open`, `proc_sys_fs(5)`). On
/// 32-bit systems a count has 16 bits, and the 65,536th hold of one path would wrap it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(target_pointer_width = "64", repr(align(8)))]
#[cfg_attr(not(target_pointer_width = "64"), repr(align(4)))]
struct HoldCounts {
    exclusive: Count,
    shared: Count,
}

#[cfg(target_pointer_width = "64")]
type Count = u32;
#[cfg(not(target_pointer_width = "64"))]
type Count = u16;

impl HoldCounts {
    const UNLOCKED: Self = Self { exclusive: 0, shared: 0 };
    const RELEASED_ERROR: Self = Self { exclusive: Count::MAX, shared: 0 };

    fn add(self, mode: Mode) -> Self {
        let Self { exclusive, shared } =
            if self == Self::RELEASED_ERROR { Self::UNLOCKED } else { self };
        match mode {
            Mode::Exclusive => Self { exclusive: exclusive.wrapping_add(1), shared },
            Mode::Shared => Self { exclusive, shared: shared.wrapping_add(1) },
        }
    }

    fn remove(self, mode: Mode) -> Self {
        let Self { exclusive, shared } = self;
        match mode {
            Mode::Exclusive => Self { exclusive: exclusive.wrapping_sub(1), shared },
            Mode::Shared => Self { exclusive, shared: shared.wrapping_sub(1) },
        }
    }

    /// Enters the error state, only if nothing is held.
    fn after_failed_release(self) -> Self {
        if self == Self::UNLOCKED { Self::RELEASED_ERROR } else { self }
    }
}

impl From<HoldCounts> for State {
    fn from(counts: HoldCounts) -> Self {
        match counts {
            HoldCounts::UNLOCKED => Self::Unlocked,
            HoldCounts::RELEASED_ERROR => Self::ReleasedError,
            HoldCounts { exclusive: 0, shared } => Self::HeldShared(shared as usize),
            HoldCounts { .. } => Self::HeldExclusive,
        }
    }
}

impl Ledger {
    /// Creates a ledger. In a child of `fork` it begins with the holds that the parent passed by `inherit_on_fork`.
    pub(crate) fn new(path: LockPath, pool: Arc<IdlePool>, fairness: Arc<Fairness>) -> Self {
        let counts = Os::inherited_holds(&path).fold(HoldCounts::UNLOCKED, HoldCounts::add);
        Self {
            path,
            generation: Os::generation(),
            counts: AtomicState::new(counts),
            unguarded: Mutex::new(VecDeque::new()),
            idle: AtomicBox::empty(),
            may_keep_idle: AtomicState::new(false),
            pool,
            fairness,
        }
    }

    pub(crate) fn path(&self) -> &LockPath {
        &self.path
    }

    /// Returns the fork generation in which the ledger was created: see `Platform::generation`.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    pub(crate) fn state(&self) -> State {
        self.counts.get().into()
    }

    /// Unlocked or released-error → held: adds a guard's hold, which the kernel has granted.
    pub(crate) fn add(&self, hold: &Hold) {
        self.counts.update(|counts| counts.add(hold.mode));
        self.fairness.acquired(hold.acquired, Os::clock);
    }

    /// Held → one hold less: subtracts a guard's hold, which is about to end.
    pub(crate) fn remove(&self, mode: Mode) {
        self.counts.update(|counts| counts.remove(mode));
    }

    /// Held exclusively → held shared: records a guard's downgrade, before the kernel is told. In between
    /// the kernel's exclusive lock covers the shared hold.
    pub(crate) fn begin_downgrade(&self) {
        self.counts.update(|counts| counts.remove(Mode::Exclusive).add(Mode::Shared));
    }

    /// Undoes `begin_downgrade` after the system call failed.
    pub(crate) fn undo_downgrade(&self) {
        self.counts.update(|counts| counts.remove(Mode::Shared).add(Mode::Exclusive));
    }

    /// Unlocked or released-error → held, until `take_unguarded`.
    pub(crate) fn add_unguarded(ledger: &Arc<Self>, hold: Hold) {
        let mut unguarded = ledger.unguarded.lock();
        ledger.add(&hold);
        unguarded.push_back(UnguardedHold { hold, _ledger: Arc::clone(ledger) });
    }

    /// Held → one hold less: removes the oldest unguarded hold, which the caller must end. If there is none, the
    /// release is an error: → released-error.
    pub(crate) fn take_unguarded(&self) -> Option<UnguardedHold> {
        let mut unguarded = self.unguarded.lock();
        let oldest = unguarded.pop_front();
        match &oldest {
            Some(oldest) => self.remove(oldest.hold.mode),
            None => self.fail_release(),
        }
        oldest
    }

    /// → released-error, if nothing is held: there was nothing to release, or the system refused
    /// to unlock a hold, which has ended nevertheless.
    pub(crate) fn fail_release(&self) {
        self.counts.update(HoldCounts::after_failed_release);
    }

    /// Takes the idle file for reuse.
    ///
    /// A child may have a copy of a file that was open at a fork, and a lock on it would outlive this process (L7): such a
    /// file is closed instead. So is a file whose descriptor the host program has closed.
    pub(crate) fn take_idle(&self) -> Option<Box<OpenFile>> {
        self.idle.take().filter(|idle| !idle.is_shared_by_fork() && idle.is_own())
    }

    /// Keeps a file for reuse. It is closed if there is one already, or if this ledger may not keep one.
    pub(crate) fn put_idle(self: &Arc<Self>, file: Box<OpenFile>) {
        if !file.may_be_idle() {
            return;
        }
        if !self.may_keep_idle() {
            let ledger: Arc<dyn KeepsIdle> = Arc::<Self>::clone(self);
            self.pool.admit(&ledger);
        }
        let _surplus = self.idle.put(file);
        // If the permission was revoked in between, the file was put too late to be closed by `revoke_idle`. (Both sides
        // swap the box, sequentially consistent: the second swap observes the first, and what came before it.)
        if !self.may_keep_idle() {
            drop(self.idle.take());
        }
    }

    /// Keeps the file of a hold that has ended.
    pub(crate) fn put_released(self: &Arc<Self>, hold: Hold) {
        self.fairness.released(hold.acquired, Os::clock);
        if hold.after_use == AfterUse::KeepOpen {
            self.put_idle(hold.file);
        }
    }

    /// Makes a call that may need a descriptor. If there are none left, all idle files are closed, and
    /// the call is made again.
    pub(crate) fn with_descriptors<T>(
        &self,
        mut call: impl FnMut() -> Result<T, OsError>,
    ) -> Result<T, OsError> {
        loop {
            match call() {
                Err(error) if Os::lacks_descriptors(&error) && self.close_idle() => {}
                answer => return answer,
            }
        }
    }

    /// Closes all idle files of the process. Returns whether there were any.
    pub(crate) fn close_idle(&self) -> bool {
        self.pool.close_all()
    }

    /// Returns whether it is time to let waiters have the lock.
    pub(crate) fn should_yield(&self) -> bool {
        self.fairness.should_yield(Os::clock)
    }
}

impl KeepsIdle for Ledger {
    fn may_keep_idle(&self) -> bool {
        self.may_keep_idle.get()
    }

    fn allow_idle(&self) {
        self.may_keep_idle.update(|_| true);
    }

    fn revoke_idle(&self) -> Option<Box<OpenFile>> {
        self.may_keep_idle.update(|_| false);
        self.idle.take()
    }

    fn unused_for(&self, now: usize) -> usize {
        now.wrapping_sub(self.fairness.last_released())
    }
}
