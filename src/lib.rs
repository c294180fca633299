//! An inter-process lock named by a file.
//!
//! Every program that uses the same path shares one lock, and the system frees it when its holder
//! dies. A port of Python's locket 1.0.0, with which it interoperates.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("my_app.lock");
//! use std::time::Duration;
//!
//! // Wait for the lock.
//! {
//!     let _held = locket::lock_file(&path).lock()?;
//!     // Critical section.
//! }
//!
//! // Give up after thirty seconds.
//! let held = locket::lock_file(&path).timeout(Duration::from_secs(30)).lock()?;
//! held.release()?;
//!
//! // Without a guard: any thread may release, through any handle of the path.
//! let lock = locket::lock_file(&path);
//! lock.acquire()?;
//! lock.release()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is promised
//!
//! | | |
//! |---|---|
//! | L1 exclusion | One exclusive hold, or any number of shared ones, per file: over all threads, handles and processes, whatever the spelling of the path |
//! | L2 try | A free lock is taken, a held one is reported at once |
//! | L3 deadline | A timeout is one monotonic deadline over the whole call. Never early; the last attempt is made at or after it |
//! | L4 waiting | On Linux a waiter sleeps in the kernel's queue for the lock, timed or not |
//! | L5 release once | Of many releases of one hold exactly one succeeds. A guard's hold is ended by that guard alone |
//! | L6 released-error | Releasing what is not held is an error, and the lock stays usable |
//! | L7 crash | A process killed at any instruction leaves the lock free and the file as it was |
//! | L8 contents | The lock file is created if missing, and never written, truncated, changed or deleted, nor opened for writing without need |
//! | L9 identity | A hold is on the file that the path names when it is granted; [`Guard::is_current`] tells whether it still does |
//! | L10 path | The path is resolved against the current directory when the handle is made. What the system can open by the path as given can be locked |
//! | L11 fork, exec | Descriptors are close-on-exec; a forked child holds nothing, unless a guard was kept for it (`Guard::keep_on_fork`), and cannot release what its parent holds |
//! | L12 honest errors | Contention is only what the system calls contention; a signal is never an error and never extends a deadline |
//! | L13 nothing left | Every outcome leaves descriptors, threads, timers and signal masks as they were, but for one descriptor for each hold, and idle ones: one for a path, 32 for a process, none on network file systems and FUSE; see [`Lock::keep_open`]. An observer that has not returned keeps its thread until it does |
//! | L14 interop | Linux: `flock(2)` on the whole file. Windows: `LockFileEx` on all offsets. Both exclude locket.py |
//!
//! # What is not
//!
//! - The lock is *advisory*: it excludes those who ask for it. On Windows it is mandatory for the
//!   contents of the file: while it is held, nobody else can read or write them, nor can the holder
//!   through another descriptor.
//! - *Network file systems* are as good as their servers and mount options: with `NFSv3` `nolock`,
//!   CIFS `nobrl`, sshfs, or one directory mounted twice through some FUSE file systems, two
//!   holders are possible, and nothing on this side can tell.
//! - *Fairness* is eventual, on Unix, and without a bound that is certain. Linux wakes waiters in the order
//!   in which they came, but a process that releases and locks again at once may be faster than the
//!   waiter that wakes up. So a process that locks again right after a release yields (it sleeps for
//!   100 µs) if it has gone on like that for 4 ms, or has waited and then held the lock for half a
//!   millisecond. The more often the lock is free after that, the longer is the next burst, up to 32 ms. As a
//!   rule a waiter gets in at the next yield; on a busy machine it may wake up too late, more than once.
//!   Measured with one process that re-locks at once, 200 waits each, 2 cores: median 0.4 ms with holds of
//!   10 µs and 11 ms with holds of 1 ms, p99 32 ms, worst 59 ms; beside two busy loops median 1.8 and
//!   1.4 ms, worst 33 ms. On a machine that was busier the worst was 148 ms. An acquisition that has half a
//!   millisecond or less left does not yield. All this is remembered by path, for the 64 paths that the process released last, whether it keeps a
//!   handle or not. Programs that use plain `flock` do not yield.
//! - *Readers* whose holds overlap keep a writer out: the kernel grants a shared lock beside shared ones even
//!   while a writer waits. Of 200 writers beside two processes that re-lock as shared at once, with holds
//!   of 1 ms, each got in: median 57 ms, p99 1 s. Beside eight such processes none of 10 did within 5 s.
//! - It has a *downgrade* ([`Guard::downgrade`]) and no upgrade: a refused upgrade loses the shared lock.
//! - It is *not reentrant*: acquiring twice in one thread waits for oneself. Where that wait could never end, since it has no timeout
//!   and no observer, and the process has no other thread (Linux), it is an error at once, of the kind [`ErrorKind::Deadlock`].
//! - It protects against *replaced* lock files, not against people who replace them while the
//!   lock is held: do not delete lock files that others may be using.
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
//! # For host programs: one signal
//!
//! On Linux `flock` can be interrupted by nothing but a signal. A wait with a timeout therefore
//! arms a timer of the kernel's (`timer_create`, `CLOCK_MONOTONIC`), which at the deadline, and only
//! then, sends a real-time signal to the one thread that waits. What you may want to know of it:
//!
//! - Which: the first from `SIGRTMAX` downwards that has the default disposition at the first timed
//!   wait that meets contention. A signal that somebody handles or ignores is never taken, and one
//!   that the thread blocks only if it blocks them all.
//! - Its handler does nothing, and is installed without `SA_RESTART`. If the program takes the
//!   signal away later, or resets it, the next timed wait notices and finds another, or puts it
//!   back.
//! - The thread may block all signals: this one is let through while the thread waits, and the mask
//!   is restored. Nothing of it is left pending for a `sigwait` or signalfd.
//! - A signal that is in use without a disposition, blocked and read with `sigwait` or a signalfd,
//!   is taken only if the waiting thread blocks all of them. If yours does, give the signals that
//!   it reads a handler, or use [`Lock::without_signals`].
//! - Leave its action alone *while* a thread waits: reset to its default it ends the process, and
//!   ignored or restarting it does not end the wait.
//! - If there is no signal or no timer left (`RLIMIT_SIGPENDING`), a timed wait retries every
//!   [`Lock::retry_period`], as it does on other systems.
//!
//! - An observer ([`Lock::on_wait`]) is called on a thread of its own while the wait lasts; it inherits the signal mask of
//!   the waiting thread. A wait that is observed has a timer even without a timeout; its signal is sent when the observer
//!   puts an end to the wait.
//!
//! # fork
//!
//! A forked child starts with every lock unlocked. The handles that it inherited are as good as its own. Its copies of
//! the parent's locked descriptors are closed when it is born, by a handler of `pthread_atfork(3)`, so the parent's death
//! frees what the parent holds although the child lives. `Guard::keep_on_fork` carries a hold to the children, which a program
//! needs that locks and then becomes a daemon (`daemon(3)`).
//!
//! - A child that executes a program at once (`posix_spawn(3)`, `std::process::Command`) closes its copies by that (`FD_CLOEXEC`).
//! - A child that is born in the moment in which another thread opens the lock file may have a copy that it does not know of. The parent
//!   then opens the file again, unless it forks without a pause (eight times in a row). In a process with eight threads that
//!   lock and eight that fork, one of 1,800 children had such a copy.
//! - A child of the system call `clone`, and of `_Fork`, which call no handlers, holds nothing either: on Linux it finds out at its
//!   first call of this library, and ends none of the parent's holds (a page with `MADV_WIPEONFORK`, madvise(2), Linux 4.14). Its
//!   copies stay open until it drops the guards, ends or executes a program, and until then a lock that its parent's *death*
//!   should free is held.
//! - On other systems a handler of the program that was registered before this library's first use runs before its handler, and
//!   must not lock.
//! - A child that shares memory or descriptors with its parent (`vfork`, `CLONE_VM`, `CLONE_FILES`) is not supported: until it executes
//!   a program it must not call this library.
//!
//! # Questions
//!
//! **May I delete the lock file?** Better not: it is empty, and the next user needs it. If it is
//! deleted all the same, waiters notice and move on to the new one (L9).
//!
//! **Why not lock the data file itself?** Contents are never touched, so on Unix you may. But
//! programs that replace their data by renaming a new file over it replace the lock as well, and on
//! Windows the contents are out of reach while the lock is held. Use a file beside it.
//!
//! **May a script lock itself?** On Unix, yes: the file is opened for reading alone (`O_RDONLY`), so it
//! stays executable. It is opened for writing only if it may not be read (mode 0200), and for both if
//! the system answers `EBADF` or `EIO` to the lock, as NFS and CIFS do.
//!
//! **Where should it be?** On a local file system, where every user of the lock may open the file:
//! reading is enough, except on NFS.

// No panics: whatever goes wrong is an error that names the path.
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod acquire;
mod courtesy;
mod deadline;
mod diagnosis;
mod error;
#[cfg(unix)]
mod fd;
#[cfg(unix)]
mod fork_count;
mod guard;
mod holders;
mod idle;
mod in_use;
mod kind;
mod ledger;
mod lock;
mod observer;
mod options;
mod os;
mod process;
mod registry;
mod release;
mod sync;
mod weak_map;

use std::path::Path;

pub use error::{Action, LockError};
#[cfg(unix)]
pub use fd::{FdGuard, FdLock, lock_fd};
pub use guard::Guard;
pub use holders::{Claim, Claimant, Coverage, Holders, Process};
pub use in_use::{LockInUse, locks_in_use};
pub use kind::ErrorKind;
pub use ledger::State;
pub use lock::Lock;
pub use observer::Wait;
pub use options::Mode;

/// Names the lock of the file at `path`. Opens no file.
///
/// The path is made absolute here (L10): a later change of the current directory changes nothing.
/// A path that no file can have is an error of the first acquisition.
///
/// Where the absolute path of a relative one does not lead back to the current directory, the handle
/// keeps that directory open (Unix; `O_PATH` on Linux): a directory on the way may be closed to this user,
/// the whole may be longer than a path may be, or the directory was renamed, deleted or mounted over.
/// That keeps its mount from being unmounted, until the last handle and guard of the path are dropped.
///
/// ```
/// let lock = locket::lock_file("my_app.lock");
/// assert!(lock.path().is_absolute());
/// assert_eq!(lock.state(), locket::State::Unlocked);
/// ```
pub fn lock_file(path: impl AsRef<Path>) -> Lock {
    Lock::new(path.as_ref())
}
