//! What the library tells people: which processes hold a lock, why a call failed, and what to do about it.
//!
//! Nothing here affects locking. The core calls `to_lock_error` and `query`, and carries a `LockStatus`.

mod escape;
pub(crate) mod hint;
#[cfg(target_os = "linux")]
pub(crate) mod linux;
pub(crate) mod lock_status;
pub(crate) mod system_lock;
#[cfg(unix)]
mod unix_hints;
#[cfg(not(target_os = "linux"))]
mod unknown;
#[cfg(unix)]
mod users;
#[cfg(windows)]
mod windows;

use std::time::{Duration, Instant};

use crate::error::LockError;

use lock_status::{LockStatus, Owner, OwnerKind};
use system_lock::SystemLock;

pub(crate) use hint::to_lock_error;
#[cfg(target_os = "linux")]
pub(crate) use linux::query;
#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) use unknown::query;
#[cfg(windows)]
pub(crate) use windows::query;

#[cfg(target_os = "linux")]
use linux as holders;
#[cfg(not(target_os = "linux"))]
use unknown as holders;

impl LockStatus {
    /// Returns the holders that still have the lock, according to `/proc/PID/fdinfo` (Linux).
    ///
    /// It reads a few files in `/proc` for each holder and not the system's table of locks. That takes tens of microseconds;
    /// after a millisecond no more holders are looked at. A holder that this process may not inspect is left out, and so is
    /// a process that acquired the lock later: an empty answer means that nothing is known.
    #[must_use]
    pub fn still_held(&self) -> Self {
        const BUDGET: Duration = Duration::from_millis(1);
        let start = Instant::now();
        let mut found = vec![];
        for owner in &self.holders {
            let seen = owner.seen.zip(owner.mode);
            let process = seen.and_then(|(seen, mode)| holders::still_has(&seen, mode));
            found.extend(
                process.map(|process| Owner { kind: OwnerKind::Process(process), ..owner.clone() }),
            );
            if start.elapsed() >= BUDGET {
                break;
            }
        }
        Self { holders: found, ..Self::default() }
    }
}

/// Returns every lock of the kind that this library takes which is held now, in this process and
/// all others, whatever program took it; in no particular order.
///
/// On Linux: the `flock(2)` locks in `/proc/locks`, which shows a container the locks of its own processes
/// only. Locks of files whose numbers are alike there (btrfs, overlayfs) are told apart as far as
/// their holders may be looked into. The kernel shows a table of more than about sixty locks in parts, between which it
/// changes: a lock that is taken or released during the look is returned if a process that may be looked into has it.
/// The answer is for people to read, like that of [`Lock::status`](crate::Lock::status).
///
/// # Errors
///
/// The error of the system if it cannot be asked; [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported)
/// everywhere but on Linux.
///
/// ```
/// match locket::system_locks() {
///     Ok(locks) => locks.iter().for_each(|lock| println!("{:?}: {}", lock.path, lock.status)),
///     Err(error) => eprintln!("{error}"),
/// }
/// ```
pub fn system_locks() -> Result<Vec<SystemLock>, LockError> {
    holders::system_locks().map_err(hint::without_path)
}
