//! What [`locket::lock_file`] does not lock: a descriptor that was inherited, and a directory.

use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use locket::{LockError, lock_fd};

use super::super::exit::{self, Failure};
use super::super::hold::Hold;
use super::super::take::Missed;
use super::is_current;

/// Locks the open file description of an inherited descriptor.
pub(crate) fn lock_inherited(
    fd: BorrowedFd<'static>,
    shared: bool,
    timeout: Option<Duration>,
) -> Result<Hold, LockError> {
    let lock = lock_fd(fd).timeout(timeout);
    let lock = if shared { lock.shared() } else { lock };
    lock.lock().map(|guard| Hold::Inherited(guard.leak()))
}

/// Opens and locks what the path names, and does it again if another file has the name in the end (L9). `None` if it is
/// replaced faster than it can be locked.
pub(crate) fn lock_what_is_named<E>(
    path: &Path,
    timeout: Option<Duration>,
    open: impl Fn() -> Result<OwnedFd, E>,
    lock: impl Fn(&OwnedFd, Option<Duration>) -> Result<(), E>,
) -> Result<Option<OwnedFd>, E> {
    const REPLACEMENTS: u32 = 1000;
    let start = Instant::now();
    for _ in 0..REPLACEMENTS {
        let fd = open()?;
        lock(&fd, timeout.map(|timeout| timeout.saturating_sub(start.elapsed())))?;
        if is_current(&fd, path) {
            return Ok(Some(fd));
        }
    }
    Ok(None)
}

/// Locks a directory.
pub(crate) fn lock_directory(
    path: &Path,
    shared: bool,
    timeout: Option<Duration>,
) -> Result<Hold, Missed> {
    let failed = |code, what: &str, error: io::Error| {
        let text = format!("cannot {what} the directory {}: {error}", path.display());
        Missed::Failed(Failure { code, text })
    };
    let open = || match File::open(path) {
        Ok(directory) => Ok(directory.into()),
        Err(error) => Err(failed(exit::NO_FILE, "open", error)),
    };
    let lock = |fd: &OwnedFd, left| {
        let lock = lock_fd(fd).timeout(left);
        let lock = if shared { lock.shared() } else { lock };
        let guard = lock.lock().map_err(|error| {
            if error.is_contended() {
                return Missed::Lock(error);
            }
            failed(exit::REFUSED, "lock", error.into())
        })?;
        guard.leak();
        Ok(())
    };
    let replaced = || io::Error::other("it is replaced faster than it can be locked");
    lock_what_is_named(path, timeout, open, lock)?
        .map(Hold::Opened)
        .ok_or_else(|| failed(exit::NO_FILE, "lock", replaced()))
}
