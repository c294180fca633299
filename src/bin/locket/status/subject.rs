//! A lock that is asked about, and the answer.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use locket::{LockStatus, Owner, OwnerKind, SystemLock, lock_file, system_locks};

use crate::exit::{Failure, NO_FILE};
#[cfg(unix)]
use crate::unix::spawn_deaf;
#[cfg(windows)]
use crate::windows::spawn_deaf;

pub(super) struct Subject {
    /// Its path: as it was given, or else as its holder has it.
    pub(super) shown: PathBuf,
    /// In full, if it can be told.
    pub(super) path: Option<PathBuf>,
    /// Is the file there?
    pub(super) exists: bool,
    pub(super) holders: LockStatus,
}

/// Ordered by what several files together amount to: one that is held decides, then one that is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Free,
    /// No holder was seen, and the system could not look everywhere.
    Unknown,
    Held,
}

impl Subject {
    /// A file system that does not answer is not waited for forever.
    pub(super) fn of(file: &Path) -> Result<Self, Failure> {
        /// A search of all processes of a large machine takes some seconds.
        const PATIENCE: Duration = Duration::from_secs(10);
        let (tell, told) = mpsc::sync_channel(1);
        let path = file.to_path_buf();
        let thread = spawn_deaf(move || drop(tell.send(Self::look(&path))));
        if thread.is_err() {
            return Self::look(file);
        }
        told.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let text = format!("cannot look at {}: no answer in {PATIENCE:?}", file.display());
            Err(Failure { code: NO_FILE, text })
        })
    }

    fn look(file: &Path) -> Result<Self, Failure> {
        let lock = lock_file(file);
        // By the path as it was given: it may lead where the absolute one does not (L10).
        let exists = match fs::metadata(file) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                let text = format!("cannot look at {}: {error}", lock.path().display());
                return Err(Failure { code: NO_FILE, text });
            }
        };
        let holders = without_this(lock.status()?);
        Ok(Self { shown: file.into(), path: Some(lock.path().into()), exists, holders })
    }

    /// In the order of their paths.
    pub(super) fn all() -> Result<Vec<Self>, Failure> {
        let locks = system_locks()?;
        let mut subjects: Vec<Self> = locks.into_iter().map(Self::of_lock).collect();
        subjects.retain(|subject| subject.state() == State::Held);
        subjects.sort_by(|one, other| one.shown.cmp(&other.shown));
        Ok(subjects)
    }

    fn of_lock(lock: SystemLock) -> Self {
        let SystemLock { path, deleted, device: (major, minor), inode, status, .. } = lock;
        let holders = without_this(status);
        let shown = path.clone().unwrap_or_else(|| {
            format!("(unknown path: inode {inode} of device {major}:{minor})").into()
        });
        Self { shown, path, exists: !deleted, holders }
    }

    pub(super) fn state(&self) -> State {
        match self.holders.is_held() {
            Some(true) => State::Held,
            Some(false) => State::Free,
            None => State::Unknown,
        }
    }
}

/// This process may have inherited the descriptor of a lock, which it does not use.
fn without_this(mut holders: LockStatus) -> LockStatus {
    let is_this =
        |owner: &Owner| matches!(&owner.kind, OwnerKind::Process(process) if process.is_this);
    holders.holders.retain(|owner| !is_this(owner));
    holders
}
