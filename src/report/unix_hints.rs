//! The kind of an error on Unix, and a hint: why the system refused, and what to do about it.
//!
//! The look at the path comes after the failed call, and the path may have changed since. A hint says only what is certain.

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
use crate::report::users;

pub(super) fn explain(path: &LockPath, error: &OsError) -> (ErrorKind, Option<String>) {
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
    let hint = Errno::from_io_error(source).and_then(|error| match error {
        _ if *lacks_write_access => Some(not_writable(path)),
        _ if path.is_absolute() => hint_for(path.path(), *action, error),
        Errno::NOENT if path.is_in_deleted_directory() => {
            Some("the current directory in which the handle was made has been deleted".into())
        }
        _ => hint_without_path(*action, error),
    });
    (kind, hint)
}

/// Returns what can be said without a look at the path.
fn hint_without_path(action: Action, error: Errno) -> Option<String> {
    match (error, action) {
        (Errno::MFILE, _) => Some(format!(
            "this process has reached its limit of open descriptors ({}): close some, or raise the limit \
             (ulimit -n)",
            getrlimit(Resource::Nofile).current?
        )),
        (Errno::NFILE, _) => Some(
            "the system has reached its limit of open files: raise the limit (sysctl fs.file-max)"
                .into(),
        ),
        (Errno::AGAIN, Action::Create | Action::Open) => Some(
            "another process, a file server for instance, has a lease on it and has not given it back yet"
                .into(),
        ),
        _ => None,
    }
}

fn hint_for(path: &Path, action: Action, error: Errno) -> Option<String> {
    match (error, action) {
        (Errno::LOOP, Action::Query) if is_sound_link(path) => Some(NOT_FOLLOWED.into()),
        (Errno::NOENT | Errno::NOTDIR, Action::Create | Action::Open) => missing(path),
        (Errno::ACCESS | Errno::PERM, Action::Create) => not_creatable(path),
        (Errno::ACCESS | Errno::PERM, Action::Open | Action::Verify | Action::Query) => {
            not_readable(path)
        }
        (Errno::ROFS, Action::Create) => Some(format!(
            "{} is read-only: an existing lock file can be locked, but none can be created",
            place(path)
        )),
        (Errno::NOSPC | Errno::DQUOT, Action::Create) => {
            Some(format!("{} has no space for another file, even an empty one", place(path)))
        }
        (Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL, Action::Lock) => {
            Some(format!(
                "{} may not support locks: keep lock files on a local file system",
                place(path)
            ))
        }
        (
            Errno::IO
            | Errno::TIMEDOUT
            | Errno::HOSTDOWN
            | Errno::HOSTUNREACH
            | Errno::NOTCONN
            | Errno::CONNREFUSED,
            _,
        ) if is_on_network(path) => Some(format!(
            "{} does not answer, or has lost its state: check that its server runs, or mount it again",
            place(path)
        )),
        (Errno::STALE, _) => Some(format!(
            "the server of {} no longer has the file: keep programs from deleting lock files, or \
             mount it again",
            place(path)
        )),
        _ => hint_without_path(action, error),
    }
}

/// Returns whether the path is a symbolic link that does not lead back to itself.
fn is_sound_link(path: &Path) -> bool {
    let is_loop = |error: &io::Error| Errno::from_io_error(error) == Some(Errno::LOOP);
    path.is_symlink() && !fs::metadata(path).as_ref().is_err_and(is_loop)
}

/// Names the first directory on the way that is missing.
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

/// Names the directory in which this user may not create files.
fn not_creatable(path: &Path) -> Option<String> {
    let directory = path.parent()?;
    let about = fs::metadata(directory).ok();
    let Some(about) = about else { return not_searchable(path) };
    Some(format!(
        "user {} cannot create files in {} (owner {}, mode {}): create the lock file beforehand, or choose another \
         directory",
        effective_user(),
        directory.display(),
        users::name(about.uid()),
        mode(&about)
    ))
}

/// Names the owner of a file that this user may not open.
fn not_readable(path: &Path) -> Option<String> {
    let Ok(about) = fs::metadata(path) else { return not_searchable(path) };
    let sticky = path.parent().and_then(|parent| fs::metadata(parent).ok());
    let sticky = sticky.is_some_and(|parent| parent.mode() & 0o1002 == 0o1002);
    let place = if sticky { ", in a directory where every user may create files" } else { "" };
    Some(format!(
        "user {} cannot read it (owner {}, mode {}){place}: give its users read access (chmod a+r), or choose another \
         lock file",
        effective_user(),
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
        effective_user()
    )
}

/// Names the first directory on the way that this user may not search.
fn not_searchable(path: &Path) -> Option<String> {
    let mut ways: Vec<&Path> = path.ancestors().collect();
    ways.reverse();
    let forbidden = |way: &&Path| {
        fs::metadata(way).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    };
    let closed = ways.into_iter().find(forbidden)?.parent()?;
    Some(format!("user {} cannot search {} (chmod +x)", effective_user(), closed.display()))
}

/// Returns the user whose permissions count when this process opens files.
fn effective_user() -> String {
    users::name(geteuid().as_raw())
}

fn mode(about: &Metadata) -> String {
    format!("{:04o}", about.mode() & 0o7777)
}

/// Returns the mount point that the path is on, or would be, with its type and the options that switch locks off.
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
