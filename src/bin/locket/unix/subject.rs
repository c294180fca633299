//! What [`locket::lock_file`] does not lock: a descriptor that was inherited, and a directory.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use locket::{LockError, lock_fd};

use super::super::exit::{self, Failure};
use super::super::hold::Hold;
use super::super::take::Missed;
use super::is_current;

/// How often a directory may be replaced while it is waited for.
const REPLACEMENTS: u32 = 1000;

/// Locks the open file description of an inherited descriptor.
pub(crate) fn lock_inherited(
    fd: BorrowedFd<'static>,
    shared: bool,
    timeout: Option<Duration>,
) -> Result<Hold, LockError> {
    let lock = lock_fd(fd).timeout(timeout);
    let lock = if shared { lock.shared() } else { lock };
    lock.lock().map(|guard| Hold::Inherited(guard.leave()))
}

/// Locks a directory, and moves on to its replacement if another one has its name in the end (L9).
pub(crate) fn lock_directory(
    path: &Path,
    shared: bool,
    timeout: Option<Duration>,
) -> Result<Hold, Missed> {
    let start = Instant::now();
    let failed = |code, what: &str, error: io::Error| {
        let text = format!("couldn't {what} the directory {}: {error}", path.display());
        Missed::Failed(Failure { code, text })
    };
    for _ in 0..REPLACEMENTS {
        let directory = File::open(path).map_err(|error| failed(exit::NO_FILE, "open", error))?;
        let left = timeout.map(|timeout| timeout.saturating_sub(start.elapsed()));
        let lock = lock_fd(directory).timeout(left);
        let lock = if shared { lock.shared() } else { lock };
        let fd = match lock.lock() {
            Ok(guard) => guard.leave().into(),
            Err(error @ LockError::TimedOut { .. }) => return Err(Missed::Lock(error)),
            Err(error) => return Err(failed(exit::REFUSED, "lock", error.into())),
        };
        if is_current(&fd, path) {
            return Ok(Hold::Opened(fd));
        }
    }
    Err(failed(
        exit::NO_FILE,
        "lock",
        io::Error::other("it is replaced faster than it can be locked"),
    ))
}
