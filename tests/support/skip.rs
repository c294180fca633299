//! A test that cannot be run here says so, and is not allowed to where everything is at hand.

use std::env;
use std::io::{self, Write};

/// Says loudly which check is left out, and why; for the caller to return after.
///
/// # Panics
///
/// If `LOCKET_NO_SKIP` is set.
#[track_caller]
pub(crate) fn skip(check: &str, reason: &str) {
    assert!(env::var_os("LOCKET_NO_SKIP").is_none(), "{check} is not to be skipped: {reason}");
    // Past the harness, which would keep it to itself.
    let _ = io::stderr().write_all(format!("SKIPPED {check}: {reason}\n").as_bytes());
}

#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    tempfile::tempfile().and_then(|file| file.metadata()).is_ok_and(|file| file.uid() == 0)
}
