//! Taking the lock.

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

use super::super::exit;
use super::super::hold::Hold;
use super::super::unix::{inherited, lock_what_is_named};
use super::args::{Operation, Options, Target};
use super::words_of;

/// `EX_DATAERR`: the system refuses to lock.
const NOT_LOCKED: i32 = 65;
/// `EX_CANTCREAT`: there is no room for the file, or its file system is read-only.
const NOT_CREATED: i32 = 73;

pub(super) enum Refusal {
    Contended {
        /// Was there a time to wait?
        waited: bool,
    },
    Failed {
        text: String,
        code: i32,
    },
}

pub(super) fn take(options: &Options) -> Result<Hold, Refusal> {
    match &options.target {
        Target::Descriptor(number) => {
            let shown = number.to_string();
            let fd = inherited(*number).map_err(|error| not_locked(&shown, &error))?;
            operate(options, fd, options.timeout).map_err(|missed| missed.of(options, &shown))?;
            Ok(Hold::Inherited(fd))
        }
        Target::Path(path) if is_plain(options, Path::new(path)) => {
            take_file(options, path.as_ref())
        }
        Target::Path(path) => take_opened(options, path),
    }
}

/// Is it a case for [`lock_file`]: a regular file, or one that is to be created?
fn is_plain(options: &Options, path: &Path) -> bool {
    let is_other = path.metadata().is_ok_and(|it| {
        let kind = it.file_type();
        kind.is_dir() || kind.is_fifo() || kind.is_char_device() || kind.is_block_device()
    });
    options.operation != Operation::Unlock && options.fcntl.is_none() && !is_other
}

fn take_file(options: &Options, path: &Path) -> Result<Hold, Refusal> {
    let lock = lock_file(path);
    let lock = if options.operation == Operation::Shared { lock.shared() } else { lock };
    match lock.timeout(options.timeout).lock() {
        Ok(guard) => Ok(Hold::File(guard)),
        Err(error) if error.is_contended() => Err(contended(options)),
        Err(error) => Err(match (error.action(), error.io_error()) {
            (Action::Open | Action::Create | Action::Verify, Some(source)) => {
                not_opened(path.as_os_str(), source)
            }
            (_, Some(source)) => not_locked(&path.to_string_lossy(), source),
            (_, None) => not_locked(&path.to_string_lossy(), &error.into()),
        }),
    }
}

/// The lock is of the file that the path names in the end (L9). To unlock one it is enough that it was named.
fn take_opened(options: &Options, path: &OsStr) -> Result<Hold, Refusal> {
    let open = || open_as_flock(options, path).map_err(|error| not_opened(path, &error));
    let lock = |fd: &OwnedFd, left| {
        let done = operate(options, fd.as_fd(), left);
        done.map_err(|missed| missed.of(options, &Path::new(path).display()))
    };
    if options.operation == Operation::Unlock {
        let fd = open()?;
        lock(&fd, options.timeout)?;
        return Ok(Hold::Opened(fd));
    }
    let locked = lock_what_is_named(path.as_ref(), options.timeout, open, lock)?;
    locked.map(Hold::Opened).ok_or_else(|| {
        let path = path.to_string_lossy();
        let text = format!("{path}: the file is replaced faster than it can be locked");
        Refusal::Failed { text, code: NOT_LOCKED }
    })
}

/// For reading, and created if it is missing; for writing where a lock of fcntl(2) needs that.
fn open_as_flock(options: &Options, path: &OsStr) -> io::Result<OwnedFd> {
    let writes = options.fcntl.is_some() && options.operation == Operation::Exclusive;
    let access = if writes { OFlags::WRONLY } else { OFlags::RDONLY };
    let flags = access | OFlags::CREATE | OFlags::NOCTTY | OFlags::CLOEXEC;
    match open(path, flags, Mode::from_raw_mode(0o666)) {
        // Not with `O_CREAT`, and not for writing.
        Err(Errno::ISDIR) => Ok(File::open(Path::new(path))?.into()),
        opened => Ok(opened?),
    }
}

/// Why an operation failed.
enum Missed {
    Contended,
    Error(io::Error),
}

impl From<LockError> for Missed {
    fn from(error: LockError) -> Self {
        let number = error.io_error().and_then(io::Error::raw_os_error);
        match number {
            _ if error.is_contended() => Self::Contended,
            Some(number) => Self::Error(io::Error::from_raw_os_error(number)),
            None => Self::Error(error.into()),
        }
    }
}

impl Missed {
    fn of(self, options: &Options, shown: &dyn std::fmt::Display) -> Refusal {
        match self {
            Self::Contended => contended(options),
            Self::Error(error) => not_locked(shown, &error),
        }
    }
}

fn operate(options: &Options, fd: impl AsFd, timeout: Option<Duration>) -> Result<(), Missed> {
    if let Some(range) = options.fcntl {
        #[cfg(target_os = "linux")]
        return match super::fcntl::operate(fd, options.operation, range, timeout) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Missed::Contended),
            Err(error) => Err(Missed::Error(error)),
        };
        #[cfg(not(target_os = "linux"))]
        return Err(Missed::Error(io::Error::other(format!(
            "there are no such locks here (--fcntl, {range:?})"
        ))));
    }
    let lock = lock_fd(fd).timeout(timeout);
    let done = match options.operation {
        Operation::Exclusive => lock.lock().map(|guard| drop(guard.leak())),
        Operation::Shared => lock.shared().lock().map(|guard| drop(guard.leak())),
        Operation::Unlock => lock.unlock(),
    };
    done.map_err(Missed::from)
}

fn contended(options: &Options) -> Refusal {
    Refusal::Contended { waited: options.timeout != Some(Duration::ZERO) }
}

fn not_opened(path: &OsStr, error: &io::Error) -> Refusal {
    let code = match Errno::from_io_error(error) {
        Some(Errno::NOMEM | Errno::MFILE | Errno::NFILE) => exit::REFUSED,
        Some(Errno::ROFS | Errno::NOSPC) => NOT_CREATED,
        _ => exit::NO_FILE,
    };
    let text = format!("cannot open lock file {}: {}", path.to_string_lossy(), words_of(error));
    Refusal::Failed { text, code }
}

fn not_locked(shown: &dyn std::fmt::Display, error: &io::Error) -> Refusal {
    let code = match Errno::from_io_error(error) {
        Some(Errno::NOLCK | Errno::NOMEM) => exit::REFUSED,
        _ => NOT_LOCKED,
    };
    Refusal::Failed { text: format!("{shown}: {}", words_of(error)), code }
}
