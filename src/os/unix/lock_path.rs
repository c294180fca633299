//! The path of a lock: absolute, or where an absolute path does not work, relative to a directory that is kept open.

use std::env;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use crate::error::Action;
use crate::os::platform::{OsError, PlatformPath};

use crate::os::unix::own_file::OwnFile;

/// A path as it was resolved when its handle was made (L10).
#[derive(Clone, Debug)]
pub(crate) struct LockPath {
    /// Absolute, for messages; as given if the current directory has no path.
    path: PathBuf,
    /// In the form that system calls take, or the reason that no file can have this path.
    raw: Result<CString, (Errno, &'static str)>,
    /// The directory that `raw` is relative to, where an absolute path does not lead to it.
    directory: Option<Arc<Directory>>,
}

/// A directory that is kept open, and a path that is relative to it.
///
/// An absolute path does not work if a directory on the way is closed to this user, if the whole is too long
/// for the system, or if the path of the directory leads to another one by now (it was renamed, or
/// another file system is mounted over it). A directory that is kept open prevents its mount from being unmounted.
#[derive(Debug)]
struct Directory {
    file: OwnFile,
    relative: OsString,
    /// The key of the path: see `PlatformPath::key`.
    key: OsString,
}

/// The arguments of `openat(2)` and the like: a directory, and a path that is relative to it, or absolute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtPath<'a> {
    pub(crate) directory: BorrowedFd<'a>,
    pub(crate) path: &'a CStr,
}

impl LockPath {
    pub(crate) fn new(given: &Path) -> Self {
        let text = given.as_os_str().as_bytes();
        let fault = match text {
            [] => Some((Errno::NOENT, "the path is empty")),
            _ if text.contains(&0) => Some((Errno::INVAL, "the path has a NUL byte in it")),
            _ => None,
        };
        if let Some(fault) = fault {
            let path = path::absolute(given).unwrap_or_else(|_| given.into());
            return Self { path, raw: Err(fault), directory: None };
        }
        match path::absolute(given) {
            Ok(path) if given.is_absolute() || leads_back(&path) => Self::absolute(path),
            absolute => match Directory::current(given) {
                Ok(directory) => Self {
                    path: absolute.unwrap_or_else(|_| given.into()),
                    raw: raw(&directory.relative),
                    directory: Some(Arc::new(directory)),
                },
                Err(error) => match absolute {
                    // The first open returns the error.
                    Ok(path) if !is_shortage(error) => Self::absolute(path),
                    _ => {
                        let fault = (error, "the current directory could not be kept open");
                        Self { path: given.into(), raw: Err(fault), directory: None }
                    }
                },
            },
        }
    }

    fn absolute(path: PathBuf) -> Self {
        Self { raw: raw(path.as_os_str()), path, directory: None }
    }

    /// Returns the path by which a process reaches its own descriptor: `/dev/fd/N`.
    pub(crate) fn of_descriptor(fd: BorrowedFd<'_>) -> Self {
        Self::new(&PathBuf::from(format!("/dev/fd/{}", fd.as_raw_fd())))
    }

    /// Returns whether the absolute path leads to the file, so that a hint can look at its parts.
    pub(crate) fn is_absolute(&self) -> bool {
        self.directory.is_none()
    }

    /// Returns whether the directory that the path is relative to has been deleted.
    pub(crate) fn is_in_deleted_directory(&self) -> bool {
        let about = self.directory.as_ref().and_then(|directory| fstat(&*directory.file).ok());
        about.is_some_and(|stat| stat.st_nlink == 0)
    }

    #[inline]
    pub(crate) fn at(&self, action: Action) -> Result<AtPath<'_>, OsError> {
        let raw = self.raw.as_ref();
        let path = raw.map_err(|&(error, reason)| action.failed(error).because(reason))?;
        let directory = match &self.directory {
            None => CWD,
            Some(directory) if directory.file.is_own() => directory.file.as_fd(),
            Some(_) => {
                let reason = "the program has closed the descriptor of its directory";
                return Err(action.failed(Errno::BADF).because(reason));
            }
        };
        Ok(AtPath { directory, path })
    }
}

impl PlatformPath for LockPath {
    fn path(&self) -> &Path {
        &self.path
    }

    fn key(&self) -> &OsStr {
        self.directory.as_ref().map_or(self.path.as_os_str(), |directory| &directory.key)
    }

    fn lacks_descriptor(&self) -> bool {
        matches!(self.raw, Err((error, _)) if is_shortage(error))
    }
}

fn raw(text: &OsStr) -> Result<CString, (Errno, &'static str)> {
    CString::new(text.as_bytes()).map_err(|_| (Errno::INVAL, "the path has a NUL byte in it"))
}

/// Returns whether the absolute path of a relative one can be used instead: it is short enough, and the
/// path of the current directory leads to the current directory.
fn leads_back(absolute: &Path) -> bool {
    // `PATH_MAX` includes the NUL at the end: path_resolution(7).
    let is_short = absolute.as_os_str().len() < libc::PATH_MAX.unsigned_abs() as usize;
    let identity = |path: &Path| {
        statat(CWD, path, AtFlags::empty()).map(|stat| (stat.st_dev, stat.st_ino)).ok()
    };
    let here = identity(Path::new("."));
    is_short && here.is_some() && here == env::current_dir().ok().and_then(|path| identity(&path))
}

impl Directory {
    /// Opens the current directory for the path that was given. `O_PATH` needs no read permission.
    fn current(given: &Path) -> Result<Self, Errno> {
        #[cfg(target_os = "linux")]
        const ACCESS: OFlags = OFlags::PATH;
        #[cfg(not(target_os = "linux"))]
        const ACCESS: OFlags = OFlags::RDONLY;
        let flags = ACCESS | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let file = File::from(openat(CWD, c".", flags, Mode::empty())?);
        let stat = fstat(&file)?;
        let relative = normalized(given);
        // No path equals that: a path contains no NUL.
        let mut key = OsString::from(format!("\0{}:{}\0", stat.st_dev, stat.st_ino));
        key.push(&relative);
        Ok(Self { file: OwnFile::of_directory(file, &stat), relative, key })
    }
}

/// Normalizes a relative path as absolute ones are: repeated `/` and `.` components are removed.
fn normalized(given: &Path) -> OsString {
    let Ok(absolute) = path::absolute(Path::new("/").join(given)) else { return given.into() };
    match absolute.as_os_str().as_bytes() {
        [b'/'] => ".".into(),
        [b'/', relative @ ..] => OsStr::from_bytes(relative).into(),
        _ => given.into(),
    }
}

const fn is_shortage(error: Errno) -> bool {
    matches!(error, Errno::MFILE | Errno::NFILE)
}

impl<'a> AtPath<'a> {
    /// Returns the same directory with another path.
    pub(super) fn with(self, path: &'a CStr) -> Self {
        Self { path, ..self }
    }
}
