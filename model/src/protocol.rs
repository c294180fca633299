//! The protocol: how the real lock is made of system calls and of a ledger, each one atomic step.
//!
//! ```text
//! call ───┬─ with a spare ─────────▶ Try
//!         └─ without ─────▶ Open ──▶ Try
//!
//! Try ────┬─ granted ──────────────────────────────▶ Check
//!         ├─ contended ────────────────────────────▶ Look
//!         └─ contended, at the deadline ───────────▶ CheckLate
//! Block ──┬─ granted ──────────────────────────────▶ Check
//!         └─▶ Queued ─┬─ granted ──────────────────▶ Check
//!                     └─ interrupted at the deadline ▶ Try
//!
//! Check ──┬─ the path still names the file ────────▶ Record ─▶ held
//!         └─ moved ───────▶ Reopen ────────────────▶ Open       within the same deadline
//! Look ───┬─ the path still names the file ────────▶ Block
//!         └─ moved ───────▶ Reopen ────────────────▶ Open       never to wait for it in vain
//! CheckLate ┬─ the path still names the file ──────▶ Retire ─▶ (Close) ─▶ timed out
//!           └─ moved ─────▶ Reopen ────────────────▶ Open       unlocks, if granted, and closes
//!
//! release ┬─ takes a hold out of the ledger ───────▶ Unlock
//!         └─ finds none ───────────────────────────▶ not locked
//! downgrade ─ in the ledger ───────────────────────▶ Convert
//! Convert ┬─ done ─────────────────────────────────▶ held, shared
//!         └─ refused, and undone in the ledger ────▶ held, exclusive
//! Unlock ─┬─ done ────────▶ Retire ─▶ (Close) ─────▶ released
//!         └─ refused ─────▶ Close ──▶ Refuse ──────▶ an error
//! ```
//!
//! Beside these, at any moment: a process crashes, the path is unlinked or comes to name another
//! file, the last handle of a process is dropped.
//!
//! # The system
//!
//! As Linux's `flock`: an attempt, blocking or not, is granted whenever no *holder* is in its way,
//! whoever waits; it *barges*. Who is not granted queues, and is granted when no holder, and nobody
//! ahead in the queue, is in its way. Between an unlock and the next grant there is time to barge in.
//! An exclusive lock becomes shared in one step, as on local file systems (`flock_lock_inode` in
//! fs/locks.c, Linux 6.1); flock(2) does not promise that, and elsewhere Locket refuses to downgrade.
//!
//! # Fairness
//!
//! - Promised: a waiter can always still get in, by what the others have begun and by nothing else;
//!   among those who wait, first come first served (as far as the system's queue is: Linux's lets a
//!   waiter that was woken in vain queue again, and for that instant one may slip in before it).
//! - Promised: if the path has not changed since its call, not even those who hold a file that the path
//!   named before it are needed for that.
//! - Not promised: that it *will* get in. A process that locks again at once may do so for ever
//!   before the waiter that was woken runs; readers whose holds overlap may keep a writer out for
//!   ever. The explorer shows both as endless stories.
//! - Without barging nobody is overtaken by who came later. But then a try is refused although
//!   nobody holds the lock, against law L2: a lock can have that law or that fairness, not both.
//!
//! # Left out
//!
//! `fork`; errors of `open` and `stat`; the moment for which a process that has taken the lock again
//! and again stays away before its next acquisition (it delays a step, and changes none); programs
//! that wait for the lock while they hold it themselves (they wait for ever, and that is their
//! doing). A deadline passes when it is looked at, not before: that covers every order of deadline
//! and grant.

mod acquire;
mod faults;
mod release;
mod step;
mod steps;

use self::steps::Steps;
use crate::state::{Acquire, Bug, Process, State, Thread};

pub use self::step::{Action, Step};

/// What a model is made of.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Protocol {
    /// How many processes, at most 4.
    pub processes: usize,
    /// How many threads each of them has, at most 3.
    pub threads: usize,
    /// What threads do.
    pub client: Client,
    /// Whether exclusive guards are downgraded.
    pub downgrades: bool,
    /// How many idle descriptors a ledger keeps, at most 3.
    pub spares: usize,
    /// Whether handles are dropped, so that a process may have none.
    pub drops_handles: bool,
    /// Whether an attempt is granted past those who wait, as `flock` does it. Without, the protocol
    /// is no refinement: a try is then refused although nobody holds the lock (law L2).
    pub barging: bool,
    /// How many crashes there may be.
    pub crashes: u8,
    /// How often the path may come to name another file, or none.
    pub renames: u8,
    /// How often the system may refuse to unlock, or to convert.
    pub refusals: u8,
    /// One thread is marked, for the liveness checkers, and up to so many grants to others while it
    /// is queued are counted.
    pub watch: Option<u8>,
    /// Whether every step is compared with the specification, beside the invariants.
    pub refinement: bool,
    /// Whether states that differ only in names are taken for one.
    pub symmetry: bool,
    /// An error planted.
    pub bug: Option<Bug>,
}

/// What threads do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// Each thread for ever calls any of these, and then ends what it got; if `stray`, it also calls
    /// `release` without having acquired.
    Any {
        /// The calls to choose from.
        calls: Vec<Acquire>,
        /// Whether it also releases what it did not acquire.
        stray: bool,
    },
    /// Each thread makes these calls once, by process and thread.
    Script(Vec<Vec<Vec<Call>>>),
}

/// One call of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// `lock`, `try_lock`, `acquire`, `try_acquire`.
    Acquire(Acquire),
    /// Ends the thread's guard if it has one, and calls `release` otherwise.
    Release,
}

impl Default for Protocol {
    /// Two processes of one thread that lock and unlock for ever; nothing goes wrong.
    fn default() -> Self {
        Self {
            processes: 2,
            threads: 1,
            client: Client::Any { calls: vec![Acquire::default()], stray: false },
            downgrades: false,
            spares: 1,
            drops_handles: false,
            barging: true,
            crashes: 0,
            renames: 0,
            refusals: 0,
            watch: None,
            refinement: true,
            symmetry: true,
            bug: None,
        }
    }
}

impl Protocol {
    /// Everybody outside, no file, no handle.
    pub(crate) fn first_state(&self) -> State {
        let process = Process {
            threads: (0..self.threads).map(|_| Thread::default()).collect(),
            ..Process::default()
        };
        let mut state = State {
            crashes: self.crashes,
            renames: self.renames,
            refusals: self.refusals,
            processes: (0..self.processes).map(|_| process).collect(),
            ..State::default()
        };
        state.processes[0].threads[0].ghost.watched = self.watch.is_some();
        state
    }

    /// Every step that is possible, and the state after it.
    pub(crate) fn next_states(&self, state: &State) -> Vec<(Step, State)> {
        let mut steps = Steps::new(self, state);
        for process in 0..state.processes.len() {
            for thread in 0..self.threads {
                steps.of_thread(process, thread);
            }
            steps.of_process(process);
        }
        steps.of_path();
        steps.found
    }
}
