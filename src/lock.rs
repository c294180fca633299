use std::fmt;
use std::ops::ControlFlow;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::acquire::acquire;
use crate::error::LockError;
use crate::guard::Guard;
use crate::ledger::{Ledger, State};
use crate::observer::{Observer, WaitInfo};
use crate::options::{AfterUse, Mode, Options};
use crate::os::platform::PlatformPath;
use crate::process::LedgerRef;
use crate::release::release_unguarded;
use crate::report::lock_status::{LockStatus, Query};
use crate::report::{self, to_lock_error};

/// A handle to the lock of one path.
///
/// All handles of one absolute path in a process share one state; each carries options of its own
/// to its acquisitions. Handles are cheap to clone, and threads may share them.
///
/// A handle holds nothing: [`lock`](Self::lock) returns a guard, and `let _ = lock.lock()?` drops that guard at once.
/// Bind it to a name: `let _held = lock.lock()?`.
///
/// The lock is not reentrant: a thread that waits for a lock that it holds exclusively waits until its timeout, or
/// forever. An unlimited wait without an observer, in a process with no other thread
/// (Linux), fails at once with [`ErrorKind::Deadlock`](crate::ErrorKind::Deadlock).
#[derive(Clone)]
pub struct Lock {
    ledger: LedgerRef,
    options: Options,
    observer: Observer,
}

// Shared state changes by single atomic steps, and a panic of the observer is caught and resumed in the waiter.
impl UnwindSafe for Lock {}
impl RefUnwindSafe for Lock {}

/// Options. Each returns a handle with the option set, and concerns the acquisitions made through that handle.
impl Lock {
    /// Creates a handle to the lock of the file at `path`; the same as [`lock_file`](crate::lock_file). Opens no file.
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
    /// let lock = locket::Lock::new("my_app.lock");
    /// assert!(lock.path().is_absolute());
    /// assert_eq!(lock.state(), locket::State::Unlocked);
    /// ```
    #[must_use = "a handle holds no lock: call `lock` or `acquire`"]
    pub fn new(path: impl AsRef<Path>) -> Self {
        let ledger = LedgerRef::new(path.as_ref());
        Self { ledger, options: Options::DEFAULT, observer: Observer::NONE }
    }

    /// Sets how long an acquisition may wait: `None` (the default) without a limit, zero for one
    /// attempt. A timeout too long for the clock is no timeout.
    ///
    /// It is one deadline on the monotonic clock over everything an acquisition does (L3). An acquisition never fails
    /// early: [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) is the answer to an attempt at or after the deadline.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// use std::time::Duration;
    /// let lock = locket::Lock::new(&path);
    /// let _held = lock.lock()?;
    /// let error = lock.clone().timeout(Duration::from_millis(10)).lock().unwrap_err();
    /// assert_eq!(error.kind(), locket::ErrorKind::TimedOut);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self { options: Options { timeout: timeout.into(), ..self.options }, ..self }
    }

    /// Sets the pause between attempts where the system cannot wake a timed waiter; 50 ms by default,
    /// as in the reference. Zero retries without a pause. The last pause ends at the deadline.
    ///
    /// On Windows the first pauses are shorter. On Linux it has an effect only without signals
    /// ([`use_signals`](Self::use_signals)), in processes that have no signal or timer to spare, and on SMB and FUSE.
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn retry_period(self, retry_period: Duration) -> Self {
        Self { options: Options { retry_period, ..self.options }, ..self }
    }

    /// Makes acquisitions shared: beside any number of other shared holds, but not beside an exclusive
    /// one. The kernel decides which waiter is next; a stream of readers may keep a writer waiting.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// let readers = locket::Lock::new(&path).shared();
    /// let (_one, _two) = (readers.lock()?, readers.lock()?);
    /// assert_eq!(readers.state(), locket::State::HeldShared(2));
    /// assert!(locket::Lock::new(&path).try_lock().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn shared(self) -> Self {
        Self { options: Options { mode: Mode::Shared, ..self.options }, ..self }
    }

    /// Sets whether the last component of the path may be a symbolic link; it may by default, as in the
    /// reference. With `false` such a path is refused (`O_NOFOLLOW`; `ELOOP` on Unix). Use that where other users may
    /// write to the directory.
    ///
    /// On Unix a dangling link is followed to create the file only if the rule of
    /// `fs.protected_symlinks` (`proc_sys_fs(5)`) allows it, whether that is on or off: a link in a sticky directory
    /// where every user may create files must belong to the caller or to the owner
    /// of the directory. The refusal is `EACCES`.
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn follow_links(self, follow_links: bool) -> Self {
        Self { options: Options { follow_links, ..self.options }, ..self }
    }

    /// Sets whether an acquisition creates a missing lock file; it does by default. With `false` a missing file is an error
    /// whose [`io_error`](LockError::io_error) is [`NotFound`](std::io::ErrorKind::NotFound). A program that asks whether
    /// the lock of a file is free leaves no file behind by that.
    ///
    /// A wait ends with that error if the file has been deleted (L9), which is noticed when the lock of the deleted file
    /// comes free, or at the deadline: the kernel does not tell a waiter that a file is deleted. (An observer that looks at
    /// the path may cancel the wait earlier, as that of `locket wait` does every second.)
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// let error = std::io::Error::from(locket::Lock::new(&path).create(false).lock().unwrap_err());
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// assert!(!path.exists());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn create(self, create: bool) -> Self {
        Self { options: Options { create, ..self.options }, ..self }
    }

    /// Sets whether the file may be kept open for the next acquisition when a hold of this handle has ended
    /// or a wait was in vain; it may by default. A kept file saves the next acquisition an `open`.
    ///
    /// Kept files are not locked. There is at most one for a path, and 32 for a process: the
    /// least recently used one is closed for the next. All are closed when the process
    /// has no descriptors left (`EMFILE`, `ENFILE`), and a path's with its last handle. None is kept on
    /// network file systems and FUSE. If the host program closes a descriptor that it does not own (by
    /// `closefrom`, for instance), that is noticed, and whatever has its number now is left alone.
    ///
    /// With `false` the file is closed with the hold: for lock files whose directory must be
    /// removed on Windows, or whose file system must be unmounted, while the handle lives on.
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn keep_open(self, keep_open: bool) -> Self {
        let after_use = if keep_open { AfterUse::KeepOpen } else { AfterUse::Close };
        Self { options: Options { after_use, ..self.options }, ..self }
    }

    /// Sets whether a timed wait may be ended by a signal (Linux); it may by default. With `false` it polls every
    /// [`retry_period`](Self::retry_period), as on other systems. That is for programs in which
    /// no signal may ever be sent; it costs latency and fairness.
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn use_signals(self, use_signals: bool) -> Self {
        Self { options: Options { use_signals, ..self.options }, ..self }
    }

    /// Sets an observer: a function that is called when a wait begins and then every second
    /// ([`observe_every`](Self::observe_every)) for as long as the wait lasts. A lock that is free is
    /// acquired without a call.
    ///
    /// The observer may cancel the wait with [`ControlFlow::Break`]: the acquisition fails with
    /// [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled). If it panics while the wait lasts, so does the acquisition,
    /// without a hold. A grant counts: what an observer returns after it has no effect, and a later panic
    /// is seen on the observer's thread alone.
    ///
    /// Each wait calls its observer on a thread of its own, and does not depend on it: the lock is granted and the deadline
    /// is kept whatever the observer is doing. So a call may still be running when the acquisition has returned, or when the
    /// next wait of the handle begins, which has a thread of its own. The thread ends when the observer returns; until then
    /// it keeps what the observer has captured, and an observer that never returns keeps its thread forever. If the
    /// system has no thread to spare, the observer is not called until there is one, and the wait polls every
    /// [`retry_period`](Self::retry_period) meanwhile. In the child of an observer that forks, the thread ends when the
    /// observer returns, and the child with it.
    ///
    /// A waiter keeps its place in the kernel's queue where it has one (Linux). On other systems, and without signals
    /// ([`use_signals`](Self::use_signals)), an observed wait polls every `retry_period` even without a
    /// timeout.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// use std::ops::ControlFlow;
    /// let impatient = locket::Lock::new(&path).on_wait(|wait| {
    ///     eprintln!("waiting for {}", wait.path().display());
    ///     ControlFlow::Break(())
    /// });
    /// let _held = locket::Lock::new(&path).lock()?;
    /// assert_eq!(impatient.lock().unwrap_err().kind(), locket::ErrorKind::Cancelled);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn on_wait(
        self,
        observer: impl Fn(&WaitInfo) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        Self { observer: self.observer.with(observer), ..self }
    }

    /// Sets how often the observer of [`on_wait`](Self::on_wait) is called; every second by default.
    #[must_use = "returns a new handle; the original is unchanged"]
    pub fn observe_every(self, observe_every: Duration) -> Self {
        Self { observer: self.observer.every(observe_every), ..self }
    }

    /// For `unix::LockExt`.
    #[cfg(unix)]
    pub(crate) fn with_create_mode(self, create_mode: u32) -> Self {
        Self { options: Options { create_mode, ..self.options }, ..self }
    }
}

/// Acquiring and releasing.
impl Lock {
    /// Waits for the lock, for at most the timeout, and returns the guard that holds it.
    ///
    /// A free lock is acquired at once, unless it is this process's turn to
    /// [yield](crate#what-is-not-guaranteed). A waiter sleeps in the kernel (`flock`, `LockFileEx`); with a timeout
    /// or an observer it polls every [`retry_period`](Self::retry_period) where no system call
    /// would wake it, which is everywhere but on Linux. The hold is on the file that the path names at
    /// that moment: if it was replaced meanwhile, the wait goes on for the new one (L9).
    ///
    /// # Errors
    ///
    /// [`TimedOut`](crate::ErrorKind::TimedOut) if the lock was held elsewhere at the deadline
    /// ([`WouldBlock`](crate::ErrorKind::WouldBlock) with a timeout of zero),
    /// [`Cancelled`](crate::ErrorKind::Cancelled) if the observer cancelled the wait, another kind if the system
    /// refuses to open, create or lock the file. Nothing is left behind, and the state of the lock is
    /// as it was.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// let lock = locket::Lock::new(&path);
    /// let held = lock.lock()?;
    /// // Critical section.
    /// held.release()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lock(&self) -> Result<Guard, LockError> {
        self.guard(&self.options, &self.observer)
    }

    /// Acquires the lock if it is free: one attempt, no sleep (L2). The same as [`lock`](Self::lock) with a timeout of zero.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](crate::ErrorKind::WouldBlock) if the lock is held elsewhere; otherwise as [`lock`](Self::lock).
    pub fn try_lock(&self) -> Result<Guard, LockError> {
        self.guard(&self.options.one_attempt(), &Observer::NONE)
    }

    /// Waits for the lock, for at most this long. The same as [`timeout`](Self::timeout) and [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock_for(&self, timeout: Duration) -> Result<Guard, LockError> {
        self.guard(&Options { timeout: Some(timeout), ..self.options }, &self.observer)
    }

    /// Waits for the lock, at most until this instant. With one that has passed it makes one attempt.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn try_lock_until(&self, deadline: Instant) -> Result<Guard, LockError> {
        self.try_lock_for(deadline.saturating_duration_since(Instant::now()))
    }

    /// Waits for a shared hold, for at most the timeout. The same as [`shared`](Self::shared) and [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_shared(&self) -> Result<Guard, LockError> {
        self.guard(&Options { mode: Mode::Shared, ..self.options }, &self.observer)
    }

    /// Acquires a shared hold if no exclusive one excludes it: one attempt, no sleep (L2).
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    pub fn try_lock_shared(&self) -> Result<Guard, LockError> {
        let options = Options { mode: Mode::Shared, ..self.options.one_attempt() };
        self.guard(&options, &Observer::NONE)
    }

    /// Waits for the lock, for at most the timeout, and holds it without a guard, until any thread
    /// calls [`release`](Self::release) through any handle of this path.
    ///
    /// The hold belongs to the process: it outlives every handle, and ends with a release or with
    /// the process.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// locket::Lock::new(&path).acquire()?;
    /// assert_eq!(locket::Lock::new(&path).state(), locket::State::HeldExclusive);
    /// locket::Lock::new(&path).release()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn acquire(&self) -> Result<(), LockError> {
        self.hold_unguarded(&self.options, &self.observer)
    }

    /// Acquires the lock without a guard if it is free: one attempt, no sleep (L2).
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    pub fn try_acquire(&self) -> Result<(), LockError> {
        self.hold_unguarded(&self.options.one_attempt(), &Observer::NONE)
    }

    /// Ends a hold of [`acquire`](Self::acquire), whichever thread and handle it came from; the
    /// oldest, if there are several shared ones. It never ends a guard's hold. Of many concurrent releases of
    /// one hold exactly one succeeds (L5).
    ///
    /// # Errors
    ///
    /// [`NotLocked`](crate::ErrorKind::NotLocked) if there is no such hold; the state is then
    /// [`State::ReleasedError`], unless a guard holds the lock, and the lock stays usable (L6).
    /// Another kind if the system refuses to unlock, or if the host program has closed the descriptor of the hold, which it
    /// does not own (Unix); the hold has ended nevertheless. The file that has the number of that descriptor now is left
    /// alone, unless a thread closes and opens it in that moment.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// let lock = locket::Lock::new(&path);
    /// let error = lock.release().unwrap_err();
    /// assert!(error.to_string().starts_with("cannot release unlocked lock"));
    /// assert_eq!(lock.state(), locket::State::ReleasedError);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn release(&self) -> Result<(), LockError> {
        release_unguarded(self.ledger.for_current_process().ledger())
    }

    /// Returns what this process knows of the lock. It tells nothing of other processes, and other threads
    /// may change it at any time.
    #[must_use]
    pub fn state(&self) -> State {
        self.ledger.for_current_process().ledger().state()
    }

    /// Returns the processes that hold the lock now and those that wait for it, this process included.
    ///
    /// The answer is for people to read: by the time they do, it may have changed. Takes no lock, disturbs none, and
    /// creates no file: the lock of a missing file has no holder.
    ///
    /// On Linux the kernel tells in `/proc/locks` which process *took* a lock, which costs it some
    /// milliseconds. That process may have exited since, or have closed a descriptor that others inherited:
    /// then the descriptors of all processes are searched, as far as this one
    /// may look into them. Where the numbers in `/proc/locks` are ambiguous (btrfs, some
    /// overlayfs) every holder is looked into, and one that may not be is [unknown](crate::OwnerKind::Unknown). Of a process
    /// that may not be looked into only the pid is told, of the one that [took](crate::OwnerKind::TakenBy) the lock. Nothing
    /// that is read for it can block on another process: command lines are not told.
    ///
    /// A container (PID namespace) is shown the locks of its own processes, and on network file systems, FUSE and overlays
    /// other hosts or mounts may hold the lock: [`LockStatus::coverage`] tells, and [`LockStatus::is_held`] is `None` where no
    /// holder was seen and one may be out of sight. On NFS the server is asked, for which the file is opened for reading
    /// (closing it releases what locks of `fcntl(2)` this process has on the file). On other systems this is
    /// always an error.
    ///
    /// # Errors
    ///
    /// The error of the system if it cannot be asked; the kind is
    /// [`Unsupported`](crate::ErrorKind::Unsupported) everywhere but on Linux.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// let lock = locket::Lock::new(&path);
    /// let _held = lock.lock()?;
    /// # #[cfg(target_os = "linux")]
    /// assert_eq!(lock.status()?.to_string(), format!("this process (pid {})", std::process::id()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn status(&self) -> Result<LockStatus, LockError> {
        let (ledger, path) = (self.ledger.for_current_process(), self.ledger.path());
        let follow_links = self.options.follow_links;
        let query = Query { follow_links, known_held: false, goes_on: &|| true };
        let answer = ledger.ledger().with_descriptors(|| report::query(path, &query));
        answer.map_err(|error| to_lock_error(path, error))
    }

    /// Returns the absolute path, as it was when the handle was made (L10); the path as given if the current
    /// directory had none.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.ledger.path().path()
    }

    fn guard(&self, options: &Options, observer: &Observer) -> Result<Guard, LockError> {
        let ledger = self.ledger.for_current_process().into_owned();
        let hold = acquire(ledger.ledger(), options, observer)?;
        ledger.ledger().add(&hold);
        Ok(Guard::new(ledger, hold, options.follow_links))
    }

    fn hold_unguarded(&self, options: &Options, observer: &Observer) -> Result<(), LockError> {
        let ledger = self.ledger.for_current_process();
        let hold = acquire(ledger.ledger(), options, observer)?;
        Ledger::add_unguarded(ledger.ledger(), hold);
        Ok(())
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ledger, options, observer } = self;
        f.debug_struct("Lock")
            .field("path", &ledger.path().path())
            .field("state", &self.state())
            .field("options", options)
            .field("observer", observer)
            .finish()
    }
}
