use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use super::acquire::acquire;
use super::diagnosis::refused;
use super::error::LockError;
use super::guard::Guard;
use super::holders::Holders;
use super::ledger::{Ledger, State};
use super::observer::{Observer, Wait};
use super::options::{AfterUse, Mode, Options};
use super::os;
use super::process::LedgerRef;
use super::release::release_kept;

/// A handle to the lock of one path.
///
/// All handles of one absolute path in a process share one state; each carries options of its own
/// to its acquisitions. Handles are cheap to clone, and threads may share them. Made by
/// [`lock_file`](crate::lock_file).
///
/// The lock is not reentrant: a thread that waits for a lock that it holds exclusively waits until its timeout, or
/// forever. A wait that could never end, without a timeout or an observer, in a process with no other thread
/// (Linux), is [`LockError::Io`] at once, of the kind [`ErrorKind::Deadlock`](crate::ErrorKind::Deadlock).
#[derive(Clone)]
pub struct Lock {
    ledger: LedgerRef,
    options: Options,
}

/// Options: each gives a handle back, and concerns the acquisitions made through that handle.
impl Lock {
    pub(crate) fn new(path: &Path) -> Self {
        Self { ledger: LedgerRef::of(path), options: Options::DEFAULT }
    }

    /// How long an acquisition may take: `None` (the default) as long as it needs, zero one
    /// attempt. A timeout too long for the clock is no timeout.
    ///
    /// It is one deadline on the monotonic clock over everything an acquisition does (L3).
    /// Never early: [`LockError::TimedOut`] comes from an attempt at or after the deadline.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// use std::time::Duration;
    /// let patient = locket::lock_file(&path);
    /// let hasty = patient.clone().timeout(Duration::from_millis(10));
    /// let _held = patient.lock()?;
    /// assert!(matches!(hasty.lock(), Err(locket::LockError::TimedOut { .. })));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "an option is of the handle that it returns"]
    pub fn timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self { options: Options { timeout: timeout.into(), ..self.options }, ..self }
    }

    /// The pause between attempts where the system cannot wake a timed waiter; 50 ms by default,
    /// as in the reference. Zero retries without a pause. The last pause ends at the deadline.
    ///
    /// On Windows the first pauses are shorter. On Linux nobody needs it, except handles [`without_signals`](Self::without_signals) and
    /// processes that have no signal or timer to spare (see the crate's documentation).
    #[must_use = "an option is of the handle that it returns"]
    pub fn retry_period(self, retry_period: Duration) -> Self {
        Self { options: Options { retry_period, ..self.options }, ..self }
    }

    /// Acquires for reading: beside any number of other shared holds, but not beside an exclusive
    /// one. The kernel decides who is next; a stream of readers may keep a writer waiting.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// let readers = locket::lock_file(&path).shared();
    /// let (_one, _two) = (readers.lock()?, readers.lock()?);
    /// assert_eq!(readers.state(), locket::State::HeldShared(2));
    /// assert!(locket::lock_file(&path).try_lock().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "an option is of the handle that it returns"]
    pub fn shared(self) -> Self {
        Self { options: Options { mode: Mode::Shared, ..self.options }, ..self }
    }

    /// Refuses a path whose last component is a symbolic link (`O_NOFOLLOW`) with
    /// [`LockError::Io`], whose source is `ELOOP` on Unix. By default links are followed, as in the
    /// reference. Wise where others may write to the directory.
    ///
    /// On Unix a dangling link is followed to create the file only if the rule of
    /// `fs.protected_symlinks` (`proc_sys_fs(5)`) allows it, whether that is on or off: a link that stands
    /// in a sticky directory where every user may make files must belong to the caller or to the owner
    /// of the directory. The refusal is `EACCES`.
    #[must_use = "an option is of the handle that it returns"]
    pub fn no_follow(self) -> Self {
        Self { options: Options { follow_links: false, ..self.options }, ..self }
    }

    /// Creates no lock file. Where there is none, an acquisition is a [`LockError::Io`] whose source
    /// is of the kind [`NotFound`](std::io::ErrorKind::NotFound). A wait ends with it if the file has been
    /// deleted (L9), which is noticed when the lock of the deleted file comes free, or at the deadline: the kernel does not
    /// tell a waiter that a file is deleted. (An observer that looks at the path may end the wait earlier, as that of
    /// `locket wait` does every second.) For those who want to know whether the lock of a file is free, and
    /// leave nothing behind.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// let error = std::io::Error::from(locket::lock_file(&path).no_create().lock().unwrap_err());
    /// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    /// assert!(!path.exists());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "an option is of the handle that it returns"]
    pub fn no_create(self) -> Self {
        Self { options: Options { create: false, ..self.options }, ..self }
    }

    /// The permissions of the lock file if it has to be created, before the umask: 0o666 by
    /// default. A file that exists keeps its own (L8). No effect on Windows.
    #[must_use = "an option is of the handle that it returns"]
    pub fn create_mode(self, create_mode: u32) -> Self {
        Self { options: Options { create_mode, ..self.options }, ..self }
    }

    /// Whether the descriptor may be kept for the next acquisition when a hold of this handle has ended
    /// or a wait was in vain; it may by default, and a kept one saves the next acquisition an `open`.
    ///
    /// Kept descriptors are without a lock. There is one for a path at most, and 32 for a process: the
    /// one that was used last before all others is closed for the next. All are closed when the process
    /// has no descriptors left (`EMFILE`, `ENFILE`), and a path's with its last handle. None is kept on
    /// network file systems and FUSE. One that the program has closed without being asked to (by
    /// `closefrom`, for instance) is noticed, and whatever has its number now is left alone.
    ///
    /// With `false` the descriptor is closed with the hold: for lock files whose directory is to be
    /// removed on Windows, or whose file system is to be unmounted, while the handle lives on.
    #[must_use = "an option is of the handle that it returns"]
    pub fn keep_open(self, keep_open: bool) -> Self {
        let after_use = if keep_open { AfterUse::KeepOpen } else { AfterUse::Close };
        Self { options: Options { after_use, ..self.options }, ..self }
    }

    /// Ends timed waits without a signal: they retry every
    /// [`retry_period`](Self::retry_period), as everywhere but on Linux. For programs in which
    /// not one signal may ever be sent; it costs latency and fairness.
    #[must_use = "an option is of the handle that it returns"]
    pub fn without_signals(self) -> Self {
        Self { options: Options { signals: false, ..self.options }, ..self }
    }

    /// Sets an observer: a function that is called when a wait begins and then every second
    /// ([`observe_every`](Self::observe_every)) for as long as the wait lasts. A lock that is free is
    /// taken without a call.
    ///
    /// The observer may put an end to the wait with [`ControlFlow::Break`], which the acquisition
    /// reports as [`LockError::GivenUp`]. If it panics while the wait lasts, so does the acquisition,
    /// without a hold. A grant counts: what an observer returns after it means nothing, and a later panic
    /// is seen on the observer's thread alone.
    ///
    /// Each wait calls its observer on a thread of its own, and does not depend on it: the lock is granted and the deadline
    /// is kept whatever the observer is doing. So a call may still be running when the acquisition has returned, or when the
    /// next wait of the handle begins, which has a thread of its own. The thread ends when the observer returns; until then
    /// it keeps what the observer has captured, and an observer that never returns keeps its thread forever. If the
    /// system has no thread to spare, the observer is not called until there is one, and the wait retries every
    /// [`retry_period`](Self::retry_period) meanwhile. In the child of an observer that forks, the thread ends when the
    /// observer returns, and the child with it.
    ///
    /// A waiter keeps its place in the kernel's queue where it has one (Linux). Elsewhere, and
    /// [`without_signals`](Self::without_signals), a wait that is observed retries every `retry_period` even without a
    /// timeout.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// use std::ops::ControlFlow;
    /// let impatient = locket::lock_file(&path).on_wait(|wait| {
    ///     eprintln!("waiting for {}", wait.path().display());
    ///     ControlFlow::Break(())
    /// });
    /// let _held = locket::lock_file(&path).lock()?;
    /// assert!(matches!(impatient.lock(), Err(locket::LockError::GivenUp { .. })));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "an option is of the handle that it returns"]
    pub fn on_wait(
        self,
        observer: impl Fn(&Wait) -> ControlFlow<()> + Send + Sync + 'static,
    ) -> Self {
        let observer = Some(Observer::new(observer));
        Self { options: Options { observer, ..self.options }, ..self }
    }

    /// How often the observer of [`on_wait`](Self::on_wait) is called; every second by default.
    #[must_use = "an option is of the handle that it returns"]
    pub fn observe_every(self, observe_every: Duration) -> Self {
        Self { options: Options { observe_every, ..self.options }, ..self }
    }
}

/// Acquiring and releasing.
impl Lock {
    /// Waits for the lock, for at most the timeout, and returns the guard that holds it.
    ///
    /// A free lock is taken at once, unless it is this process's turn to [give
    /// way](crate#what-is-not). A waiter sleeps in the kernel (`flock`, `LockFileEx`); with a timeout
    /// or an observer it retries every [`retry_period`](Self::retry_period) there where no system call
    /// would wake it, which is everywhere but on Linux. The hold is on the file that the path names at
    /// that moment: if it was replaced meanwhile, the wait goes on for the new one (L9).
    ///
    /// # Errors
    ///
    /// [`LockError::TimedOut`] if somebody else held the lock at the deadline,
    /// [`LockError::GivenUp`] if the observer put an end to the wait, [`LockError::Io`] if the system
    /// refuses to open, create or lock the file. Nothing is left behind, and the state of the lock is
    /// as it was.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// let lock = locket::lock_file(&path);
    /// let held = lock.lock()?;
    /// // Nobody else is here.
    /// held.release()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lock(&self) -> Result<Guard, LockError> {
        self.guard(&self.options)
    }

    /// As [`lock`](Self::lock) with a timeout of zero: one attempt, no sleep (L2).
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock); [`LockError::TimedOut`] if somebody else holds the lock.
    pub fn try_lock(&self) -> Result<Guard, LockError> {
        self.guard(&self.options.at_once())
    }

    /// Waits for the lock, for at most the timeout, and holds it without a guard: until any thread
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
    /// locket::lock_file(&path).acquire()?;
    /// assert_eq!(locket::lock_file(&path).state(), locket::State::HeldExclusive);
    /// locket::lock_file(&path).release()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn acquire(&self) -> Result<(), LockError> {
        self.keep(&self.options)
    }

    /// As [`acquire`](Self::acquire) with a timeout of zero: one attempt, no sleep (L2).
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    pub fn try_acquire(&self) -> Result<(), LockError> {
        self.keep(&self.options.at_once())
    }

    /// Ends a hold of [`acquire`](Self::acquire), whichever thread and handle it came from; the
    /// oldest, if there are several shared ones. Never a guard's. Of many concurrent releases of
    /// one hold exactly one succeeds (L5).
    ///
    /// # Errors
    ///
    /// [`LockError::NotLocked`] if there is no such hold; the state is then
    /// [`State::ReleasedError`], unless a guard holds the lock, and the lock stays usable (L6).
    /// [`LockError::Io`] if the system refuses to unlock, or the program has closed the descriptor of the hold without being
    /// asked to (Unix); the hold is over all the same. Whatever has the number of that descriptor now is left alone, as
    /// far as it is seen before the call: a thread that closes descriptors at the same moment is not noticed.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// let lock = locket::lock_file(&path);
    /// let error = lock.release().unwrap_err();
    /// assert!(error.to_string().starts_with("cannot release unlocked lock"));
    /// assert_eq!(lock.state(), locket::State::ReleasedError);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn release(&self) -> Result<(), LockError> {
        release_kept(self.ledger.for_current_process().ledger())
    }

    /// What this process knows of the lock. It says nothing of other processes, and other threads
    /// may change it at any time.
    #[must_use]
    pub fn state(&self) -> State {
        self.ledger.for_current_process().ledger().state()
    }

    /// Who holds the lock now and who waits for it, in this process and all others.
    ///
    /// For people to read: by the time they do, it may be over. Takes no lock, disturbs none, and
    /// creates no file: where there is none, nobody holds its lock.
    ///
    /// On Linux the kernel tells in `/proc/locks` who *took* a lock, which costs it some
    /// milliseconds. Whoever has ended since, or has closed a descriptor that others inherited, is
    /// not who holds it: then the descriptors of all processes are searched, as far as this one
    /// may look into them. Where the numbers in `/proc/locks` are ambiguous (btrfs, some
    /// overlayfs) every holder is looked into, and one that may not be is [unknown](crate::Claimant). Of a process that may not be
    /// looked into only the number is told, of the one that [took](crate::Claimant::TakenBy) the lock. Nothing that is read
    /// for it can block on another process: command lines are not told.
    ///
    /// A container (PID namespace) is shown the locks of its own processes, and on network file systems, FUSE and overlays
    /// other hosts or mounts may hold the lock: [`Holders::coverage`] tells, and [`Holders::is_held`] is `None` where no
    /// holder was seen and one may be out of sight. On NFS the server is asked, for which the file is opened for reading
    /// (closing it releases what locks of `fcntl(2)` this process has on the file). Other systems do not tell, and this is
    /// always an error.
    ///
    /// # Errors
    ///
    /// [`LockError::Io`] if the system cannot be asked, of the kind
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) everywhere but on Linux.
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// let held = locket::lock_file(&path).lock()?;
    /// # #[cfg(target_os = "linux")]
    /// assert_eq!(held_by(&path)?, format!("this process (pid {})", std::process::id()));
    ///
    /// fn held_by(path: &std::path::Path) -> Result<String, locket::LockError> {
    ///     Ok(locket::lock_file(path).holders()?.to_string())
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn holders(&self) -> Result<Holders, LockError> {
        let (ledger, name) = (self.ledger.for_current_process(), self.ledger.name());
        let ask = || os::holders(name, &self.options, false, &|| true);
        ledger.ledger().with_descriptors(ask).map_err(|failure| refused(name, failure))
    }

    /// The absolute path, as it was when the handle was made (L10); the path as given if the current
    /// directory had none.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.ledger.name().path()
    }

    fn guard(&self, options: &Options) -> Result<Guard, LockError> {
        let ledger = self.ledger.for_current_process().into_owned();
        let hold = acquire(ledger.ledger(), options)?;
        ledger.ledger().enter(&hold);
        Ok(Guard::new(ledger, hold, options.follow_links))
    }

    fn keep(&self, options: &Options) -> Result<(), LockError> {
        let ledger = self.ledger.for_current_process();
        let hold = acquire(ledger.ledger(), options)?;
        Ledger::keep(ledger.ledger(), hold);
        Ok(())
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ledger, options } = self;
        f.debug_struct("Lock")
            .field("path", &ledger.name().path())
            .field("state", &self.state())
            .field("options", options)
            .finish()
    }
}
