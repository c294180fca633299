//! Taking the lock, and saying so.

use std::time::{Duration, Instant};

use locket::{Guard, LockError, lock_file};

use super::args::RunOptions;

/// One deadline from here on: what is done before the wait is part of it.
pub(crate) fn take(options: &RunOptions) -> Result<Guard, LockError> {
    let start = Instant::now();
    let timeout = options.timeout();
    let lock = lock_file(&options.file);
    let lock = if options.shared { lock.shared() } else { lock };

    let guard = match lock.try_lock() {
        Err(LockError::TimedOut { .. }) if timeout != Some(Duration::ZERO) => {
            options.tone().waiting(lock.path());
            let left = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
            lock.clone().timeout(left).lock()?
        }
        answer => answer?,
    };
    options.tone().locked(lock.path(), start.elapsed());
    Ok(guard)
}
