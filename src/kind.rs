//! What sort of trouble an error is.

use std::io;

/// What sort of trouble a [`LockError`](crate::LockError) is: for programs that do something about
/// it, without reading texts.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// let nowhere = locket::lock_file(dir.path().join("missing").join("my_app.lock"));
/// let error = nowhere.lock().unwrap_err();
/// assert_eq!(error.kind(), locket::ErrorKind::Path);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Somebody else holds the lock: try again later.
    Contended,
    /// The observer put an end to the wait.
    GivenUp,
    /// A release of what nobody holds: a mistake in the program.
    NotLocked,
    /// This user may not open the file, or not create it there; or the file system is read-only.
    Permission,
    /// Nothing can be locked there: the file system or the platform has no locks.
    Unsupported,
    /// There is no more of something: descriptors, memory, room on the disk, locks.
    Exhausted,
    /// No lock file can be at this path: a directory on the way is missing, or it is something
    /// else than a file, or no path at all.
    Path,
    /// This process holds the lock itself, by a hold that nothing could end while it waits.
    Deadlock,
    /// The network file system has lost the file: its handle is stale.
    Stale,
    /// Whatever else the system says.
    Other,
}

impl ErrorKind {
    /// As far as the standard library knows it on every platform.
    pub(crate) fn of(error: &io::Error) -> Self {
        use io::ErrorKind as Io;
        match error.kind() {
            Io::PermissionDenied | Io::ReadOnlyFilesystem => Self::Permission,
            Io::Unsupported => Self::Unsupported,
            Io::OutOfMemory | Io::StorageFull | Io::QuotaExceeded => Self::Exhausted,
            Io::NotFound | Io::NotADirectory | Io::IsADirectory | Io::InvalidInput => Self::Path,
            Io::StaleNetworkFileHandle => Self::Stale,
            // The library's own finding. What a system calls a deadlock is about locks of other kinds.
            Io::Deadlock if error.raw_os_error().is_none() => Self::Deadlock,
            _ => Self::Other,
        }
    }
}
