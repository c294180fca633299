//! `CreateFile`, `LockFileEx`, and which file a path names.
//!
//! A lock is on all offsets that a file can have, the reference's byte 0 among them (L14). While
//! it lasts the system lets no other descriptor write the file, nor read it if the lock is
//! exclusive; opening, renaming and deleting it stay possible.

mod identity;
mod pauses;
pub(crate) mod restart_manager;

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

use crate::deadline::Deadline;
use crate::error::Action;
use crate::options::{Access, Mode, Options};
use crate::os::platform::{
    Observed, Opened, OsError, Platform, PlatformFile, PlatformPath, WaitOutcome, reborrow,
};

use pauses::Pauses;

/// An absolute path.
#[derive(Clone, Debug)]
pub(crate) struct LockPath {
    path: PathBuf,
    /// Why no file can have this path.
    fault: Option<(io::ErrorKind, &'static str)>,
}

impl LockPath {
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

    fn checked(&self, action: Action) -> Result<&Path, OsError> {
        match self.fault {
            None => Ok(&self.path),
            Some((kind, text)) => Err(action.failed(io::Error::new(kind, text))),
        }
    }
}

impl PlatformPath for LockPath {
    fn path(&self) -> &Path {
        &self.path
    }

    fn key(&self) -> &OsStr {
        self.path.as_os_str()
    }
}

/// A file object of the library's own. Children do not inherit it: std opens files as not inheritable. A program
/// that closes handles of others is ended by the system's own checks, if at all.
#[derive(Debug)]
pub(crate) struct OpenFile {
    file: File,
}

impl OpenFile {
    pub(crate) fn number(&self) -> RawDescriptor {
        RawDescriptor(self.file.as_raw_handle())
    }

    #[allow(clippy::unused_self, reason = "on Unix the descriptor is prepared for its borrower")]
    pub(crate) fn lend(&self) {}
}

impl PlatformFile for OpenFile {}

/// The number of a handle, for a guard that has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawDescriptor(RawHandle);

// SAFETY: it is a number, which means the same to every thread of the process.
unsafe impl Send for RawDescriptor {}
// SAFETY: as above.
unsafe impl Sync for RawDescriptor {}

impl RawDescriptor {
    /// Borrows the handle for as long as its owner is borrowed, which keeps it open meanwhile.
    pub(crate) fn borrow_from<T>(self, _owner: &T) -> BorrowedHandle<'_> {
        // SAFETY: a guard owns the handle whose number it has, and that leaves the guard only when the
        // guard itself ends: by `release`, `inherit_on_exec` and drop.
        unsafe { BorrowedHandle::borrow_raw(self.0) }
    }
}

pub(crate) enum Os {}

impl Platform for Os {
    type LockPath = LockPath;
    type OpenFile = OpenFile;

    /// A program that denies others the file, or has it open still while it is being deleted, is waited for, since that
    /// ends; at the deadline it is an error like any other.
    fn open(
        path: &LockPath,
        options: &Options,
        deadline: &Deadline,
        _: Access,
        mut observed: Option<&mut dyn Observed>,
    ) -> Result<Opened<OpenFile>, OsError> {
        let path = path.checked(Action::Open)?;
        let mut pauses = Pauses::up_to(options.retry_period);
        loop {
            let is_last = deadline.has_passed();
            match open_or_create(path, options) {
                Ok(file) => return Ok(Opened::File(OpenFile { file })),
                Err(error) if is_last || !passes(&error.source) => return Err(error),
                Err(_) => {
                    let outcome =
                        pause_before_retry(&mut pauses, deadline, reborrow(&mut observed));
                    if let WaitOutcome::Cancelled(elapsed) = outcome {
                        return Ok(Opened::Cancelled(elapsed));
                    }
                }
            }
        }
    }

    fn try_lock(file: &OpenFile, mode: Mode) -> Result<bool, OsError> {
        let answer = match mode {
            Mode::Exclusive => FileExt::try_lock(&file.file),
            Mode::Shared => FileExt::try_lock_shared(&file.file),
        };
        match answer {
            Ok(()) => Ok(true),
            // ERROR_LOCK_VIOLATION, and nothing else.
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(Action::Lock.failed(error)),
        }
    }

    /// Untimed in the kernel's queue. Timed by polling until the deadline, where the last attempt is the caller's.
    fn wait(
        file: &OpenFile,
        options: &Options,
        deadline: &Deadline,
        mut observed: Option<&mut dyn Observed>,
    ) -> Result<WaitOutcome, OsError> {
        let mut pauses = Pauses::up_to(options.retry_period);
        loop {
            match (deadline.remaining(), &observed) {
                (None, None) => return block(file, options.mode),
                (Some(Duration::ZERO), _) => return Ok(WaitOutcome::Woken),
                _ => {}
            }
            let outcome = pause_before_retry(&mut pauses, deadline, reborrow(&mut observed));
            if let WaitOutcome::Cancelled(_) = outcome {
                return Ok(outcome);
            }
            if Self::try_lock(file, options.mode)? {
                return Ok(WaitOutcome::Granted);
            }
        }
    }

    fn is_current(path: &LockPath, file: &OpenFile, follow_links: bool) -> Result<bool, OsError> {
        match open_to_look(path.checked(Action::Verify)?, follow_links) {
            Ok(named) => identity::is_same(&named, &file.file),
            // A name that is being deleted names nothing that could be opened any more.
            Err(error) if is_missing(&error) || code(&error) == Some(ERROR_DELETE_PENDING) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
        .map_err(|error| Action::Verify.failed(error))
    }

    fn unlock(file: &OpenFile) -> Result<(), OsError> {
        FileExt::unlock(&file.file).map_err(|error| Action::Unlock.failed(error))
    }

    fn downgrade(_: &OpenFile) -> Result<bool, OsError> {
        let text = "Windows does not convert locks";
        Err(Action::Lock.failed(io::Error::new(io::ErrorKind::Unsupported, text)))
    }

    /// The system keeps a lock by its process: it ends with this one, whichever process inherits the handle.
    fn inherit_on_exec(_: &OpenFile) -> Result<(), OsError> {
        let text = "on Windows a lock ends with the process that took it";
        Err(Action::Inherit.failed(io::Error::new(io::ErrorKind::Unsupported, text)))
    }

    fn lacks_descriptors(error: &OsError) -> bool {
        code(&error.source) == Some(ERROR_TOO_MANY_OPEN_FILES)
    }
}

/// The files are opened as synchronous, so the call returns when the lock is granted.
fn block(file: &OpenFile, mode: Mode) -> Result<WaitOutcome, OsError> {
    let answer = match mode {
        Mode::Exclusive => FileExt::lock(&file.file),
        Mode::Shared => FileExt::lock_shared(&file.file),
    };
    match answer {
        Ok(()) => Ok(WaitOutcome::Granted),
        // The host has called `CancelSynchronousIo` for this thread: what a signal is on Unix.
        Err(error) if code(&error) == Some(ERROR_OPERATION_ABORTED) => Ok(WaitOutcome::Woken),
        Err(error) => Err(Action::Lock.failed(error)),
    }
}

/// Sleeps until the next attempt is due, or until the observer cancels the wait.
fn pause_before_retry(
    pauses: &mut Pauses,
    deadline: &Deadline,
    observed: Option<&mut dyn Observed>,
) -> WaitOutcome {
    let pause = pauses.next(deadline.remaining());
    if let Some(observed) = observed {
        if observed.start() {
            observed.pause(pause);
            return observed.cancelled().map_or(WaitOutcome::Woken, WaitOutcome::Cancelled);
        }
    }
    if pause.is_zero() {
        thread::yield_now();
    } else {
        thread::sleep(pause);
    }
    WaitOutcome::Woken
}

fn passes(error: &io::Error) -> bool {
    matches!(code(error), Some(ERROR_SHARING_VIOLATION | ERROR_DELETE_PENDING))
}

fn open_or_create(path: &Path, options: &Options) -> Result<File, OsError> {
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

/// Opens for reading only: `LockFileEx` requires no more, and a read-only file or a program
/// that denies others to write does not prevent it. Its own sharing mode denies nothing.
fn open_with(path: &Path, options: &Options, create: bool) -> io::Result<File> {
    let no_follow = if options.follow_links { 0 } else { FILE_FLAG_OPEN_REPARSE_POINT };
    OpenOptions::new()
        .write(create) // std requires it beside `create`; the access is that of `access_mode`.
        .create(create)
        .access_mode(GENERIC_READ)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
        .custom_flags(no_follow)
        .open(path)
        .map_err(explained)
}

/// Opens without any access to the contents, which no sharing mode of another program can refuse. The path
/// may name a directory by now.
fn open_to_look(path: &Path, follow_links: bool) -> io::Result<File> {
    let no_follow = if follow_links { 0 } else { FILE_FLAG_OPEN_REPARSE_POINT };
    OpenOptions::new()
        .access_mode(0)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | no_follow)
        .open(path)
        .map_err(explained)
}

/// Refines the error of the last call: `ERROR_ACCESS_DENIED` stands for several NT statuses.
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
