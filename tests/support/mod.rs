//! Code that the tests share: peer processes, temporary directories, and ways to wait.
#![allow(dead_code, unused_imports, reason = "no test file needs all of it")]
#![allow(clippy::panic, reason = "that is how a test fails")]

use std::error::Error;

#[cfg(unix)]
mod dispositions;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod opened;
#[cfg(unix)]
mod others;
mod peer;
pub(crate) mod prelude;
pub(crate) mod protocol;
mod requests;
mod scratch;
#[cfg(target_os = "linux")]
mod silent_fs;
mod skip;
pub(crate) mod skip_log;
#[cfg(target_os = "linux")]
mod strace;
mod waiting;

#[cfg(target_os = "linux")]
pub(crate) use opened::{access_of_open, open_files};
#[cfg(unix)]
pub(crate) use others::{is_alive, kill};
pub(crate) use peer::{Peer, peers};
#[cfg(unix)]
pub(crate) use requests::in_child;
pub(crate) use requests::{Requests, attempt, repeat};
pub(crate) use scratch::Scratch;
#[cfg(target_os = "linux")]
pub(crate) use silent_fs::{SilentFs, Unreadable};
#[cfg(target_os = "linux")]
pub(crate) use skip::has_mounted_root;
#[cfg(unix)]
pub(crate) use skip::{has_root, is_root};
pub(crate) use skip::{skip, skip_this};
#[cfg(target_os = "linux")]
pub(crate) use strace::{Strace, Trace, can_trace};
pub(crate) use waiting::{PATIENCE, until, until_waiting, waiting};
#[cfg(target_os = "linux")]
pub(crate) use waiting::{is_container, table_of_locks, until_stopped};

/// The result of a test. `?` fails the test with an error that the test did not expect.
pub(crate) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Returns the system's text for an error number. C libraries differ in their texts.
pub(crate) fn words_of(code: i32) -> String {
    std::io::Error::from_raw_os_error(code).to_string()
}
