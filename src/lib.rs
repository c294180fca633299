//! An inter-process lock named by a file.
//!
//! Every program that uses the same path shares one lock, and the operating system frees it when its holder
//! dies. A port of Python's locket 1.0.0, with which it interoperates.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("my_app.lock");
//! use std::time::Duration;
//!
//! use locket::Lock;
//!
//! let lock = Lock::new(&path);
//! // Wait for the lock.
//! {
//!     let _held = lock.lock()?;
//!     // Critical section.
//! }
//!
//! // Give up after thirty seconds.
//! let held = lock.try_lock_for(Duration::from_secs(30))?;
//! held.release()?;
//!
//! // Without a guard: any thread may release, through any handle of the path.
//! lock.acquire()?;
//! lock.release()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is guaranteed
//!
//! | | |
//! |---|---|
//! | L1 exclusion | One exclusive hold, or any number of shared ones, per file: over all threads, handles and processes, whatever the spelling of the path |
//! | L2 try | A free lock is acquired, a held one is reported at once |
//! | L3 deadline | A timeout is one monotonic deadline over the whole call. It is never early; the last attempt is made at or after it |
//! | L4 waiting | On Linux a waiter sleeps in the kernel's queue for the lock, timed or not |
//! | L5 release once | Of many releases of one hold exactly one succeeds. A guard's hold is ended by that guard alone |
//! | L6 released-error | Releasing what is not held is an error, and the lock stays usable |
//! | L7 crash | A process killed at any instruction leaves the lock free and the file as it was |
//! | L8 contents | The lock file is created if missing, and never written, truncated, changed or deleted, nor opened for writing without need |
//! | L9 identity | A hold is on the file that the path names when it is granted; [`Guard::is_current`] tells whether it still does |
//! | L10 path | The path is resolved against the current directory when the handle is made. What the system can open by the path as given can be locked |
//! | L11 fork, exec | Descriptors are close-on-exec; a forked child holds nothing, unless a guard was passed to it (`Guard::inherit_on_fork`), and cannot release what its parent holds |
//! | L12 honest errors | Contention is only what the system calls contention; a signal is never an error and never extends a deadline |
//! | L13 nothing left | Every outcome leaves descriptors, threads, timers and signal masks as they were, but for one descriptor for each hold, and idle ones: one for a path, 32 for a process, none on network file systems and FUSE; see [`Lock::keep_open`]. An observer that has not returned keeps its thread until it does |
//! | L14 interop | Linux: `flock(2)` on the whole file. Windows: `LockFileEx` on all offsets. Both exclude locket.py |
//!
//! # What is not guaranteed
//!
//! - The lock is *advisory*: it excludes programs that ask for it. On Windows it is mandatory for the
//!   contents of the file: while it is held, no other process can read or write them, nor can the holder
//!   through another descriptor.
//! - *Network file systems* are as good as their servers and mount options: with `NFSv3` `nolock`,
//!   SMB `nobrl`, sshfs, or one directory mounted twice through some FUSE file systems, two
//!   holders are possible, and this side cannot tell (`docs/file-systems.md`).
//! - *Fairness* is eventual, on Unix, and without a guaranteed bound. Linux wakes waiters in the order
//!   in which they came, but a process that releases and locks again at once may be faster than the
//!   waiter that wakes up. So such a process yields: it sleeps for 100 µs after a burst of 4 to 32 ms. Programs that use
//!   plain `flock` do not yield. Readers whose holds overlap keep a writer out. Figures are in `docs/fairness.md`.
//! - It has a *downgrade* ([`Guard::downgrade`]) and no upgrade: a refused upgrade loses the shared lock.
//! - It is *not reentrant*: a thread that acquires twice waits for itself. Where that wait could never end, since it has no
//!   timeout and no observer, and the process has no other thread (Linux), it is an error at once
//!   ([`ErrorKind::Deadlock`]).
//! - It protects against *replaced* lock files, not against a replacement while the
//!   lock is held: do not delete lock files that other processes may be using.
//!
//! # States
//!
//! ```text
//!             acquire ok                 release ok
//!  Unlocked ───────────────▶ Held ──────────────────▶ Unlocked
//!     │                       │ release: the system refuses
//!     │ release               ▼
//!     └──────────────▶ ReleasedError ── release ──▶ ReleasedError
//!                             └─ acquire ok ──▶ Held
//! ```
//!
//! # Signals and forks
//!
//! On Linux a contended wait with a timeout or an observer uses one real-time signal, the highest with the default
//! disposition: only a signal interrupts `flock(2)`. Its handler does nothing. It is sent to the waiting thread at the
//! deadline, and is let through while the thread waits, whatever the thread's mask. [`Lock::use_signals`] does without. A program that
//! handles signals itself reads `docs/signals.md`.
//!
//! A forked child starts with every lock unlocked, and its inherited handles work. Its copies of the parent's locked
//! descriptors are closed when it is born (`pthread_atfork(3)`), so the parent's death frees what the parent holds. The limits
//! (raw `clone`, forks without a pause beside threads that lock) are in `docs/fork.md`.

// The files, from the bottom up. `ARCHITECTURE.md` has the layers and the laws.
//
//   sync, weak_map          what loom replaces; a map of weak references
//   fork_count              which descriptors a fork may have copied
//   options                 plain data: the mode, and what a handle asks of each acquisition
//   report/lock_status      plain data: holders and waiters
//   error, deadline         LockError, its kind and action; one instant for a whole call
//   os/platform             the platform interface: what the lock needs of an operating system
//   os/...                  the platforms
//   report/...              diagnostics: holders, hints
//   fairness, observer      when to yield to waiters; the function that is called during a wait
//   idle, ledger, registry  files kept open for reuse; the holds of one path, and of all
//   acquire, release        the two operations
//   process                 this process in a line of forks
//   guard, lock, fd, unix   the public API
//
// Imports: `super::` in the files that the loom tests compile a second time with seeded bugs (fork_count, idle,
// ledger, registry, acquire, release), where `crate::` would name the unchanged ones; `crate::` in all others.

// No panics: every failure is an error that names the path.
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod acquire;
mod deadline;
mod error;
mod fairness;
#[cfg(unix)]
mod fd;
#[cfg(unix)]
mod fork_count;
mod guard;
mod idle;
mod ledger;
mod lock;
mod observer;
mod options;
mod os;
mod process;
mod registry;
mod release;
mod report;
mod sync;
#[cfg(unix)]
pub mod unix;
mod weak_map;

use std::path::Path;

pub use error::{Action, ErrorKind, LockError};
#[cfg(unix)]
pub use fd::{FdGuard, FdLock, lock_fd};
pub use guard::Guard;
pub use ledger::State;
pub use lock::Lock;
pub use observer::WaitInfo;
pub use options::Mode;
#[cfg(all(fuzzing, target_os = "linux"))]
#[doc(hidden)]
pub use report::linux::fuzzing;
pub use report::lock_status::{Coverage, LockStatus, Owner, OwnerKind, Process};
pub use report::system_lock::SystemLock;
pub use report::system_locks;

/// Creates a handle to the lock of the file at `path`: the reference's name for [`Lock::new`].
///
/// The handle holds nothing, and the guard that [`Lock::lock`] returns must be bound to a name:
///
/// ```no_run
/// let lock = locket::lock_file("my_app.lock"); // Nothing is locked.
/// let _ = lock.lock()?; // Trap: the guard is dropped at once, and the lock released.
/// let _held = lock.lock()?; // Held until the end of the scope.
/// # Ok::<(), locket::LockError>(())
/// ```
#[must_use = "a handle holds no lock: call `lock` or `acquire`"]
pub fn lock_file(path: impl AsRef<Path>) -> Lock {
    Lock::new(path)
}
