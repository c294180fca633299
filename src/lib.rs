//! An inter-process lock named by a file.
//!
//! Every program that uses the same path shares one lock, and the system frees it when its holder
//! dies.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("my_app.lock");
//! use std::time::Duration;
//!
//! // Wait for the lock.
//! {
//!     let _held = locket::lock_file(&path).lock()?;
//!     // Critical section.
//! }
//!
//! // Give up after thirty seconds.
//! let held = locket::lock_file(&path).timeout(Duration::from_secs(30)).lock()?;
//! held.release()?;
//!
//! // Without a guard.
//! let lock = locket::lock_file(&path);
//! lock.acquire()?;
//! lock.release()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod acquire;
mod deadline;
mod error;
mod guard;
mod ledger;
mod lock;
mod options;
mod os;
mod process;
mod registry;
mod release;
mod sync;

use std::path::Path;

pub use error::{Action, LockError};
pub use guard::Guard;
pub use ledger::State;
pub use lock::Lock;

/// Names the lock of the file at `path`. Touches no file.
///
/// The path is made absolute here (L10): a later change of the current directory changes nothing.
/// A path that no file can have is an error of the first acquisition.
///
/// ```
/// let lock = locket::lock_file("my_app.lock");
/// assert!(lock.path().is_absolute());
/// assert_eq!(lock.state(), locket::State::Unlocked);
/// ```
pub fn lock_file(path: impl AsRef<Path>) -> Lock {
    Lock::new(path.as_ref())
}
