//! `CreateFile`, `LockFileEx`, and which file a path names.
//!
//! A lock is on all offsets that a file can have, the reference's byte 0 among them (L14). While
//! it lasts the system lets no other descriptor write the file, nor read it if the lock is
//! exclusive; opening, renaming and deleting it stay possible.

pub(super) mod holders;
mod identity;
mod pauses;

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsRawHandle, BorrowedHandle, RawHandle};
use std::path::{self, Path, PathBuf};
use std::thread;
use std::time::Duration;

use fs4::{FileExt, TryLockError};
use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_DELETE_PENDING, ERROR_FILE_NOT_FOUND, ERROR_OPERATION_ABORTED,
    ERROR_PATH_NOT_FOUND, ERROR_SHARING_VIOLATION, ERROR_TOO_MANY_OPEN_FILES, GENERIC_READ,
    NTSTATUS, STATUS_DELETE_PENDING, STATUS_FILE_IS_A_DIRECTORY,
};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_SHARE_DELETE, FILE_SHARE_READ,
    FILE_SHARE_WRITE,
};

use crate::courtesy::Clock;
use crate::deadline::Deadline;
use crate::diagnosis::Diagnosis;
use crate::error::{Action, Failure};
use crate::kind::ErrorKind;
use crate::observer::{Opened, Waited, Watch};
use crate::options::{Access, Mode, Options};

use pauses::Pauses;

/// An absolute path.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    path: PathBuf,
    /// Why no file can have this name.
    fault: Option<(io::ErrorKind, &'static str)>,
}

impl Name {
    pub(crate) fn new(given: &Path) -> Self {
        let text = given.as_os_str().as_encoded_bytes();
        match path::absolute(given) {
            Ok(path) => Self { path, fault: None },
            Err(error) => {
                let fault = match text {
                    [] => (io::ErrorKind::InvalidInput, "the path is empty"),
                    _ if text.contains(&0) => {
                        (io::ErrorKind::InvalidInput, "the path has a NUL character in it")
                    }
                    _ => (error.kind(), "the path cannot be made absolute"),
                };
                Self { path: given.into(), fault: Some(fault) }
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What tells the ledgers of this process apart: names with equal keys share one (L10).
    pub(crate) fn key(&self) -> &OsStr {
        self.path.as_os_str()
    }

    #[allow(clippy::unused_self, reason = "the contract's form")]
    pub(crate) fn lacks_descriptor(&self) -> bool {
        false
    }

    fn checked(&self, action: Action) -> Result<&Path, Failure> {
        match self.fault {
            None => Ok(&self.path),
            Some((kind, text)) => Err(action.failed(io::Error::new(kind, text))),
        }
    }
}

/// A file object of our own. Children do not inherit it: std's descriptors are closed to them.
#[derive(Debug)]
pub(crate) struct Descriptor {
    file: File,
}

impl Descriptor {
    #[allow(clippy::unused_self, reason = "the contract's form")]
    pub(crate) fn is_shared_by_fork(&self) -> bool {
        false
    }

    pub(crate) fn number(&self) -> Number {
        Number(self.file.as_raw_handle())
    }

    #[allow(clippy::unused_self, reason = "the contract's form")]
    pub(crate) fn lend(&self) {}

    /// A program that closes handles of others is ended by the system's own checks, if at all.
    #[allow(clippy::unused_self, reason = "the contract's form")]
    pub(crate) fn is_own(&self) -> bool {
        true
    }

    #[allow(clippy::unused_self, reason = "the contract's form")]
    pub(crate) fn is_kept_on_fork(&self) -> bool {
        false
    }

    #[allow(clippy::unused_self, reason = "the contract's form")]
    pub(crate) fn may_be_idle(&self) -> bool {
        true
    }
}

/// The number of a handle, for a guard that has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(RawHandle);

// SAFETY: it is a number, which means the same to every thread of the process.
unsafe impl Send for Number {}
// SAFETY: as above.
unsafe impl Sync for Number {}

impl Number {
    /// Borrows the handle for as long as its owner is borrowed, which keeps it open meanwhile.
    pub(crate) fn borrow_from<T>(self, _owner: &T) -> BorrowedHandle<'_> {
        // SAFETY: a guard owns the handle whose number it has, and that leaves the guard only when the
        // guard itself ends: by `release`, `bequeath` and drop.
        unsafe { BorrowedHandle::borrow_raw(self.0) }
    }
}

/// Somebody who keeps the file to himself, or has it open still while it is being deleted, is
/// waited for, since that ends; at the deadline it is an error like any other.
pub(crate) fn open(
    name: &Name,
    options: &Options,
    deadline: &Deadline,
    _: Access,
    watch: &mut Option<Watch>,
) -> Result<Opened<Descriptor>, Failure> {
    let path = name.checked(Action::Open)?;
    let mut pauses = Pauses::up_to(options.retry_period);
    loop {
        let is_last = deadline.remaining() == Some(Duration::ZERO);
        match open_or_create(path, options) {
            Ok(file) => return Ok(Opened::Descriptor(Descriptor { file })),
            Err(failure) if is_last || !passes(&failure.source) => return Err(failure),
            Err(_) => {
                Watch::begin_once(watch, name, options, deadline);
                let waited = pause_before_retry(&mut pauses, deadline, watch.as_mut());
                if let Waited::GivenUp(waited) = waited {
                    return Ok(Opened::GivenUp(waited));
                }
            }
        }
    }
}

pub(crate) fn lacks_descriptors(failure: &Failure) -> bool {
    code(&failure.source) == Some(ERROR_TOO_MANY_OPEN_FILES)
}

/// `LockFileEx` asks for no more than reading.
pub(crate) fn needs_writing(_: &Failure) -> bool {
    false
}

/// Shows the wait to the observer if it is time to, and sleeps until the next attempt is due.
fn pause_before_retry(
    pauses: &mut Pauses,
    deadline: &Deadline,
    watch: Option<&mut Watch>,
) -> Waited {
    let pause = pauses.next(deadline.remaining());
    if let Some(watch) = watch {
        if watch.start() {
            watch.pause(pause);
            return watch.ended().map_or(Waited::Woken, Waited::GivenUp);
        }
    }
    if pause.is_zero() {
        thread::yield_now();
    } else {
        thread::sleep(pause);
    }
    Waited::Woken
}

fn passes(error: &io::Error) -> bool {
    matches!(code(error), Some(ERROR_SHARING_VIOLATION | ERROR_DELETE_PENDING))
}

fn open_or_create(path: &Path, options: &Options) -> Result<File, Failure> {
    let file = match open_with(path, options, false) {
        Err(error) if options.create && is_missing(&error) => {
            open_with(path, options, true).map_err(|error| Action::Create.failed(error))?
        }
        opened => opened.map_err(|error| Action::Open.failed(error))?,
    };
    let is_link = || file.metadata().map(|metadata| metadata.is_symlink());
    if !options.follow_links && is_link().map_err(|error| Action::Open.failed(error))? {
        let text = "it is a symbolic link, which this handle does not follow";
        return Err(Action::Open.failed(io::Error::new(io::ErrorKind::InvalidInput, text)));
    }
    Ok(file)
}

/// For reading only: `LockFileEx` asks for no more, and neither a read-only file nor a program
/// that denies others to write stands in the way. For its part it denies nobody anything.
fn open_with(path: &Path, options: &Options, create: bool) -> io::Result<File> {
    let no_follow = if options.follow_links { 0 } else { FILE_FLAG_OPEN_REPARSE_POINT };
    OpenOptions::new()
        .write(create) // std wants it beside `create`; what is asked for is `access_mode`.
        .create(create)
        .access_mode(GENERIC_READ)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
        .custom_flags(no_follow)
        .open(path)
        .map_err(explained)
}

pub(crate) fn is_current(
    name: &Name,
    descriptor: &Descriptor,
    follow_links: bool,
) -> Result<bool, Failure> {
    match open_to_look(name.checked(Action::Check)?, follow_links) {
        Ok(file) => identity::is_same(&file, &descriptor.file),
        // A name that is being deleted names nothing that could be opened any more.
        Err(error) if is_missing(&error) || code(&error) == Some(ERROR_DELETE_PENDING) => Ok(false),
        Err(error) => Err(error),
    }
    .map_err(|error| Action::Check.failed(error))
}

/// Without any access to its contents, which no sharing mode of somebody else's can refuse. It
/// may be a directory by now.
fn open_to_look(path: &Path, follow_links: bool) -> io::Result<File> {
    let no_follow = if follow_links { 0 } else { FILE_FLAG_OPEN_REPARSE_POINT };
    OpenOptions::new()
        .access_mode(0)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | no_follow)
        .open(path)
        .map_err(explained)
}

pub(crate) fn try_lock(descriptor: &Descriptor, mode: Mode) -> Result<bool, Failure> {
    let answer = match mode {
        Mode::Exclusive => FileExt::try_lock(&descriptor.file),
        Mode::Shared => FileExt::try_lock_shared(&descriptor.file),
    };
    match answer {
        Ok(()) => Ok(true),
        // ERROR_LOCK_VIOLATION, and nothing else.
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(Action::Lock.failed(error)),
    }
}

/// Untimed in the kernel's queue. Timed by trying again and again until the deadline, where the
/// last try is the caller's.
pub(crate) fn wait(
    descriptor: &Descriptor,
    options: &Options,
    deadline: &Deadline,
    mut watch: Option<&mut Watch>,
) -> Result<Waited, Failure> {
    let mut pauses = Pauses::up_to(options.retry_period);
    loop {
        match (deadline.remaining(), &watch) {
            (None, None) => return block(descriptor, options.mode),
            (Some(Duration::ZERO), _) => return Ok(Waited::Woken),
            _ => {}
        }
        let waited = pause_before_retry(&mut pauses, deadline, watch.as_deref_mut());
        if let Waited::GivenUp(_) = waited {
            return Ok(waited);
        }
        if try_lock(descriptor, options.mode)? {
            return Ok(Waited::Granted);
        }
    }
}

/// Our descriptors are synchronous, so the call returns when the lock is granted.
fn block(descriptor: &Descriptor, mode: Mode) -> Result<Waited, Failure> {
    let answer = match mode {
        Mode::Exclusive => FileExt::lock(&descriptor.file),
        Mode::Shared => FileExt::lock_shared(&descriptor.file),
    };
    match answer {
        Ok(()) => Ok(Waited::Granted),
        // The host has called `CancelSynchronousIo` for this thread: what a signal is elsewhere.
        Err(error) if code(&error) == Some(ERROR_OPERATION_ABORTED) => Ok(Waited::Woken),
        Err(error) => Err(Action::Lock.failed(error)),
    }
}

/// Who waits untimed is next, and who retries does not hurry: nobody has to.
pub(crate) fn give_way(_: Duration) {}

pub(crate) fn clock(_: Clock) -> usize {
    0
}

pub(crate) fn diagnose(_: &Name, failure: &Failure) -> Diagnosis {
    Diagnosis { kind: ErrorKind::of(&failure.source), advice: None }
}

pub(crate) fn unlock(descriptor: &Descriptor) -> Result<(), Failure> {
    FileExt::unlock(&descriptor.file).map_err(|error| Action::Unlock.failed(error))
}

pub(crate) fn downgrade(_: &Descriptor) -> Result<bool, Failure> {
    let text = "on Windows a lock is not converted";
    Err(Action::Lock.failed(io::Error::new(io::ErrorKind::Unsupported, text)))
}

/// The system keeps a lock by its process: it ends with this one, whoever inherits the descriptor.
pub(crate) fn bequeath(_: &Descriptor) -> Result<(), Failure> {
    let text = "on Windows a lock ends with the process that took it";
    Err(Action::Inherit.failed(io::Error::new(io::ErrorKind::Unsupported, text)))
}

pub(crate) fn generation() -> u32 {
    0
}

pub(crate) fn watch_forks() {}

/// Of the call that was made just now: `ERROR_ACCESS_DENIED` stands for several things, which
/// only the status beneath it tells apart.
fn explained(error: io::Error) -> io::Error {
    if code(&error) != Some(ERROR_ACCESS_DENIED) {
        return error;
    }
    // SAFETY: it reads a number of this thread's.
    match unsafe { RtlGetLastNtStatus() } {
        #[allow(clippy::cast_possible_wrap, reason = "std's form of it")]
        STATUS_DELETE_PENDING => io::Error::from_raw_os_error(ERROR_DELETE_PENDING as i32),
        STATUS_FILE_IS_A_DIRECTORY => {
            io::Error::new(io::ErrorKind::IsADirectory, "it is a directory")
        }
        _ => error,
    }
}

#[link(name = "ntdll")]
unsafe extern "system" {
    fn RtlGetLastNtStatus() -> NTSTATUS;
}

fn is_missing(error: &io::Error) -> bool {
    matches!(code(error), Some(ERROR_FILE_NOT_FOUND | ERROR_PATH_NOT_FOUND))
}

fn code(error: &io::Error) -> Option<u32> {
    error.raw_os_error()?.try_into().ok()
}
