//! A check that cannot run on this machine says so by name, is counted, and fails where everything is installed.

use std::env;
use std::io::{self, Write};

use super::skip_log::SkipLog;

/// Reports that a check is left out and why; the caller returns after it. The reason begins with what is
/// lacking, in a word or two, and a colon: `strace: not installed`.
///
/// # Panics
///
/// If `LOCKET_NO_SKIP` is set.
#[track_caller]
pub(crate) fn skip(check: &str, reason: &str) {
    assert!(env::var_os("LOCKET_NO_SKIP").is_none(), "{check} is not to be skipped: {reason}");
    // Past the harness, which would keep it to itself.
    let _ = io::stderr().write_all(format!("SKIPPED {check}: {reason}\n").as_bytes());
    let (lacking, _) = reason.split_once(": ").expect("a reason begins with what is lacking");
    if let Some(log) = SkipLog::of_this_run() {
        // A run that cannot be counted is not passed off as complete.
        log.add(check, lacking).unwrap_or_else(|error| panic!("{}: {error}", log.0.display()));
    }
}

#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    tempfile::tempfile().and_then(|file| file.metadata()).is_ok_and(|file| file.uid() == 0)
}
