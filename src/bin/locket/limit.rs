//! One line in a log, where a wait without a limit goes on and on: how to set one.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

#[cfg(unix)]
use super::unix::spawn_deaf;
use super::voice::say;
#[cfg(windows)]
use super::windows::spawn_deaf;

/// Before that a wait is not worth the line.
const AFTER: Duration = Duration::from_secs(60);

/// A wait without a limit, until it is dropped.
pub(crate) struct Unlimited(Arc<(Mutex<bool>, Condvar)>);

impl Unlimited {
    /// Without a thread nothing is said.
    pub(crate) fn begin() -> Self {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let _ = spawn_deaf({
            let over = Arc::clone(&over);
            move || {
                let (is_over, changed) = &*over;
                let is_over = is_over.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = changed.wait_timeout_while(is_over, AFTER, |is_over| !*is_over);
                if !*waited.unwrap_or_else(PoisonError::into_inner).0 {
                    say(
                        "this wait has no limit: with -w 10m locket gives up after ten minutes, with -n at once",
                    );
                }
            }
        });
        Self(over)
    }
}

impl Drop for Unlimited {
    fn drop(&mut self) {
        let (is_over, changed) = &*self.0;
        *is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }
}
