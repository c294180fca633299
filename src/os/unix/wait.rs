//! The wait for a lock that is held: blocked in `flock` where the wait can be ended, by polling elsewhere.

use std::io;

use fs4::FileExt;

use crate::deadline::Deadline;
use crate::error::Action;
use crate::options::{Mode, Options};
use crate::os::platform::{Observed, OsError, WaitOutcome, reborrow};

use crate::os::unix::file_system::FileSystem;
use crate::os::unix::open_file::OpenFile;
use crate::os::unix::sleep::pause_before_retry;

pub(super) fn wait(
    file: &OpenFile,
    options: &Options,
    deadline: &Deadline,
    mut observed: Option<&mut dyn Observed>,
) -> Result<WaitOutcome, OsError> {
    match wait_in_kernel(file, options, deadline, reborrow(&mut observed)) {
        Some(Ok(outcome)) => return Ok(outcome),
        Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {
            return Ok(WaitOutcome::Woken);
        }
        Some(Err(error)) if !is_contention(file, &error) => {
            return Err(lock_error(file, options.mode, error));
        }
        Some(Err(_)) | None => {}
    }
    Ok(pause_before_retry(options, deadline, observed))
}

/// Blocks in the kernel's queue for the lock until it is granted or a signal comes: without a timer if the wait has neither
/// limit nor observer. `None` if there is no time left, or if the wait could not be interrupted.
#[cfg(target_os = "linux")]
fn wait_in_kernel(
    file: &OpenFile,
    options: &Options,
    deadline: &Deadline,
    observed: Option<&mut dyn Observed>,
) -> Option<io::Result<WaitOutcome>> {
    use std::time::Duration;

    use crate::os::linux::wake_timer::WakeTimer;

    let timer = match (deadline.remaining(), &observed) {
        (None, None) => return Some(flock_blocking(file, options.mode)),
        (Some(Duration::ZERO), _) => return None,
        (remaining, _) if options.use_signals && file.file_system.ends_waits() => {
            WakeTimer::set(remaining.unwrap_or(Duration::MAX))?
        }
        _ => return None,
    };
    match observed {
        None => Some(flock_blocking(file, options.mode)),
        Some(observed) => block_observed(&timer, observed, || flock_blocking(file, options.mode)),
    }
}

/// Blocks until the lock is granted, the timer fires, or the observer cancels the wait. A grant counts, even if the
/// observer cancelled meanwhile. `None` if the observer has no thread.
///
/// The observer runs on a thread of its own: a waiter that leaves the queue goes to its end when it comes back, and would
/// never be granted a lock that is held for longer than the observer's period. Cancelling fires the timer at once.
#[cfg(target_os = "linux")]
fn block_observed(
    timer: &crate::os::linux::wake_timer::WakeTimer,
    observed: &mut dyn Observed,
    sleep: impl Fn() -> io::Result<WaitOutcome>,
) -> Option<io::Result<WaitOutcome>> {
    if !observed.start() {
        return None;
    }
    let timer = timer.reference();
    let mut answer = None;
    observed.sleep_with_waker(Box::new(move || timer.fire()), &mut || answer = Some(sleep()));
    match answer {
        Some(Err(error)) if error.kind() != io::ErrorKind::Interrupted => Some(Err(error)),
        Some(Ok(outcome)) => Some(Ok(outcome)),
        Some(Err(_)) | None => {
            Some(Ok(observed.cancelled().map_or(WaitOutcome::Woken, WaitOutcome::Cancelled)))
        }
    }
}

/// Other systems have no timer that interrupts one thread: only a wait without a limit sleeps in the queue.
#[cfg(not(target_os = "linux"))]
#[allow(clippy::needless_pass_by_value, reason = "the signature of Linux")]
fn wait_in_kernel(
    file: &OpenFile,
    options: &Options,
    deadline: &Deadline,
    observed: Option<&mut dyn Observed>,
) -> Option<io::Result<WaitOutcome>> {
    let is_unlimited = deadline.remaining().is_none() && observed.is_none();
    is_unlimited.then(|| flock_blocking(file, options.mode))
}

fn flock_blocking(file: &OpenFile, mode: Mode) -> io::Result<WaitOutcome> {
    match mode {
        Mode::Exclusive => FileExt::lock(&*file.own),
        Mode::Shared => FileExt::lock_shared(&*file.own),
    }?;
    file.own.set_held(Some(mode));
    Ok(WaitOutcome::Granted)
}

/// Converts an error of a lock. A refusal for lack of write access is distinguished from others with the same number
/// (`EBADF`): a descriptor of `O_PATH`, or one that the host has closed.
#[cold]
pub(super) fn lock_error(file: &OpenFile, mode: Mode, error: io::Error) -> OsError {
    let lacks_write_access = error.raw_os_error() == Some(libc::EBADF)
        && (file.file_system, mode) == (FileSystem::Nfs, Mode::Exclusive)
        && file.own.is_read_only();
    let error = OsError { lacks_write_access, ..Action::Lock.failed(error) };
    if lacks_write_access && file.own.is_borrowed() {
        return error.because(
            "NFS grants exclusive locks only to files that are open for writing: open it for writing, or take a \
             shared lock",
        );
    }
    error
}

/// Returns whether an error says that the lock is held elsewhere.
///
/// SMB answers `EACCES` where others answer `EWOULDBLOCK`. On other file systems `EACCES` is an error: a security
/// module may forbid locking, and no wait would help. 9p answers `EAGAIN` to a wait that a signal ended.
pub(super) fn is_contention(file: &OpenFile, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(libc::EACCES) && file.file_system == FileSystem::Smb
}
