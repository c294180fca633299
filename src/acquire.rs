//! open → lock by the deadline → is it still the file at the path?

use super::deadline::Deadline;
use super::error::{Action, Failure, LockError};
use super::ledger::{Hold, Ledger};
use super::options::Options;
use super::os::{self, Descriptor};

/// Takes the lock of the file that the path names at the moment it is granted (L9), by one
/// deadline over all of it (L3). The hold is not in the ledger yet.
pub(crate) fn acquire(ledger: &Ledger, options: &Options) -> Result<Hold, LockError> {
    let deadline = Deadline::after(options.timeout);
    let path = ledger.name().path();
    let mut turns = 0;
    loop {
        let idle = ledger.take_idle();
        let reused = idle.is_some();
        let descriptor = match idle {
            Some(descriptor) => descriptor,
            None => open(ledger, options, &deadline).map_err(|failure| failure.at(path))?,
        };
        match attempt(ledger, &descriptor, options, &deadline) {
            Ok(Outcome::Granted) => return Ok(Hold { descriptor, mode: options.mode }),
            Ok(Outcome::Contended) => {
                ledger.put_idle(descriptor);
                return Err(LockError::TimedOut { path: path.into(), waited: deadline.waited() });
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
}

/// Tries, sleeps, tries again. The clock is read once a turn, and before the try: the deadline has
/// an attempt of its own, in case the lock came free as the wait was ending. Every answer is worth
/// something only for the file that the path names: to wait for another would be in vain.
fn attempt(
    ledger: &Ledger,
    descriptor: &Descriptor,
    options: &Options,
    deadline: &Deadline,
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
        if os::wait(descriptor, options, deadline)? {
            return Ok(if is_current()? { Outcome::Granted } else { Outcome::Replaced });
        }
    }
}

fn open(ledger: &Ledger, options: &Options, deadline: &Deadline) -> Result<Descriptor, Failure> {
    deadline.outlast_signals(|| os::open(ledger.name(), options, deadline))
}

fn replaced() -> Failure {
    let text = "the file is replaced faster than it can be locked";
    Action::Check.failed(std::io::Error::other(text))
}
