//! A directory of the test's own, gone when the test is over.

use std::path::{Path, PathBuf};

use locket::Lock;
use tempfile::TempDir;

pub(crate) struct Scratch(TempDir);

impl Scratch {
    #[track_caller]
    pub(crate) fn new() -> Self {
        // Every test of processes has such a directory, before it has the processes.
        #[cfg(unix)]
        super::dispositions::reset_ignored();
        Self(tempfile::tempdir().expect("there should be room for a directory"))
    }

    /// As `/tmp`: everybody may make files, and nobody may touch another's.
    #[cfg(unix)]
    #[track_caller]
    pub(crate) fn sticky() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Self::new();
        let mode = std::fs::Permissions::from_mode(0o1777);
        std::fs::set_permissions(scratch.path(), mode).expect("the directory should be ours");
        scratch
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// The path of the lock file, which is not there yet.
    pub(crate) fn lock_path(&self) -> PathBuf {
        self.join("test.lock")
    }

    /// A handle of [`lock_path`](Self::lock_path).
    pub(crate) fn lock(&self) -> Lock {
        locket::lock_file(self.lock_path())
    }
}
