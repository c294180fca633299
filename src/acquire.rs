//! open → lock by the deadline → is it still the file at the path?

use std::time::Duration;

use super::deadline::Deadline;
use super::error::{Action, Failure, LockError};
use super::holders::{Effort, Holders};
use super::ledger::{Hold, Ledger};
use super::observer::{Waited, Watch};
use super::options::Options;
use super::os::{self, Descriptor};

/// Takes the lock of the file that the path names at the moment it is granted (L9), by one
/// deadline over all of it (L3). The hold is not in the ledger yet.
pub(crate) fn acquire(ledger: &Ledger, options: &Options) -> Result<Hold, LockError> {
    let deadline = Deadline::after(options.timeout);
    let path = ledger.name().path();
    let mut turns = 0;
    let mut watch: Option<Watch<'_>> = None;
    loop {
        let idle = ledger.take_idle();
        let reused = idle.is_some();
        let descriptor = match idle {
            Some(descriptor) => descriptor,
            None => open(ledger, options, &deadline).map_err(|failure| failure.at(path))?,
        };
        match attempt(ledger, &descriptor, options, &deadline, &mut watch) {
            Ok(Outcome::Granted) => return Ok(Hold { descriptor, mode: options.mode }),
            Ok(Outcome::Contended) => {
                ledger.put_idle(descriptor);
                let waited = deadline.waited();
                let holders = holders(ledger, options);
                return Err(LockError::TimedOut { path: path.into(), waited, holders });
            }
            Ok(Outcome::GivenUp) => {
                ledger.put_idle(descriptor);
                let waited = watch.map_or_else(|| deadline.waited(), |watch| watch.waited());
                return Err(LockError::GivenUp { path: path.into(), waited });
            }
            Ok(Outcome::Replaced) if deadline.allows(&mut turns) => {}
            Ok(Outcome::Replaced) => return Err(replaced().at(path)),
            // An old descriptor may have troubles of its own, a stale one on NFS for instance:
            // what a new one says counts.
            Err(_) if reused => {}
            Err(failure) => return Err(failure.at(path)),
        }
        // Here the descriptor is closed, and with it whatever lock is on it.
    }
}

enum Outcome {
    Granted,
    /// Somebody held the lock of the file at the path, at or after the deadline.
    Contended,
    /// The path names another file now, or none.
    Replaced,
    /// The observer put an end to the wait.
    GivenUp,
}

/// Tries, sleeps, tries again. The clock is read once a turn, and before the try: the deadline has
/// an attempt of its own, in case the lock came free as the wait was ending. Every answer is worth
/// something only for the file that the path names: to wait for another would be in vain.
fn attempt<'a>(
    ledger: &'a Ledger,
    descriptor: &Descriptor,
    options: &'a Options,
    deadline: &'a Deadline,
    watch: &mut Option<Watch<'a>>,
) -> Result<Outcome, Failure> {
    let is_current = || {
        deadline.outlast_signals(|| os::is_current(ledger.name(), descriptor, options.follow_links))
    };
    loop {
        let last = deadline.passed();
        let granted = deadline.outlast_signals(|| os::try_lock(descriptor, options.mode))?;
        match (is_current()?, granted) {
            (false, _) => return Ok(Outcome::Replaced),
            (true, true) => return Ok(Outcome::Granted),
            (true, false) if last => return Ok(Outcome::Contended),
            (true, false) => {}
        }
        if watch.is_none() {
            *watch = Watch::begin(ledger.name(), options, deadline);
        }
        match os::wait(descriptor, options, deadline, watch.as_mut())? {
            Waited::Granted if is_current()? => return Ok(Outcome::Granted),
            Waited::Granted => return Ok(Outcome::Replaced),
            Waited::GivenUp => return Ok(Outcome::GivenUp),
            Waited::Woken => {}
        }
    }
}

fn open(ledger: &Ledger, options: &Options, deadline: &Deadline) -> Result<Descriptor, Failure> {
    deadline.outlast_signals(|| os::open(ledger.name(), options, deadline))
}

/// Who was it? Whoever did not want to wait does not want to wait for the answer either, which
/// may take the system ten milliseconds.
fn holders(ledger: &Ledger, options: &Options) -> Holders {
    const PATIENT: Duration = Duration::from_millis(100);
    match options.timeout {
        Some(timeout) if timeout < PATIENT => Holders::default(),
        _ => os::holders(ledger.name(), options, true, Effort::Glance).unwrap_or_default(),
    }
}

fn replaced() -> Failure {
    let text = "the file is replaced faster than it can be locked";
    Action::Check.failed(std::io::Error::other(text))
}
