//! A temporary directory for one test. It is removed when the test ends.

use std::path::{Path, PathBuf};

use locket::Lock;
use tempfile::TempDir;

pub(crate) struct Scratch(TempDir);

impl Scratch {
    #[track_caller]
    pub(crate) fn new() -> Self {
        // Every test that starts processes makes such a directory first.
        #[cfg(unix)]
        super::dispositions::reset_ignored();
        Self(tempfile::tempdir().expect("a temporary directory should be created"))
    }

    /// Also returns the path of the lock file.
    #[track_caller]
    pub(crate) fn with_path() -> (Self, PathBuf) {
        let scratch = Self::new();
        let path = scratch.lock_path();
        (scratch, path)
    }

    /// Also returns a handle of the lock file.
    #[track_caller]
    pub(crate) fn with_lock() -> (Self, Lock) {
        let scratch = Self::new();
        let lock = scratch.lock();
        (scratch, lock)
    }

    /// Makes a directory like `/tmp`: every user may create files, and no user may remove another user's.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn sticky() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Self::new();
        let mode = std::fs::Permissions::from_mode(0o1777);
        std::fs::set_permissions(scratch.path(), mode).expect("the test should own the directory");
        scratch
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Returns the path of the lock file. The file does not exist yet.
    pub(crate) fn lock_path(&self) -> PathBuf {
        self.join("test.lock")
    }

    /// Returns a handle of [`lock_path`](Self::lock_path).
    pub(crate) fn lock(&self) -> Lock {
        locket::lock_file(self.lock_path())
    }
}
