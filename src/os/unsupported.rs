//! Where there are no file locks: nothing can be opened, so there is never a descriptor.

use std::ffi::OsStr;
use std::io;
use std::path::{self, Path, PathBuf};
use std::time::Duration;

use crate::courtesy::Clock;
use crate::deadline::Deadline;
use crate::diagnosis::Diagnosis;
use crate::error::{Action, Failure};
use crate::kind::ErrorKind;
use crate::observer::{Opened, Waited, Watch};
use crate::options::{Access, Mode, Options};

/// An absolute path, where the platform has such.
#[derive(Clone, Debug)]
pub(crate) struct Name(PathBuf);

impl Name {
    pub(crate) fn new(given: &Path) -> Self {
        Self(path::absolute(given).unwrap_or_else(|_| given.into()))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What tells the ledgers of this process apart: names with equal keys share one (L10).
    pub(crate) fn key(&self) -> &OsStr {
        self.0.as_os_str()
    }

    #[allow(clippy::unused_self, reason = "the contract's form")]
    pub(crate) fn lacks_descriptor(&self) -> bool {
        false
    }
}

#[derive(Debug)]
pub(crate) enum Descriptor {}

impl Descriptor {
    pub(crate) fn is_shared_by_fork(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_own(&self) -> bool {
        match *self {}
    }

    pub(crate) fn is_kept_on_fork(&self) -> bool {
        match *self {}
    }

    pub(crate) fn may_be_idle(&self) -> bool {
        match *self {}
    }
}

/// Elsewhere dropping a descriptor closes it, and the library says so where it does.
impl Drop for Descriptor {
    fn drop(&mut self) {
        match *self {}
    }
}

pub(crate) fn open(
    _: &Name,
    _: &Options,
    _: &Deadline,
    _: Access,
    _: &mut Option<Watch>,
) -> Result<Opened<Descriptor>, Failure> {
    let text = "file locks are not supported on this platform";
    Err(Action::Open.failed(io::Error::new(io::ErrorKind::Unsupported, text)))
}

pub(crate) fn lacks_descriptors(_: &Failure) -> bool {
    false
}

pub(crate) fn needs_writing(_: &Failure) -> bool {
    false
}

pub(crate) fn is_current(_: &Name, descriptor: &Descriptor, _: bool) -> Result<bool, Failure> {
    match *descriptor {}
}

pub(crate) fn try_lock(descriptor: &Descriptor, _: Mode) -> Result<bool, Failure> {
    match *descriptor {}
}

pub(crate) fn wait(
    descriptor: &Descriptor,
    _: &Options,
    _: &Deadline,
    _: Option<&mut Watch>,
) -> Result<Waited, Failure> {
    match *descriptor {}
}

pub(crate) fn give_way(_: Duration) {}

pub(crate) fn clock(_: Clock) -> usize {
    0
}

pub(crate) fn diagnose(_: &Name, failure: &Failure) -> Diagnosis {
    Diagnosis { kind: ErrorKind::of(&failure.source), advice: None }
}

pub(crate) fn unlock(descriptor: &Descriptor) -> Result<(), Failure> {
    match *descriptor {}
}

pub(crate) fn downgrade(descriptor: &Descriptor) -> Result<bool, Failure> {
    match *descriptor {}
}

pub(crate) fn bequeath(descriptor: &Descriptor) -> Result<(), Failure> {
    match *descriptor {}
}

pub(crate) fn generation() -> u32 {
    0
}

pub(crate) fn watch_forks() {}
