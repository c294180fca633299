//! The state of a lock, as the system answers it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use locket::{LockStatus, Owner, OwnerKind, SystemLock, lock_file, system_locks};

use crate::exit::{Failure, NO_INPUT};
use crate::platform::Platform;
use crate::system::System;

/// A lock and the answer about it.
pub(super) struct QueriedLock {
    /// The path as it was given, or with `--all` as its holder has it.
    pub(super) shown: PathBuf,
    /// The absolute path, if it is known.
    pub(super) path: Option<PathBuf>,
    /// Whether the file exists.
    pub(super) exists: bool,
    pub(super) status: LockStatus,
}

/// Whether a lock is held. The largest state of several locks decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    Free,
    /// No holder was seen, and the system could not look everywhere.
    Unknown,
    Held,
}

impl QueriedLock {
    /// Queries the lock of a file. Fails after ten seconds if the file system does not answer.
    pub(super) fn of_file(file: &Path) -> Result<Self, Failure> {
        /// The search of all processes of a large machine takes some seconds.
        const TIMEOUT: Duration = Duration::from_secs(10);
        let (sender, receiver) = mpsc::sync_channel(1);
        let path = file.to_path_buf();
        let thread = System::spawn_without_signals(move || drop(sender.send(Self::query(&path))));
        if thread.is_err() {
            return Self::query(file);
        }
        receiver.recv_timeout(TIMEOUT).unwrap_or_else(|_| {
            let text = format!("cannot query {}: no answer in {TIMEOUT:?}", file.display());
            Err(Failure { code: NO_INPUT, text })
        })
    }

    fn query(file: &Path) -> Result<Self, Failure> {
        let lock = lock_file(file);
        // The path as it was given: the absolute one may name another file (L10).
        let exists = match fs::metadata(file) {
            Ok(_) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                let text = format!("cannot query {}: {error}", lock.path().display());
                return Err(Failure { code: NO_INPUT, text });
            }
        };
        let status = without_this_process(lock.status()?);
        Ok(Self { shown: file.into(), path: Some(lock.path().into()), exists, status })
    }

    /// Returns all locks that are held, in the order of their paths.
    pub(super) fn all() -> Result<Vec<Self>, Failure> {
        let locks = system_locks()?;
        let mut locks: Vec<Self> = locks.into_iter().map(Self::of_system_lock).collect();
        locks.retain(|lock| lock.state() == State::Held);
        locks.sort_by(|one, other| one.shown.cmp(&other.shown));
        Ok(locks)
    }

    fn of_system_lock(lock: SystemLock) -> Self {
        let SystemLock { path, deleted, device: (major, minor), inode, status, .. } = lock;
        let status = without_this_process(status);
        let shown = path.clone().unwrap_or_else(|| {
            format!("(unknown path: inode {inode} of device {major}:{minor})").into()
        });
        Self { shown, path, exists: !deleted, status }
    }

    pub(super) fn state(&self) -> State {
        match self.status.is_held() {
            Some(true) => State::Held,
            Some(false) => State::Free,
            None => State::Unknown,
        }
    }
}

/// Removes this process from the holders: it may have inherited the descriptor of a lock, which it does not use.
fn without_this_process(mut status: LockStatus) -> LockStatus {
    let is_this =
        |owner: &Owner| matches!(&owner.kind, OwnerKind::Process(process) if process.is_this);
    status.holders.retain(|owner| !is_this(owner));
    status
}
