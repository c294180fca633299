//! Calls of the Windows API for the tests.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::Path;
use std::thread::JoinHandle;

use locket::{Action, LockError};
use windows_sys::Win32::Foundation::{ERROR_LOCK_VIOLATION, WAIT_TIMEOUT};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_DISPOSITION_INFO, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE,
    FileDispositionInfo, LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx,
    SYNCHRONIZE, SetFileInformationByHandle, UnlockFileEx,
};
use windows_sys::Win32::System::Console::{CTRL_BREAK_EVENT, GenerateConsoleCtrlEvent};
use windows_sys::Win32::System::IO::{CancelSynchronousIo, OVERLAPPED};
use windows_sys::Win32::System::Threading::{
    GetProcessHandleCount, OpenProcess, PROCESS_QUERY_INFORMATION, WaitForSingleObject,
};

use crate::support::{Scratch, skip};

/// Returns whether this is real Windows. If not, reports the check as skipped.
pub(crate) fn is_real_windows(check: &str, wine: &str) -> bool {
    let system = std::env::var_os("SystemRoot").unwrap_or_else(|| r"C:\windows".into());
    let is_wine = Path::new(&system).join(r"system32\winecfg.exe").exists();
    if is_wine {
        skip(check, &format!("real Windows only: {wine}"));
    }
    !is_wine
}

/// The share mode that allows everything.
pub(crate) const ALL: u32 = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

/// Opens a file for reading and writing, with this share mode.
pub(crate) fn open(path: &Path, share: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).share_mode(share).open(path)
}

/// Returns whether some bytes can be locked. Unlocks them again.
pub(crate) fn can_lock(file: &File, offset: u64, length: u64) -> bool {
    match lock(file, offset, length) {
        Ok(()) => {
            unlock(file, offset, length).expect("it is locked");
            true
        }
        Err(error) if is(&error, ERROR_LOCK_VIOLATION) => false,
        Err(error) => panic!("an error of another kind: {error}"),
    }
}

pub(crate) fn lock(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let flags = LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY;
    let mut at = overlapped(offset);
    // SAFETY: the handle is open as long as the file is borrowed. The handle was not opened for overlapped use, so the call
    // has finished with `at` when it returns.
    done(unsafe {
        LockFileEx(file.as_raw_handle(), flags, 0, low(length), high(length), &raw mut at)
    })
}

fn unlock(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let mut at = overlapped(offset);
    // SAFETY: as in `lock`.
    done(unsafe { UnlockFileEx(file.as_raw_handle(), 0, low(length), high(length), &raw mut at) })
}

fn overlapped(offset: u64) -> OVERLAPPED {
    let mut at = OVERLAPPED::default();
    at.Anonymous.Anonymous.Offset = low(offset);
    at.Anonymous.Anonymous.OffsetHigh = high(offset);
    at
}

#[allow(clippy::cast_possible_truncation, reason = "the low half is wanted")]
fn low(number: u64) -> u32 {
    number as u32
}

fn high(number: u64) -> u32 {
    low(number >> 32)
}

/// Marks a file for deletion when its last handle is closed. Until then it cannot be opened. (`std::fs::remove_file`
/// uses the other kind of deletion, which frees the name immediately.)
pub(crate) fn delete_at_last_close(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().access_mode(DELETE).open(path)?;
    let info = FILE_DISPOSITION_INFO { DeleteFile: true };
    // SAFETY: the handle is open, and the information is one byte.
    done(unsafe {
        SetFileInformationByHandle(
            file.as_raw_handle(),
            FileDispositionInfo,
            (&raw const info).cast(),
            1,
        )
    })
}

/// Cancels the system call in which a thread waits, if it is in one.
pub(crate) fn cancel<T>(thread: &JoinHandle<T>) {
    // SAFETY: the handle is open as long as the thread is borrowed.
    unsafe { CancelSynchronousIo(thread.as_raw_handle()) };
}

/// Sends Ctrl-Break, the only console event that can be sent to one process group.
pub(crate) fn press_ctrl_break(group: u32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    done(unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, group) })
}

pub(crate) fn handles_of(pid: u32) -> io::Result<u32> {
    let process = process(pid, PROCESS_QUERY_INFORMATION)?;
    let mut count = 0;
    // SAFETY: the handle is open, and one number is written.
    done(unsafe { GetProcessHandleCount(process.as_raw_handle(), &raw mut count) })?;
    Ok(count)
}

pub(crate) fn is_alive(pid: u32) -> bool {
    // SAFETY: the handle is open.
    process(pid, SYNCHRONIZE).is_ok_and(|process| unsafe {
        WaitForSingleObject(process.as_raw_handle(), 0) == WAIT_TIMEOUT
    })
}

fn process(pid: u32, access: u32) -> io::Result<OwnedHandle> {
    // SAFETY: no memory is involved. A handle that is not null is open, and owned by this process.
    unsafe {
        let handle = OpenProcess(access, 0, pid);
        if handle.is_null() {
            return Err(io::Error::last_os_error());
        }
        Ok(OwnedHandle::from_raw_handle(handle))
    }
}

/// Returns whether one attempt of a handle of this process gets the lock.
#[track_caller]
pub(crate) fn is_free(scratch: &Scratch) -> bool {
    match scratch.lock().try_lock() {
        Ok(guard) => guard.release().is_ok(),
        Err(error) if error.is_contended() => false,
        Err(error) => panic!("an error of another kind: {error}"),
    }
}

#[track_caller]
pub(crate) fn assert_refused<T>(outcome: Result<T, LockError>, action: Action, kind: ErrorKind) {
    let error = outcome.map(drop).expect_err("it should be refused");
    let source = error.io_error().map(io::Error::kind);
    assert_eq!((error.action(), source), (action, Some(kind)), "{error}");
}

fn done(answer: i32) -> io::Result<()> {
    if answer == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

pub(crate) fn is(error: &io::Error, code: u32) -> bool {
    error.raw_os_error().map(i64::from) == Some(code.into())
}
