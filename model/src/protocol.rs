//! The protocol: how the real lock combines system calls and a ledger. Each system call and each
//! section of the ledger is one atomic step.
//!
//! ```text
//! call ───┬─ with an idle open file ───────────────────▶ Try
//!         └─ without ─────▶ Open ──────────────────────▶ Try
//!
//! Try ────┬─ granted ──────────────────────────────────▶ Verify
//!         ├─ contended ────────────────────────────────▶ VerifyBeforeWait
//!         └─ contended, at the deadline ───────────────▶ VerifyAtDeadline
//! Block ──┬─ granted ──────────────────────────────────▶ Verify
//!         └─▶ Queued ─┬─ granted ──────────────────────▶ Verify
//!                     └─ interrupted at the deadline ──▶ Try
//!
//! Verify ───────────┬─ the path names the file ────────▶ Record ─▶ held
//!                   └─ replaced ─▶ Reopen ─────────────▶ Open
//! VerifyBeforeWait ─┬─ the path names the file ────────▶ Block
//!                   └─ replaced ─▶ Reopen ─────────────▶ Open
//! VerifyAtDeadline ─┬─ the path names the file ────────▶ StoreIdle ─▶ (Close) ─▶ timed out
//!                   └─ replaced ─▶ Reopen ─────────────▶ Open
//!
//! release ┬─ takes a hold out of the ledger ───────────▶ Unlock
//!         └─ finds none ───────────────────────────────▶ not locked
//! downgrade ─ in the ledger ───────────────────────────▶ Convert
//! Convert ┬─ done ─────────────────────────────────────▶ held, shared
//!         └─ refused, and undone in the ledger ────────▶ held, exclusive
//! Unlock ─┬─ done ────────▶ StoreIdle ─▶ (Close) ──────▶ released
//!         └─ refused ─────▶ Close ─────▶ RecordRefusal ▶ an error
//! ```
//!
//! `Reopen` closes the open file, which also unlocks it if it was locked. The deadline stays the same.
//!
//! Three more events can happen at any moment: a process crashes, the path is unlinked or comes to
//! name another file, a process drops its last handle.
//!
//! # The kernel
//!
//! The model follows Linux's `flock`. An attempt, blocking or not, is granted whenever no *holder*
//! conflicts with it. Waiters do not matter: the attempt *barges*. A blocking attempt that is not
//! granted queues. A queued attempt is granted when no holder, and no waiter ahead in the queue,
//! conflicts with it. Between an unlock and the next grant another attempt can barge. An exclusive
//! lock becomes shared in one step, as on local file systems (`flock_lock_inode` in fs/locks.c, Linux
//! 6.1). flock(2) does not promise that; on other file systems Locket refuses to downgrade.
//!
//! # Fairness
//!
//! - Promised: a waiter can always still get the lock, by steps that the other threads and the kernel
//!   have begun and by no others. Waiters are served first come, first served, as far as the kernel's
//!   queue is. (In Linux a waiter that was woken without a grant queues again; another waiter may
//!   pass it in that instant.)
//! - Promised: if the path has not changed since the call, those steps need no release by a holder of
//!   a file that the path named before.
//! - Not promised: that the waiter *will* get the lock. A process that re-acquires in a loop may do so
//!   forever before the woken waiter runs. Readers with overlapping holds may exclude a writer forever.
//!   The explorer shows both as lassos.
//! - Without barging, no later thread overtakes a waiter. But a try then fails although no hold
//!   exists, which law L2 forbids. A lock can have that law or that fairness, not both.
//!
//! # Left out
//!
//! - `fork`, and errors of `open` and `stat`.
//! - The delay by which a process that re-acquires in a loop yields to waiters. It delays a step and
//!   changes no step.
//! - Programs that wait for the lock while they hold it. They wait forever, which is an error of the
//!   program.
//!
//! The thread finds out that its deadline has passed when it reads the clock. That covers every order
//! of a deadline and a grant.

mod acquire;
mod faults;
mod release;
mod step;
mod steps;

use self::steps::Steps;
use crate::state::{Acquire, Bug, Process, State, Thread};

pub use self::step::{Action, Step};

/// A model: the clients, the bounds and the switches.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a separate switch")]
pub struct Protocol {
    /// The number of processes, at most 4.
    pub processes: usize,
    /// The number of threads of each process, at most 3.
    pub threads: usize,
    /// The calls of the threads.
    pub client: Client,
    /// Whether exclusive guards are downgraded.
    pub downgrades: bool,
    /// The number of idle open files that a ledger stores, at most 3.
    pub max_idle: usize,
    /// Whether a process may drop all its handles.
    pub drops_handles: bool,
    /// Whether an attempt may pass the waiters, as with `flock`. Without barging the protocol does not
    /// refine the specification: a try fails although no hold exists (law L2).
    pub barging: bool,
    /// The number of crashes.
    pub crashes: u8,
    /// The number of changes of the path: unlinked, or naming another file.
    pub renames: u8,
    /// The number of unlocks or downgrades that the kernel refuses.
    pub refusals: u8,
    /// If set, one thread is tracked for the liveness checks. Grants to other threads while it is
    /// queued are counted up to this number.
    pub track: Option<u8>,
    /// Whether every step is compared with the specification, in addition to the invariants.
    pub refinement: bool,
    /// Whether states that differ only in the names of processes and threads count as one.
    pub symmetry: bool,
    /// The seeded bug.
    pub bug: Option<Bug>,
}

/// The calls of the threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Client {
    /// Each thread makes any of these calls and ends the hold, forever.
    Any {
        /// The calls to choose from.
        calls: Vec<Acquire>,
        /// Whether a thread also calls `release` without a hold of its own.
        releases_unheld: bool,
    },
    /// Each thread makes these calls once. Indexed by process, then by thread.
    Script(Vec<Vec<Vec<Call>>>),
}

/// One call of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// One of `lock`, `try_lock`, `acquire`, `try_acquire`.
    Acquire(Acquire),
    /// Ends the thread's guard if there is one; calls `release` otherwise.
    Release,
}

impl Default for Protocol {
    /// Returns two processes of one thread each that lock and unlock forever, without faults.
    fn default() -> Self {
        Self {
            processes: 2,
            threads: 1,
            client: Client::Any { calls: vec![Acquire::default()], releases_unheld: false },
            downgrades: false,
            max_idle: 1,
            drops_handles: false,
            barging: true,
            crashes: 0,
            renames: 0,
            refusals: 0,
            track: None,
            refinement: true,
            symmetry: true,
            bug: None,
        }
    }
}

impl Protocol {
    /// Returns the initial state: every thread is idle, there is no file and no handle.
    pub(crate) fn initial_state(&self) -> State {
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
        state.processes[0].threads[0].ghost.tracked = self.track.is_some();
        state
    }

    /// Returns every possible step, with the state after it.
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
