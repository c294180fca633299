//! Opening and creating the lock file, unnoticed by programs that watch it or use it (L8).
//!
//! The file is opened for reading alone. A descriptor that is open for writing makes a program
//! impossible to execute (`ETXTBSY`), breaks read leases, copies the file up on overlayfs, and wakes
//! watchers of `IN_CLOSE_WRITE` when it is closed.
//!
//! What is no file is not opened, since that may be an act: an open FIFO releases a writer that waits
//! for its reader, and a device may rewind a tape or arm a watchdog. `stat` tells before the open,
//! and `fstat` after it, of what was opened.

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

use super::lock_path::{AtPath, LockPath};
use super::sleep::pause_before_retry;

pub(crate) const NOT_FOLLOWED: &str = "it is a symbolic link, which this handle does not follow";
/// As many symbolic links as Linux follows in one path: see `path_resolution(7)`.
const LINKS: u32 = 40;
/// How often a file may be gone and back between the two ways to open it.
const ATTEMPTS: u32 = 100;

/// Another process may have a lease on the file (`F_SETLEASE`; file servers do): `open` answers
/// `EAGAIN`, and the kernel asks that process to give the lease back, which takes a while. To sleep
/// in `open` would be to sleep past the deadline.
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
            return Err(error.because("the file comes and goes faster than it can be opened"));
        }
    }
}

/// Without `O_CREAT`, which `fs.protected_regular` forbids for another user's file in a sticky
/// directory: see `proc_sys_fs(5)`.
fn open_existing(
    at: AtPath<'_>,
    options: &Options,
    access: Access,
) -> Result<(File, Stat), OsError> {
    let flags = if options.follow_links { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    let failed = |error: Errno| Action::Open.failed(error);
    match rustix::fs::statat(at.directory, at.path, flags) {
        Ok(stat) => check_type(&stat)?,
        // That there is no file is for `open` to say.
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
        // Looked at without being followed. Each system has an error of its own for the `open`.
        FileType::Symlink => Err(Action::Open.failed(Errno::LOOP).because(NOT_FOLLOWED)),
        FileType::Fifo => Err(Action::Open
            .failed(Errno::INVAL)
            .because("it is a FIFO: to open it may release a process that waits at its other end")),
        FileType::CharacterDevice | FileType::BlockDevice => Err(Action::Open
            .failed(Errno::INVAL)
            .because("it is a device: to open it may do something to it")),
        // A socket is refused by the system itself (`ENXIO`).
        _ => Ok(()),
    }
}

/// With `O_EXCL`, so that nothing is opened that was there already. It follows no link.
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
        // Another user may have made it since, one that this user may open but not create.
        Err(error) => open_existing(at, options, access).map_err(|_| Action::Create.failed(error)),
    }
}

/// Returns the path of the missing file that a path leads to by symbolic links: there the file is
/// to be created.
///
/// A link in a directory where every user may make files is followed only if it belongs to the
/// caller or to the owner of the directory, so that no other user decides where this one makes a
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
                 make files, and the file that it leads to does not exist",
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

/// `O_NONBLOCK` is for the lease that would be waited for, and for the FIFO that has just taken the
/// place of the file; to `flock` it means nothing. `O_NOCTTY` is for a terminal in that place.
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
