//! Why the system refused, and what to do about it.
//!
//! Asked when it has happened already, so what is found may have changed since: what is not certain
//! is not said.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Resource, geteuid, getrlimit};

use crate::error::{Action, ErrorKind};
use crate::os::LockPath;
use crate::os::platform::{OsError, PlatformPath};
use crate::os::unix::opening::NOT_FOLLOWED;

use super::hint::Hint;
use super::users;

pub(super) fn explain(path: &LockPath, error: &OsError) -> Hint {
    let OsError { action, source, lacks_write_access, .. } = error;
    let kind = match (action, Errno::from_io_error(source)) {
        (_, Some(Errno::NAMETOOLONG | Errno::LOOP)) => ErrorKind::InvalidPath,
        (Action::Lock, Some(Errno::INVAL)) => ErrorKind::Unsupported,
        _ if *lacks_write_access => ErrorKind::PermissionDenied,
        (Action::Lock | Action::Unlock, Some(Errno::NOLCK)) if is_on_network(path.path()) => {
            ErrorKind::Unsupported
        }
        (_, Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOLCK)) => {
            ErrorKind::ResourceExhausted
        }
        _ => ErrorKind::of(source),
    };
    let text = Errno::from_io_error(source).and_then(|error| match error {
        _ if *lacks_write_access => Some(not_writable(path)),
        _ if path.is_absolute() => advise(path.path(), *action, error),
        Errno::NOENT if path.is_in_deleted_directory() => {
            Some("the directory that was the current one for this handle has been deleted".into())
        }
        _ => advise_anywhere(*action, error),
    });
    Hint { kind, text }
}

/// What can be said without a look at the path.
fn advise_anywhere(action: Action, error: Errno) -> Option<String> {
    match (error, action) {
        (Errno::MFILE, _) => Some(format!(
            "this process has as many descriptors open as it may ({}): close some, or raise the limit \
             (ulimit -n)",
            getrlimit(Resource::Nofile).current?
        )),
        (Errno::NFILE, _) => Some(
            "the whole system has as many files open as it may: raise the limit (sysctl fs.file-max)"
                .into(),
        ),
        (Errno::AGAIN, Action::Create | Action::Open) => Some(
            "somebody has a lease on it, a file server for instance, and has not given it back yet"
                .into(),
        ),
        _ => None,
    }
}

fn advise(path: &Path, action: Action, error: Errno) -> Option<String> {
    match (error, action) {
        (Errno::LOOP, Action::Query) if is_sound_link(path) => Some(NOT_FOLLOWED.into()),
        (Errno::NOENT | Errno::NOTDIR, Action::Create | Action::Open) => missing(path),
        (Errno::ACCESS | Errno::PERM, Action::Create) => not_to_be_written(path),
        (Errno::ACCESS | Errno::PERM, Action::Open | Action::Verify | Action::Query) => {
            not_to_be_opened(path)
        }
        (Errno::ROFS, Action::Create) => Some(format!(
            "{} is read-only: a lock file that is there already can be locked, but none can be made",
            place(path)
        )),
        (Errno::NOSPC | Errno::DQUOT, Action::Create) => Some(format!(
            "there is no room for one more file on {}, not even an empty one",
            place(path)
        )),
        (Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL, Action::Lock) => Some(
            format!("{} may have no locks: keep lock files on a local file system", place(path)),
        ),
        (
            Errno::IO
            | Errno::TIMEDOUT
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NOTCONN
            | Errno::CONNREFUSED,
            _,
        ) if is_on_network(path) => Some(format!(
            "{} does not answer, or has lost its state: see whether its server runs, or mount it again",
            place(path)
        )),
        (Errno::STALE, _) => Some(format!(
            "the server of {} has no such file any more: keep programs from deleting lock files, or \
             mount it again",
            place(path)
        )),
        _ => advise_anywhere(action, error),
    }
}

/// Is it a link that leads somewhere, or at least to a name, and not round and round?
fn is_sound_link(path: &Path) -> bool {
    let is_loop = |error: &io::Error| Errno::from_io_error(error) == Some(Errno::LOOP);
    path.is_symlink() && !fs::metadata(path).as_ref().is_err_and(is_loop)
}

/// The first directory on the way that is not there.
fn missing(path: &Path) -> Option<String> {
    let mut ways: Vec<&Path> = path.ancestors().skip(1).collect();
    ways.reverse();
    ways.into_iter().find_map(|way| match fs::metadata(way) {
        Ok(it) if !it.is_dir() => Some(format!("{} is not a directory", way.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Some(format!("there is no directory {}", way.display()))
        }
        _ => None,
    })
}

/// The directory does not want one more file of this user's.
fn not_to_be_written(path: &Path) -> Option<String> {
    let directory = path.parent()?;
    let about = fs::metadata(directory).ok();
    let Some(about) = about else { return not_to_be_entered(path) };
    Some(format!(
        "user {} may not make files in {}, which is {}'s (mode {}): let somebody else make the lock \
         file, or keep it elsewhere",
        me(),
        directory.display(),
        users::name(about.uid()),
        mode(&about)
    ))
}

fn not_to_be_opened(path: &Path) -> Option<String> {
    let Ok(about) = fs::metadata(path) else { return not_to_be_entered(path) };
    let sticky = path.parent().and_then(|parent| fs::metadata(parent).ok());
    let sticky = sticky.is_some_and(|parent| parent.mode() & 0o1002 == 0o1002);
    let elsewhere = if sticky { ", in a directory where everybody may make files" } else { "" };
    Some(format!(
        "user {} may not read it; it is {}'s (mode {}){elsewhere}: let its readers lock it (chmod a+r), or \
         keep the lock file elsewhere",
        me(),
        users::name(about.uid()),
        mode(&about)
    ))
}

/// NFS grants exclusive locks only to files that are open for writing.
fn not_writable(path: &LockPath) -> String {
    let place = if path.is_absolute() { place(path.path()) } else { "its file system".to_owned() };
    format!(
        "{place} requires write access for an exclusive lock, which user {} does not have (chmod a+w): or take a \
         shared lock",
        me()
    )
}

/// The first directory on the way that may not be searched.
fn not_to_be_entered(path: &Path) -> Option<String> {
    let mut ways: Vec<&Path> = path.ancestors().collect();
    ways.reverse();
    let forbidden = |way: &&Path| {
        fs::metadata(way).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    let closed = ways.into_iter().find(forbidden)?.parent()?;
    Some(format!("user {} may not enter {}", me(), closed.display()))
}

/// As whom this process opens files.
fn me() -> String {
    users::name(geteuid().as_raw())
}

fn mode(about: &Metadata) -> String {
    format!("{:04o}", about.mode() & 0o7777)
}

/// The file system that the path is on, or would be, in the words of who mounted it.
#[cfg(target_os = "linux")]
fn place(path: &Path) -> String {
    use crate::report::linux::mounts::Mount;
    let Some(mount) = path.ancestors().find_map(Mount::at) else { return "its file system".into() };
    let without_locks = ["nolock", "nobrl"].into_iter().filter(|option| mount.has(option));
    let words: Vec<&str> = [mount.kind.as_str()].into_iter().chain(without_locks).collect();
    format!("{} ({})", mount.point.display(), words.join(", "))
}

#[cfg(not(target_os = "linux"))]
fn place(_: &Path) -> String {
    "its file system".into()
}

#[cfg(target_os = "linux")]
fn is_on_network(path: &Path) -> bool {
    crate::report::linux::mounts::Mount::at(path).is_some_and(|mount| mount.is_network())
}

#[cfg(not(target_os = "linux"))]
fn is_on_network(_: &Path) -> bool {
    false
}
