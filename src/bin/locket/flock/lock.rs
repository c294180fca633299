//! Acquires the lock as flock(1) does: of a file, of anything else that can be opened, or of a descriptor.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::Duration;

use locket::{Action, LockError, lock_fd, lock_file};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use crate::acquire::lock_current;
use crate::exit;
use crate::flock::args::{Operation, Options, Target};
#[cfg(target_os = "linux")]
use crate::flock::fcntl;
use crate::flock::text::error_text;
use crate::platform::Hold;
use crate::unix::borrow_inherited;

/// `EX_DATAERR`: the file cannot be locked.
const NOT_LOCKED: i32 = 65;
/// `EX_CANTCREAT`: no space for the file, or a read-only file system.
const NOT_CREATED: i32 = 73;

/// Why the lock was not acquired.
pub(super) enum LockFailure {
    /// Another process holds it.
    Contended,
    Failed {
        text: String,
        code: i32,
    },
}

/// Acquires or releases the lock, as the options ask for.
pub(super) fn acquire(options: &Options) -> Result<Hold, LockFailure> {
    match &options.target {
        Target::Descriptor(number) => {
            let shown = number.to_string();
            let fd = borrow_inherited(*number).map_err(|error| not_locked(&shown, &error))?;
            operate(options, fd, options.timeout).map_err(|error| error.on(&shown))?;
            Ok(Hold::Inherited(fd))
        }
        Target::Path(path) if is_for_library(options, Path::new(path)) => {
            lock_regular_file(options, path.as_ref())
        }
        Target::Path(path) => open_and_lock(options, path),
    }
}

/// Returns whether [`lock_file`] can lock it: a regular file, or one that is to be created.
fn is_for_library(options: &Options, path: &Path) -> bool {
    let is_other = path.metadata().is_ok_and(|it| {
        let kind = it.file_type();
        kind.is_dir() || kind.is_fifo() || kind.is_char_device() || kind.is_block_device()
    });
    options.operation != Operation::Unlock && options.fcntl.is_none() && !is_other
}

fn lock_regular_file(options: &Options, path: &Path) -> Result<Hold, LockFailure> {
    let lock = lock_file(path);
    let lock = if options.operation == Operation::Shared { lock.shared() } else { lock };
    match lock.timeout(options.timeout).lock() {
        Ok(guard) => Ok(Hold::File(guard)),
        Err(error) if error.is_contended() => Err(LockFailure::Contended),
        Err(error) => Err(match (error.action(), error.io_error()) {
            (Action::Open | Action::Create | Action::Verify, Some(source)) => {
                not_opened(path.as_os_str(), source)
            }
            (_, Some(source)) => not_locked(&path.to_string_lossy(), source),
            (_, None) => not_locked(&path.to_string_lossy(), &error.into()),
        }),
    }
}

/// Opens and locks the file that the path names. The path names the locked file afterwards (L9); for `--unlock` it is enough
/// that it named the file when it was opened.
fn open_and_lock(options: &Options, path: &OsStr) -> Result<Hold, LockFailure> {
    let open = || open_as_flock(options, path).map_err(|error| not_opened(path, &error));
    let lock = |fd: &OwnedFd, remaining| {
        let done = operate(options, fd.as_fd(), remaining);
        done.map_err(|error| error.on(&Path::new(path).display()))
    };
    if options.operation == Operation::Unlock {
        let fd = open()?;
        lock(&fd, options.timeout)?;
        return Ok(Hold::Opened(fd));
    }
    let locked = lock_current(path.as_ref(), options.timeout, open, lock)?;
    locked.map(Hold::Opened).ok_or_else(|| {
        let path = path.to_string_lossy();
        let text = format!("{path}: the file is replaced faster than it can be locked");
        LockFailure::Failed { text, code: NOT_LOCKED }
    })
}

/// Opens a file for reading, and creates it if it is missing; for writing where a lock of fcntl(2) needs that.
fn open_as_flock(options: &Options, path: &OsStr) -> io::Result<OwnedFd> {
    let writes = options.fcntl.is_some() && options.operation == Operation::Exclusive;
    let access = if writes { OFlags::WRONLY } else { OFlags::RDONLY };
    let flags = access | OFlags::CREATE | OFlags::NOCTTY | OFlags::CLOEXEC;
    match open(path, flags, Mode::from_raw_mode(0o666)) {
        // A directory cannot be opened with `O_CREAT` or for writing (open(2)).
        Err(Errno::ISDIR) => Ok(File::open(Path::new(path))?.into()),
        opened => Ok(opened?),
    }
}

/// Why an operation failed.
enum OperationError {
    Contended,
    Error(io::Error),
}

impl From<LockError> for OperationError {
    fn from(error: LockError) -> Self {
        let number = error.io_error().and_then(io::Error::raw_os_error);
        match number {
            _ if error.is_contended() => Self::Contended,
            Some(number) => Self::Error(io::Error::from_raw_os_error(number)),
            None => Self::Error(error.into()),
        }
    }
}

impl OperationError {
    /// Returns the failure of an operation on this file or descriptor.
    fn on(self, shown: &dyn std::fmt::Display) -> LockFailure {
        match self {
            Self::Contended => LockFailure::Contended,
            Self::Error(error) => not_locked(shown, &error),
        }
    }
}

/// Locks or unlocks a descriptor.
fn operate(
    options: &Options,
    fd: impl AsFd,
    timeout: Option<Duration>,
) -> Result<(), OperationError> {
    if let Some(range) = options.fcntl {
        #[cfg(target_os = "linux")]
        return match fcntl::operate(fd, options.operation, range, timeout) {
            Ok(true) => Ok(()),
            Ok(false) => Err(OperationError::Contended),
            Err(error) => Err(OperationError::Error(error)),
        };
        #[cfg(not(target_os = "linux"))]
        return Err(OperationError::Error(io::Error::other(format!(
            "locks of fcntl(2) are not supported on this platform (--fcntl, {range:?})"
        ))));
    }
    let lock = lock_fd(fd).timeout(timeout);
    let done = match options.operation {
        Operation::Exclusive => lock.lock().map(|guard| drop(guard.leak())),
        Operation::Shared => lock.shared().lock().map(|guard| drop(guard.leak())),
        Operation::Unlock => lock.unlock(),
    };
    done.map_err(OperationError::from)
}

fn not_opened(path: &OsStr, error: &io::Error) -> LockFailure {
    let code = match Errno::from_io_error(error) {
        Some(Errno::NOMEM | Errno::MFILE | Errno::NFILE) => exit::OS_ERROR,
        Some(Errno::ROFS | Errno::NOSPC) => NOT_CREATED,
        _ => exit::NO_INPUT,
    };
    let text = format!("cannot open lock file {}: {}", path.to_string_lossy(), error_text(error));
    LockFailure::Failed { text, code }
}

fn not_locked(shown: &dyn std::fmt::Display, error: &io::Error) -> LockFailure {
    let code = match Errno::from_io_error(error) {
        Some(Errno::NOLCK | Errno::NOMEM) => exit::OS_ERROR,
        _ => NOT_LOCKED,
    };
    LockFailure::Failed { text: format!("{shown}: {}", error_text(error)), code }
}
