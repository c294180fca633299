//! open → lock by the deadline → is it still the file at the path? And without a path: lock by the deadline.

use std::time::Duration;

use super::courtesy::{Entrance, MOMENT, is_time_enough};
use super::deadline::Deadline;
use super::diagnosis::refused;
use super::error::{Action, Failure, LockError};
use super::holders::Holders;
use super::ledger::{Hold, Ledger};
use super::observer::{Opened, Waited, Watch};
use super::options::{Access, AfterUse, Mode, Options};
use super::os::{self, Descriptor, Name};
use super::sync::Arc;

/// Takes the lock of the file that the path names at the moment it is granted (L9), by one
/// deadline over all of it (L3). The hold is not in the ledger yet.
pub(crate) fn acquire(ledger: &Arc<Ledger>, options: &Options) -> Result<Hold, LockError> {
    let deadline = Deadline::after(options.timeout);
    let name = ledger.name();
    let mut acquisition = Acquisition::new(name, options, &deadline);
    let mut turns = 0;
    // What the system said of a lock on a descriptor that is not for writing.
    let mut unwritable = None;
    loop {
        acquisition.give_way_if_due(ledger);
        let idle = if unwritable.is_none() { ledger.take_idle() } else { None };
        let reused = idle.is_some();
        let descriptor = match idle {
            Some(descriptor) => descriptor,
            None => match open(ledger, &mut acquisition, &mut unwritable)? {
                Opened::Descriptor(descriptor) => Box::new(descriptor),
                Opened::GivenUp(waited) => return Err(acquisition.given_up(waited)),
            },
        };
        let look = || os::is_current(name, &descriptor, options.follow_links);
        let held_here = || os::held_here(&descriptor, options.mode);
        match acquisition.attempt(&descriptor, look, held_here) {
            Ok(Outcome::Granted) => {
                let entrance = acquisition.entrance;
                let Options { mode, after_use, .. } = *options;
                return Ok(Hold { descriptor, mode, entrance, after_use });
            }
            Ok(Outcome::Contended) => {
                let error = acquisition.timed_out(held_here());
                put_back(ledger, descriptor, options);
                return Err(error);
            }
            Ok(Outcome::GivenUp(waited)) => {
                put_back(ledger, descriptor, options);
                return Err(acquisition.given_up(waited));
            }
            Ok(Outcome::Replaced) if deadline.allows(&mut turns) && acquisition.goes_on() => {
                unwritable = None;
            }
            Ok(Outcome::Replaced) => return Err(refused(name, replaced())),
            // An old descriptor may have troubles of its own, a stale one on NFS for instance:
            // what a new one says counts.
            Err(_) if reused => {}
            Err(failure) if os::lacks_descriptors(&failure) && ledger.give_back_idle() => {}
            Err(failure) if unwritable.is_none() && os::needs_writing(&failure) => {
                unwritable = Some(failure);
            }
            Err(failure) => return Err(refused(name, failure)),
        }
        // Here the descriptor is closed. No lock is on it any more.
    }
}

/// Opens the file, for writing too if a lock has been refused without; where that is refused, the error
/// is that of the lock.
#[cold]
fn open(
    ledger: &Ledger,
    acquisition: &mut Acquisition<'_>,
    unwritable: &mut Option<Failure>,
) -> Result<Opened<Descriptor>, LockError> {
    let access = if unwritable.is_some() { Access::ReadWrite } else { Access::Least };
    let opened = ledger.with_descriptors(|| acquisition.open(access));
    opened.map_err(|failure| refused(acquisition.name, unwritable.take().unwrap_or(failure)))
}

/// Takes the lock on a descriptor of the caller's, whatever path its file has now.
#[cfg(unix)]
pub(crate) fn acquire_fd(
    name: &Name,
    descriptor: &Descriptor,
    options: &Options,
) -> Result<(), LockError> {
    let deadline = Deadline::after(options.timeout);
    let mut acquisition = Acquisition::new(name, options, &deadline);
    let held_here = || os::held_here(descriptor, options.mode);
    match acquisition.attempt(descriptor, || Ok(true), held_here) {
        Ok(Outcome::Granted) => Ok(()),
        Ok(Outcome::Contended) => Err(acquisition.timed_out(held_here())),
        Ok(Outcome::GivenUp(waited)) => Err(acquisition.given_up(waited)),
        Ok(Outcome::Replaced) => Err(refused(name, replaced())),
        Err(failure) => Err(refused(name, failure)),
    }
}

/// The lock is not on it.
fn put_back(ledger: &Arc<Ledger>, descriptor: Box<Descriptor>, options: &Options) {
    if options.after_use == AfterUse::KeepOpen {
        ledger.put_idle(descriptor);
    }
}

enum Outcome {
    Granted,
    /// Somebody held the lock of the file at the path, at or after the deadline.
    Contended,
    /// The path names another file now, or none.
    Replaced,
    /// The observer put an end to the wait, after so long.
    GivenUp(Duration),
}

/// One call, over as many files and sleeps as it takes.
struct Acquisition<'a> {
    name: &'a Name,
    options: &'a Options,
    deadline: &'a Deadline,
    /// From the first wait on, if there is an observer.
    watch: Option<Watch>,
    entrance: Entrance,
    /// The number of files in a row that were found replaced without a wait for their lock.
    replacements: u32,
}

/// The number of files in a row that may be found replaced. There are file systems that give a file another number at
/// every look: without a limit, an acquisition would never end there.
const MOST_REPLACEMENTS: u32 = 1_000;
/// Beyond this number an acquisition with time left pauses before each look, so that no real replacement reaches the limit.
const FEW_REPLACEMENTS: u32 = 10;

/// Returns the pause after so many replaced files: none after a few, none of a single attempt (L2), and none that is longer
/// than what is left (L3).
fn pause_after(replacements: u32, remaining: Option<Duration>) -> Duration {
    const PAUSE: Duration = Duration::from_millis(1);
    if replacements <= FEW_REPLACEMENTS {
        return Duration::ZERO;
    }
    remaining.map_or(PAUSE, |left| left.min(PAUSE))
}

impl<'a> Acquisition<'a> {
    fn new(name: &'a Name, options: &'a Options, deadline: &'a Deadline) -> Self {
        let entrance = Entrance::AtOnce;
        Self { name, options, deadline, watch: None, entrance, replacements: 0 }
    }

    /// Lets the waiters have the lock first, unless the deadline is near.
    fn give_way_if_due(&mut self, ledger: &Ledger) {
        let has_time = || is_time_enough(self.deadline.remaining());
        if !matches!(self.deadline, Deadline::Passed) && ledger.gives_way() && has_time() {
            os::give_way(MOMENT);
            self.entrance = Entrance::InVain;
        }
    }

    /// Counts a replaced file. Returns whether the acquisition is to look at the next one.
    fn goes_on(&mut self) -> bool {
        self.replacements += 1;
        let pause = pause_after(self.replacements, self.deadline.remaining());
        if !pause.is_zero() {
            os::give_way(pause);
        }
        self.replacements < MOST_REPLACEMENTS
    }

    fn open(&mut self, access: Access) -> Result<Opened<Descriptor>, Failure> {
        let Self { name, options, deadline, watch, .. } = self;
        deadline.outlast_signals(|| os::open(name, options, deadline, access, watch))
    }

    /// Tries, sleeps, tries again. The clock is read when a wait is over, and before the next try:
    /// the deadline has an attempt of its own, in case the lock came free as the wait was ending.
    /// Every answer is worth something only for the file that the path names, which `look` tells: to
    /// wait for another would be in vain. So would be a wait without end for this process's own hold, which `held_here` tells.
    fn attempt(
        &mut self,
        descriptor: &Descriptor,
        look: impl Fn() -> Result<bool, Failure>,
        held_here: impl Fn() -> Option<Mode>,
    ) -> Result<Outcome, Failure> {
        let Self { name, options, deadline, watch, entrance, replacements } = self;
        let is_current = |granted: bool| {
            let answer = deadline.outlast_signals(&look);
            if granted && !matches!(answer, Ok(true)) {
                // A child that was forked meanwhile has a copy: closed, the lock would live on in it.
                let _ = os::unlock(descriptor);
            }
            answer
        };
        let mut last = matches!(deadline, Deadline::Passed);
        loop {
            let granted = deadline.outlast_signals(|| os::try_lock(descriptor, options.mode))?;
            match (is_current(granted)?, granted) {
                (false, _) => return Ok(Outcome::Replaced),
                (true, true) => return Ok(Outcome::Granted),
                (true, false) if last => return Ok(Outcome::Contended),
                (true, false) => {}
            }
            let is_endless = options.timeout.is_none() && options.observer.is_none();
            if is_endless && held_here().is_some() && os::has_one_thread() {
                return Err(waits_for_itself());
            }
            *entrance = Entrance::Queued;
            *replacements = 0;
            Watch::begin_once(watch, name, options, deadline);
            match os::wait(descriptor, options, deadline, watch.as_mut())? {
                Waited::Granted if is_current(true)? => return Ok(Outcome::Granted),
                Waited::Granted => return Ok(Outcome::Replaced),
                Waited::GivenUp(waited) => return Ok(Outcome::GivenUp(waited)),
                Waited::Woken => last = deadline.passed(),
            }
        }
    }

    /// Names the holders that the observer has learnt of, if they still are, or this process, if it may hold the lock that it
    /// waits for. The system's table of locks is not read, which may take some milliseconds (L3).
    fn timed_out(&self, held_here: Option<Mode>) -> LockError {
        let (name, waited) = (self.name, self.deadline.waited());
        let learnt = self.watch.as_ref().and_then(Watch::learnt);
        let holders = match (learnt, held_here) {
            (Some(learnt), _) => learnt.still_held(),
            (None, Some(mode)) => Holders::this_process(mode),
            (None, None) => Holders::default(),
        };
        LockError::TimedOut { path: name.path().into(), waited, holders }
    }

    fn given_up(&self, waited: Duration) -> LockError {
        LockError::GivenUp { path: self.name.path().into(), waited }
    }
}

fn waits_for_itself() -> Failure {
    let text = "this process holds the lock itself, and has no other thread that could release it";
    Action::Lock.failed(std::io::Error::new(std::io::ErrorKind::Deadlock, text))
}

fn replaced() -> Failure {
    let text = "the path names another file at every look: the file is replaced faster than it can be locked, or its \
                file system does not keep the numbers of files";
    Action::Check.failed(std::io::Error::other(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l2_a_single_attempt_does_not_pause() {
        for replacements in [1, FEW_REPLACEMENTS + 1, MOST_REPLACEMENTS] {
            assert_eq!(pause_after(replacements, Some(Duration::ZERO)), Duration::ZERO);
        }
    }

    #[test]
    fn l3_a_pause_ends_by_the_deadline() {
        let short = Duration::from_micros(1);
        assert_eq!(pause_after(FEW_REPLACEMENTS, None), Duration::ZERO);
        let many = FEW_REPLACEMENTS + 1;
        assert_eq!(pause_after(many, Some(short)), short);
        assert_eq!(pause_after(many, Some(Duration::MAX)), pause_after(many, None));
        assert!(pause_after(many, None) > Duration::ZERO);
    }
}
