//! Options that only Unix has, as [`std::os::unix::fs`] has them for files.

use crate::lock::Lock;

/// Options of a [`Lock`] on Unix.
pub trait LockExt {
    /// Sets the permissions of the lock file if it has to be created, before the umask: `0o666` by
    /// default. A file that exists keeps its own (L8).
    ///
    /// ```
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("my_app.lock");
    /// use std::os::unix::fs::PermissionsExt;
    ///
    /// use locket::unix::LockExt;
    ///
    /// let _held = locket::Lock::new(&path).mode(0o600).lock()?;
    /// assert_eq!(std::fs::metadata(&path)?.permissions().mode() & 0o777, 0o600);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use = "returns a new handle; the original is unchanged"]
    fn mode(self, mode: u32) -> Self;
}

impl LockExt for Lock {
    fn mode(self, mode: u32) -> Self {
        self.with_create_mode(mode)
    }
}
