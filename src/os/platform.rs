//! The platform interface: what the lock needs of an operating system, and the precondition of each call.
//!
//! Each platform implements these traits, and the compiler checks that it does. The loom tests implement
//! them over a model kernel. Nothing outside `src/os` makes a system call for the lock or uses `unsafe`.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "other systems have no sleep that a waker ends, or no locks at all")
)]

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::time::Duration;

use crate::deadline::Deadline;
use crate::error::Action;
use crate::options::{Access, Mode, Options};

/// The system calls of the lock.
#[allow(unused_variables, reason = "the default bodies are for systems that have nothing to do")]
pub(crate) trait Platform {
    type LockPath: PlatformPath;
    type OpenFile: PlatformFile;

    /// Opens a file description without a lock, which is closed on `exec`.
    ///
    /// Legal at any time. Creates the file if there is none, unless the options forbid it, and does not change it
    /// otherwise (L8). Opens no FIFO and no device. While another process prevents the open (a lease, a sharing
    /// mode), it retries until the deadline, and starts the observer. Fails with `Interrupted` if a signal interrupts it.
    fn open(
        path: &Self::LockPath,
        options: &Options,
        deadline: &Deadline,
        access: Access,
        observed: Option<&mut dyn Observed>,
    ) -> Result<Opened<Self::OpenFile>, OsError>;

    /// Acquires the lock if it is free. Returns whether it did. Never sleeps.
    ///
    /// Legal on a file without a lock.
    fn try_lock(file: &Self::OpenFile, mode: Mode) -> Result<bool, OsError>;

    /// Sleeps until the lock is granted, until about the deadline, until the observer cancels, or until a
    /// spurious wake-up. The caller then reads the clock and tries again.
    ///
    /// Legal on a file without a lock, after `try_lock` returned false. The waiter keeps its place in the queue while
    /// the observer runs, where the system has a queue.
    fn wait(
        file: &Self::OpenFile,
        options: &Options,
        deadline: &Deadline,
        observed: Option<&mut dyn Observed>,
    ) -> Result<WaitOutcome, OsError>;

    /// Returns whether the path names this file. Legal at any time; the answer is reliable only while the file is locked.
    fn is_current(
        path: &Self::LockPath,
        file: &Self::OpenFile,
        follow_links: bool,
    ) -> Result<bool, OsError>;

    /// Releases the lock. Legal once, on a file with a lock. After an error the file must be closed, which releases it too.
    ///
    /// Fails, like `downgrade` and `inherit_on_exec`, if the host program has closed the descriptor.
    fn unlock(file: &Self::OpenFile) -> Result<(), OsError>;

    /// Converts an exclusive lock to a shared one. Returns whether the file is still locked: false only if
    /// the system granted the lock to another process in the gap. After an error the lock is exclusive as before.
    ///
    /// Legal on a file with an exclusive lock.
    fn downgrade(file: &Self::OpenFile) -> Result<bool, OsError>;

    /// Passes a copy of the descriptor to programs executed from now on. The copy is never closed here, so the lock
    /// outlives this file. Legal on a file with a lock.
    fn inherit_on_exec(file: &Self::OpenFile) -> Result<(), OsError>;

    /// Returns whether the call failed for lack of descriptors. Legal after an error.
    fn lacks_descriptors(error: &OsError) -> bool {
        false
    }

    /// Returns whether the lock would succeed on a file that is opened for writing as well. Legal after a failed lock.
    fn needs_write_access(error: &OsError) -> bool {
        false
    }

    /// Returns in which mode this process itself holds the lock by another file description, if that conflicts with
    /// `mode`; `None` where it is not known. Legal on a file without a lock.
    fn held_here(file: &Self::OpenFile, mode: Mode) -> Option<Mode> {
        None
    }

    /// Returns whether this process has a single thread; false where it is not known. Legal at any time.
    fn has_one_thread() -> bool {
        false
    }

    /// Returns the modes of the holds of this path that a forked child inherited. Legal at any time.
    fn inherited_holds(path: &Self::LockPath) -> impl Iterator<Item = Mode> {
        std::iter::empty()
    }

    /// Registers the handlers of `fork`. Legal at any time, before the first file is opened. Cheap when repeated.
    fn watch_forks() {}

    /// Returns how many forks lie between this process and the one that loaded the library. Legal at any time.
    #[inline]
    fn generation() -> u32 {
        0
    }

    /// Returns the microseconds of a monotonic clock, which may wrap. Legal at any time. A constant clock switches yielding
    /// off: the default, for systems that hand the lock to the first waiter themselves.
    #[inline]
    fn clock(clock: Clock) -> usize {
        0
    }

    /// Sleeps, so that a waiter can run. Legal at any time.
    fn yield_to_waiters(time: Duration) {}
}

/// The path of a lock, resolved when the handle is made (L10).
pub(crate) trait PlatformPath {
    /// Returns the absolute path for messages; the path as given if the current directory has no path.
    fn path(&self) -> &Path;

    /// Returns the key that identifies the lock in this process: paths with equal keys are one lock.
    fn key(&self) -> &OsStr;

    /// Returns whether the path could not be resolved for lack of a descriptor.
    fn lacks_descriptor(&self) -> bool {
        false
    }
}

/// An open lock file. Dropping it closes the descriptor if that is still its own, which ends its
/// lock unless another process has inherited it. Legal at any time, in any process.
pub(crate) trait PlatformFile {
    /// Returns whether a `fork` may have copied it since it was opened. A lock on it could then outlive this process.
    fn is_shared_by_fork(&self) -> bool {
        false
    }

    /// Returns whether its descriptor still belongs to it: the host program may have closed that number and opened
    /// another file by it.
    fn is_own(&self) -> bool {
        true
    }

    /// Returns whether it is passed to children of `fork` with its hold. Closing it ends such a hold.
    fn is_inherited_on_fork(&self) -> bool {
        false
    }

    /// Returns whether it may be kept open without a lock.
    fn may_be_idle(&self) -> bool {
        true
    }
}

/// The waiter's side of an observed wait ([`Lock::on_wait`](crate::Lock::on_wait)), as a platform uses it.
pub(crate) trait Observed {
    /// Starts the observer's thread if it does not run yet. Returns whether it runs: the system may have no thread to spare.
    fn start(&mut self) -> bool;

    /// Calls `sleep`, from which `waker` wakes the thread when the observer cancels. Returns false without calling
    /// `sleep` if the observer has cancelled already.
    fn sleep_with_waker(&mut self, waker: Waker, sleep: &mut dyn FnMut()) -> bool;

    /// Sleeps for the period, or until the observer cancels.
    fn pause(&mut self, period: Duration);

    /// Returns how long the wait lasted, if the observer has cancelled it. Resumes a panic of the observer.
    fn cancelled(&mut self) -> Option<Duration>;
}

/// Reborrows an optional reference, which is not `Copy`, for one call.
pub(crate) fn reborrow<'a>(
    observed: &'a mut Option<&mut dyn Observed>,
) -> Option<&'a mut (dyn Observed + 'a)> {
    match observed {
        Some(observed) => Some(&mut **observed),
        None => None,
    }
}

/// Wakes a thread that sleeps in the kernel.
pub(crate) type Waker = Box<dyn Fn() + Send>;

/// What an attempt to open the lock file came to.
#[derive(Debug)]
pub(crate) enum Opened<T> {
    File(T),
    /// The observer cancelled the wait for it, after this long.
    Cancelled(Duration),
}

/// What a sleep in the queue came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitOutcome {
    /// The lock was granted.
    Granted,
    /// The deadline may have passed, or the wake-up was spurious: read the clock and try again.
    Woken,
    /// The observer cancelled the wait, after this long.
    Cancelled(Duration),
}

/// Which clock to read: the exact one, or the same clock at the last tick of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    Exact,
    /// Up to some milliseconds late, and much cheaper.
    Coarse,
}

/// An error of the system, without a path.
#[derive(Debug)]
pub(crate) struct OsError {
    pub(crate) action: Action,
    /// The file system grants exclusive locks only to files that are open for writing, and this one is not.
    #[cfg_attr(not(unix), allow(dead_code, reason = "only NFS is such a file system"))]
    pub(crate) lacks_write_access: bool,
    pub(crate) source: io::Error,
    /// The reason, where the library knows more than the error number says.
    pub(crate) reason: Option<&'static str>,
}

impl Action {
    pub(crate) fn failed(self, source: impl Into<io::Error>) -> OsError {
        OsError { action: self, lacks_write_access: false, source: source.into(), reason: None }
    }
}

#[cfg_attr(not(unix), allow(dead_code, reason = "only there more is known than the system says"))]
impl OsError {
    /// Adds the reason, which the error shows as its hint.
    pub(crate) fn because(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }
}

/// Repeats a system call that a signal interrupts (`EINTR`, L12). Past the deadline a stream of signals
/// ends it with an error.
pub(crate) fn retry_on_intr<T>(
    deadline: &Deadline,
    mut call: impl FnMut() -> Result<T, OsError>,
) -> Result<T, OsError> {
    let mut retries = 0;
    loop {
        match call() {
            Err(error) if error.source.kind() == io::ErrorKind::Interrupted => {
                if !deadline.may_retry(&mut retries) {
                    let text = "signals interrupted every attempt until the deadline";
                    let source = io::Error::new(io::ErrorKind::TimedOut, text);
                    return Err(error.action.failed(source));
                }
            }
            answer => return answer,
        }
    }
}
