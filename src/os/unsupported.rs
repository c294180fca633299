//! Platforms without file locks: no file can be opened, so there is never an `OpenFile`.

use std::ffi::OsStr;
use std::io;
use std::path::{self, Path, PathBuf};

use crate::deadline::Deadline;
use crate::error::Action;
use crate::options::{Access, Mode, Options};
use crate::os::platform::{
    Observed, Opened, OsError, Platform, PlatformFile, PlatformPath, WaitOutcome,
};

/// An absolute path, where the platform has such.
#[derive(Clone, Debug)]
pub(crate) struct LockPath(PathBuf);

impl LockPath {
    pub(crate) fn new(given: &Path) -> Self {
        Self(path::absolute(given).unwrap_or_else(|_| given.into()))
    }
}

impl PlatformPath for LockPath {
    fn path(&self) -> &Path {
        &self.0
    }

    fn key(&self) -> &OsStr {
        self.0.as_os_str()
    }
}

#[derive(Debug)]
pub(crate) enum OpenFile {}

impl PlatformFile for OpenFile {}

/// On other platforms dropping a file closes it, and the library says so where it does.
impl Drop for OpenFile {
    fn drop(&mut self) {
        match *self {}
    }
}

pub(crate) enum Os {}

impl Platform for Os {
    type LockPath = LockPath;
    type OpenFile = OpenFile;

    fn open(
        _: &LockPath,
        _: &Options,
        _: &Deadline,
        _: Access,
        _: Option<&mut dyn Observed>,
    ) -> Result<Opened<OpenFile>, OsError> {
        let text = "file locks are not supported on this platform";
        Err(Action::Open.failed(io::Error::new(io::ErrorKind::Unsupported, text)))
    }

    fn try_lock(file: &OpenFile, _: Mode) -> Result<bool, OsError> {
        match *file {}
    }

    fn wait(
        file: &OpenFile,
        _: &Options,
        _: &Deadline,
        _: Option<&mut dyn Observed>,
    ) -> Result<WaitOutcome, OsError> {
        match *file {}
    }

    fn is_current(_: &LockPath, file: &OpenFile, _: bool) -> Result<bool, OsError> {
        match *file {}
    }

    fn unlock(file: &OpenFile) -> Result<(), OsError> {
        match *file {}
    }

    fn downgrade(file: &OpenFile) -> Result<bool, OsError> {
        match *file {}
    }

    fn inherit_on_exec(file: &OpenFile) -> Result<(), OsError> {
        match *file {}
    }
}
