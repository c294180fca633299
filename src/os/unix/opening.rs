//! Opens and creates the lock file without effects on programs that watch or use it (L8).
//!
//! The file is opened for reading alone. A descriptor that is open for writing makes a program
//! impossible to execute (`ETXTBSY`), breaks read leases, copies the file up on overlayfs, and wakes
//! watchers of `IN_CLOSE_WRITE` when it is closed.
//!
//! A FIFO or a device is not opened, since the open may have an effect: of a FIFO it releases a writer that waits
//! for a reader, and a device may rewind a tape or arm a watchdog. `stat` tells the type before the open,
//! and `fstat` after it.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, OFlags, RawMode, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::deadline::Deadline;
use crate::error::Action;
use crate::options::{Access, Options};
use crate::os::platform::{Observed, Opened, OsError, WaitOutcome, reborrow};

use crate::os::unix::lock_path::{AtPath, LockPath};
use crate::os::unix::sleep::pause_before_retry;

pub(crate) const NOT_FOLLOWED: &str = "it is a symbolic link, which this handle does not follow";
/// The number of symbolic links that Linux follows in one path: path_resolution(7).
const LINKS: u32 = 40;
/// How often the file may be deleted and created again between the two ways to open it.
const ATTEMPTS: u32 = 100;

/// Opens the lock file.
///
/// Another process may have a lease on the file (`F_SETLEASE`, fcntl(2); file servers do): `open` with `O_NONBLOCK` answers
/// `EAGAIN`, and the kernel asks that process to give the lease back, which takes a while. A blocking
/// `open` would sleep past the deadline.
pub(super) fn open(
    path: &LockPath,
    options: &Options,
    deadline: &Deadline,
    access: Access,
    mut observed: Option<&mut dyn Observed>,
) -> Result<Opened<(File, Stat)>, OsError> {
    let at = path.at(Action::Open)?;
    loop {
        let is_last = deadline.has_passed();
        match open_or_create(at, options, access) {
            Err(error) if !is_last && is(&error, Errno::AGAIN) => {
                let outcome = pause_before_retry(options, deadline, reborrow(&mut observed));
                if let WaitOutcome::Cancelled(elapsed) = outcome {
                    return Ok(Opened::Cancelled(elapsed));
                }
            }
            opened => return opened.map(Opened::File),
        }
    }
}

fn open_or_create(
    at: AtPath<'_>,
    options: &Options,
    access: Access,
) -> Result<(File, Stat), OsError> {
    let mut attempts = 0;
    loop {
        let error = match open_existing(at, options, access) {
            Err(error) if options.create && is(&error, Errno::NOENT) => {
                match create(at, options, access) {
                    Err(error) if is(&error, Errno::EXIST) => error,
                    created => return created,
                }
            }
            opened => return opened,
        };
        attempts += 1;
        if attempts == ATTEMPTS {
            return Err(
                error.because("the file is deleted and created faster than it can be opened")
            );
        }
    }
}

/// Opens without `O_CREAT`, which `fs.protected_regular` forbids for another user's file in a sticky
/// directory (proc_sys_fs(5)).
fn open_existing(
    at: AtPath<'_>,
    options: &Options,
    access: Access,
) -> Result<(File, Stat), OsError> {
    let flags = if options.follow_links { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    let failed = |error: Errno| Action::Open.failed(error);
    match rustix::fs::statat(at.directory, at.path, flags) {
        Ok(stat) => check_type(&stat)?,
        // The `open` returns the error.
        Err(Errno::NOENT) => {}
        Err(error) => return Err(failed(error)),
    }
    let file = match access {
        Access::ReadWrite => open_with(at, options, OFlags::RDWR),
        Access::Least => match open_with(at, options, OFlags::RDONLY) {
            Err(refusal @ (Errno::ACCESS | Errno::PERM)) => open_with(at, options, OFlags::WRONLY)
                .map_err(|error| match error {
                    Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::TXTBSY => refusal,
                    error => error,
                }),
            opened => opened,
        },
    }
    .map_err(failed)?;
    let stat = rustix::fs::fstat(&file).map_err(failed)?;
    check_type(&stat)?;
    Ok((file, stat))
}

fn check_type(stat: &Stat) -> Result<(), OsError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Err(Action::Open.failed(Errno::ISDIR)),
        // Reported here, since each system has another error for the `open`.
        FileType::Symlink => Err(Action::Open.failed(Errno::LOOP).because(NOT_FOLLOWED)),
        FileType::Fifo => Err(Action::Open.failed(Errno::INVAL).because(
            "it is a FIFO, and an open may release a process that waits at its other end",
        )),
        FileType::CharacterDevice | FileType::BlockDevice => Err(Action::Open
            .failed(Errno::INVAL)
            .because("it is a device, and an open may have an effect on it")),
        // The system itself refuses to open a socket (`ENXIO`).
        _ => Ok(()),
    }
}

/// Creates the file with `O_EXCL`, so that no existing file is opened and no link is followed.
fn create(at: AtPath<'_>, options: &Options, access: Access) -> Result<(File, Stat), OsError> {
    let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::EXCL;
    let created = match open_with(at, options, flags) {
        Err(Errno::EXIST) if options.follow_links => {
            open_with(at.with(&end_of_links(at)?), options, flags)
        }
        created => created,
    };
    match created {
        Ok(file) => {
            let stat = rustix::fs::fstat(&file).map_err(|error| Action::Create.failed(error))?;
            Ok((file, stat))
        }
        Err(Errno::EXIST) => Err(Action::Create.failed(Errno::EXIST)),
        // Another user may have created the file since, and this user may open it.
        Err(error) => open_existing(at, options, access).map_err(|_| Action::Create.failed(error)),
    }
}

/// Returns the path of the missing file that a path leads to by symbolic links: the file is created there.
///
/// A link in a directory where every user may create files is followed only if it belongs to the
/// caller or to the owner of the directory, so that no other user decides where this one creates a
/// file. Linux has that rule as `fs.protected_symlinks` (`proc_sys_fs(5)`), which may be off. The
/// links are followed here, and the file at their end is created with `O_EXCL`: no link that has not
/// passed the rule is followed.
fn end_of_links(at: AtPath<'_>) -> Result<CString, OsError> {
    let failed = |error: Errno| Action::Create.failed(error);
    let mut path = PathBuf::from(OsStr::from_bytes(at.path.to_bytes()));
    for _ in 0..LINKS {
        let link = match rustix::fs::statat(at.directory, &path, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_symlink() => stat,
            Ok(_) | Err(Errno::NOENT) => {
                let path = CString::new(path.into_os_string().into_vec());
                return path.map_err(|_| failed(Errno::INVAL));
            }
            Err(error) => return Err(failed(error)),
        };
        let directory = match path.parent() {
            None => Path::new("/"),
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
        };
        let about =
            rustix::fs::statat(at.directory, directory, AtFlags::empty()).map_err(failed)?;
        if !may_follow(&link, &about) {
            return Err(failed(Errno::ACCESS).because(
                "it is a symbolic link that another user made in a directory where every user may \
                 create files, and the file that it leads to does not exist",
            ));
        }
        let target = rustix::fs::readlinkat(at.directory, &path, Vec::new()).map_err(failed)?;
        path = directory.join(OsStr::from_bytes(target.to_bytes()));
    }
    Err(failed(Errno::LOOP))
}

fn may_follow(link: &Stat, directory: &Stat) -> bool {
    const STICKY_AND_WRITABLE: RawMode = 0o1002;
    directory.st_mode & STICKY_AND_WRITABLE != STICKY_AND_WRITABLE
        || link.st_uid == geteuid().as_raw()
        || link.st_uid == directory.st_uid
}

/// Opens with `O_NONBLOCK` against a wait for a lease or for the other end of a FIFO that has just replaced the
/// file; it has no effect on `flock`. `O_NOCTTY` is against a terminal in that place.
fn open_with(at: AtPath<'_>, options: &Options, flags: OFlags) -> Result<File, Errno> {
    let mut flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    flags.set(OFlags::NOFOLLOW, !options.follow_links);
    #[allow(clippy::cast_possible_truncation, reason = "types vary by platform")]
    let mode = rustix::fs::Mode::from_raw_mode(options.create_mode as RawMode);
    rustix::fs::openat(at.directory, at.path, flags, mode).map(File::from)
}

fn is(error: &OsError, number: Errno) -> bool {
    Errno::from_io_error(&error.source) == Some(number)
}
