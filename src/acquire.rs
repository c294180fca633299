//! Acquiring: open the file, lock it by the deadline, verify that the path still names it.

use std::time::Duration;

use super::deadline::Deadline;
use super::error::{Action, LockError};
use super::fairness::{Acquired, YIELD_TIME, has_time_to_yield};
use super::ledger::{Hold, Ledger};
use super::observer::{Observation, Observer};
use super::options::{Access, AfterUse, Mode, Options};
use super::os::platform::{
    Observed, Opened, OsError, Platform, PlatformPath, WaitOutcome, retry_on_intr,
};
use super::os::{LockPath, OpenFile, Os};
use super::report::lock_status::LockStatus;
use super::report::to_lock_error;
use super::sync::Arc;

/// Acquires the lock of the file that the path names at the moment of the grant (L9), by one
/// deadline over all steps (L3). The hold is not in the ledger yet.
pub(crate) fn acquire(
    ledger: &Arc<Ledger>,
    options: &Options,
    observer: &Observer,
) -> Result<Hold, LockError> {
    let deadline = Deadline::after(options.timeout);
    let path = ledger.path();
    let mut acquisition = Acquisition::new(path, options, observer, &deadline);
    let mut retries = 0;
    // Set after a lock was refused for lack of write access: the file is then opened for writing as well.
    let mut read_only_error = None;
    loop {
        acquisition.yield_if_due(ledger);
        let idle = if read_only_error.is_none() { ledger.take_idle() } else { None };
        let is_reused = idle.is_some();
        let file = match idle {
            Some(file) => file,
            None => match open(ledger, &mut acquisition, &mut read_only_error)? {
                Opened::File(file) => Box::new(file),
                Opened::Cancelled(elapsed) => return Err(acquisition.cancelled(elapsed)),
            },
        };
        let is_current = || Os::is_current(path, &file, options.follow_links);
        let held_here = || Os::held_here(&file, options.mode);
        match acquisition.attempt(&file, is_current, held_here) {
            Ok(Outcome::Granted) => {
                let acquired = acquisition.acquired;
                let Options { mode, after_use, .. } = *options;
                return Ok(Hold { file, mode, acquired, after_use });
            }
            Ok(Outcome::Contended) => {
                let error = acquisition.contended(held_here());
                put_back(ledger, file, options);
                return Err(error);
            }
            Ok(Outcome::Cancelled(elapsed)) => {
                put_back(ledger, file, options);
                return Err(acquisition.cancelled(elapsed));
            }
            Ok(Outcome::Replaced)
                if deadline.may_retry(&mut retries) && acquisition.may_follow_replacement() =>
            {
                read_only_error = None;
            }
            Ok(Outcome::Replaced) => return Err(to_lock_error(path, replaced_too_often())),
            // A reused descriptor may have an error of its own, a stale handle for instance: open a new one.
            Err(_) if is_reused => {}
            Err(error) if Os::lacks_descriptors(&error) && ledger.close_idle() => {}
            Err(error) if read_only_error.is_none() && Os::needs_write_access(&error) => {
                read_only_error = Some(error);
            }
            Err(error) => return Err(to_lock_error(path, error)),
        }
        // `file` is dropped here, which closes it. No lock is on it any more.
    }
}

/// Opens the file; for writing as well if a lock was refused without it. If that open fails, the error of the
/// lock is returned.
#[cold]
fn open(
    ledger: &Ledger,
    acquisition: &mut Acquisition<'_>,
    read_only_error: &mut Option<OsError>,
) -> Result<Opened<OpenFile>, LockError> {
    let access = if read_only_error.is_some() { Access::ReadWrite } else { Access::Least };
    let opened = ledger.with_descriptors(|| acquisition.open(access));
    opened.map_err(|error| to_lock_error(acquisition.path, read_only_error.take().unwrap_or(error)))
}

/// Acquires the lock on a descriptor of the caller's, without a check of a path.
#[cfg(unix)]
pub(crate) fn acquire_fd(
    path: &LockPath,
    file: &OpenFile,
    options: &Options,
    observer: &Observer,
) -> Result<(), LockError> {
    let deadline = Deadline::after(options.timeout);
    let mut acquisition = Acquisition::new(path, options, observer, &deadline);
    let held_here = || Os::held_here(file, options.mode);
    match acquisition.attempt(file, || Ok(true), held_here) {
        Ok(Outcome::Granted) => Ok(()),
        Ok(Outcome::Contended) => Err(acquisition.contended(held_here())),
        Ok(Outcome::Cancelled(elapsed)) => Err(acquisition.cancelled(elapsed)),
        Ok(Outcome::Replaced) => Err(to_lock_error(path, replaced_too_often())),
        Err(error) => Err(to_lock_error(path, error)),
    }
}

/// Keeps a file that is not locked for the next acquisition.
fn put_back(ledger: &Arc<Ledger>, file: Box<OpenFile>, options: &Options) {
    if options.after_use == AfterUse::KeepOpen {
        ledger.put_idle(file);
    }
}

/// What an attempt to lock one file came to.
enum Outcome {
    Granted,
    /// The lock of the file at the path was held elsewhere at the last attempt.
    Contended,
    /// The path names another file now, or none.
    Replaced,
    /// The observer cancelled the wait, after this long.
    Cancelled(Duration),
}

/// The state of one acquisition, over all its attempts.
struct Acquisition<'a> {
    path: &'a LockPath,
    options: &'a Options,
    deadline: &'a Deadline,
    observation: Option<Observation<'a>>,
    acquired: Acquired,
    /// The number of files in a row that were found replaced without a wait for their lock.
    replacements: u32,
}

/// The number of files in a row that may be found replaced. Some file systems return another inode number for each
/// `stat` of a file: without a limit an acquisition would never end there.
const MAX_REPLACEMENTS: u32 = 1_000;
/// Beyond this number an acquisition with time left pauses before each attempt, so that a file that is really being
/// replaced does not reach the limit.
const REPLACEMENTS_BEFORE_PAUSE: u32 = 10;

/// Returns the pause after this many replaced files: none after a few, none for a single attempt (L2), and none that is longer
/// than what is left (L3).
fn pause_after(replacements: u32, remaining: Option<Duration>) -> Duration {
    const PAUSE: Duration = Duration::from_millis(1);
    if replacements <= REPLACEMENTS_BEFORE_PAUSE {
        return Duration::ZERO;
    }
    remaining.map_or(PAUSE, |left| left.min(PAUSE))
}

impl<'a> Acquisition<'a> {
    fn new(
        path: &'a LockPath,
        options: &'a Options,
        observer: &'a Observer,
        deadline: &'a Deadline,
    ) -> Self {
        let observation = Observation::new(observer, path, options.follow_links, deadline);
        let acquired = Acquired::Uncontended;
        Self { path, options, deadline, observation, acquired, replacements: 0 }
    }

    /// Sleeps briefly if it is time to let waiters acquire the lock, unless the deadline is near.
    fn yield_if_due(&mut self, ledger: &Ledger) {
        let has_time = || has_time_to_yield(self.deadline.remaining());
        if !matches!(self.deadline, Deadline::Passed) && ledger.should_yield() && has_time() {
            Os::yield_to_waiters(YIELD_TIME);
            self.acquired = Acquired::AfterYield;
        }
    }

    /// Counts a replaced file, and pauses after many. Returns whether the acquisition may try the next one.
    fn may_follow_replacement(&mut self) -> bool {
        self.replacements += 1;
        let pause = pause_after(self.replacements, self.deadline.remaining());
        if !pause.is_zero() {
            Os::yield_to_waiters(pause);
        }
        self.replacements < MAX_REPLACEMENTS
    }

    fn open(&mut self, access: Access) -> Result<Opened<OpenFile>, OsError> {
        let Self { path, options, deadline, observation, .. } = self;
        retry_on_intr(deadline, || {
            let observed = observation.as_mut().map(|it| it as &mut dyn Observed);
            Os::open(path, options, deadline, access, observed)
        })
    }

    /// Tries, sleeps, and tries again until the deadline.
    ///
    /// The clock is read after a sleep and before the next attempt, so one attempt is made after the deadline: the lock
    /// may have come free while the sleep ended. After each attempt `is_current` tells whether the path still names this
    /// file; if not, the attempt does not count. If the only thread of the process would wait without a limit for a hold of
    /// this process, which `held_here` tells, it fails instead.
    fn attempt(
        &mut self,
        file: &OpenFile,
        is_current: impl Fn() -> Result<bool, OsError>,
        held_here: impl Fn() -> Option<Mode>,
    ) -> Result<Outcome, OsError> {
        let Self { options, deadline, observation, acquired, replacements, .. } = self;
        let is_current = |granted: bool| {
            let answer = retry_on_intr(deadline, &is_current);
            if granted && !matches!(answer, Ok(true)) {
                // Closing alone is not enough: a child that was forked meanwhile has a copy of the descriptor.
                let _ = Os::unlock(file);
            }
            answer
        };
        let mut is_last = matches!(deadline, Deadline::Passed);
        loop {
            let granted = retry_on_intr(deadline, || Os::try_lock(file, options.mode))?;
            match (is_current(granted)?, granted) {
                (false, _) => return Ok(Outcome::Replaced),
                (true, true) => return Ok(Outcome::Granted),
                (true, false) if is_last => return Ok(Outcome::Contended),
                (true, false) => {}
            }
            let has_no_limit = options.timeout.is_none() && observation.is_none();
            if has_no_limit && held_here().is_some() && Os::has_one_thread() {
                return Err(waits_for_itself());
            }
            *acquired = Acquired::AfterWait;
            *replacements = 0;
            let observed = observation.as_mut().map(|it| it as &mut dyn Observed);
            match Os::wait(file, options, deadline, observed)? {
                WaitOutcome::Granted if is_current(true)? => return Ok(Outcome::Granted),
                WaitOutcome::Granted => return Ok(Outcome::Replaced),
                WaitOutcome::Cancelled(elapsed) => return Ok(Outcome::Cancelled(elapsed)),
                WaitOutcome::Woken => is_last = deadline.has_passed(),
            }
        }
    }

    /// Builds the error of contention. It names those holders that the observer has learnt of and that still hold the lock;
    /// otherwise this process, if it holds the lock itself. The system's table of locks is not read: that may take some milliseconds (L3).
    fn contended(&self, held_here: Option<Mode>) -> LockError {
        let known = self.observation.as_ref().and_then(Observation::last_status);
        let status = match (known, held_here) {
            (Some(known), _) => known.still_held(),
            (None, Some(mode)) => LockStatus::this_process(mode),
            (None, None) => LockStatus::default(),
        };
        LockError::contended(self.path.path(), self.deadline.elapsed(), status)
    }

    fn cancelled(&self, elapsed: Duration) -> LockError {
        LockError::cancelled(self.path.path(), elapsed)
    }
}

fn waits_for_itself() -> OsError {
    let text = "this process holds the lock itself, and has no other thread that could release it";
    Action::Lock.failed(std::io::Error::new(std::io::ErrorKind::Deadlock, text))
}

fn replaced_too_often() -> OsError {
    let text = "the path names another file at every check: the file is replaced faster than it can be locked, or its \
                file system does not keep the numbers of files";
    Action::Verify.failed(std::io::Error::other(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l2_a_single_attempt_does_not_pause() {
        for replacements in [1, REPLACEMENTS_BEFORE_PAUSE + 1, MAX_REPLACEMENTS] {
            assert_eq!(pause_after(replacements, Some(Duration::ZERO)), Duration::ZERO);
        }
    }

    #[test]
    fn l3_a_pause_ends_by_the_deadline() {
        let short = Duration::from_micros(1);
        assert_eq!(pause_after(REPLACEMENTS_BEFORE_PAUSE, None), Duration::ZERO);
        let many = REPLACEMENTS_BEFORE_PAUSE + 1;
        assert_eq!(pause_after(many, Some(short)), short);
        assert_eq!(pause_after(many, Some(Duration::MAX)), pause_after(many, None));
        assert!(pause_after(many, None) > Duration::ZERO);
    }
}
