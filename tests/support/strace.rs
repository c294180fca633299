//! A peer under strace. strace records the peer's system calls, and can make them fail.

use std::fs;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::Command;

use super::peer::Peer;
use super::scratch::Scratch;
use super::skip::skip_this;

pub(crate) struct Strace {
    pub(crate) peer: Peer,
    log: PathBuf,
    _scratch: Scratch,
}

/// The system calls of the peer, in order, as strace writes them: `flock(3, LOCK_UN) = 0`.
pub(crate) struct Trace(Vec<String>);

impl Strace {
    /// Starts a peer under strace. Skips the check and returns `None` if strace does not work here.
    #[track_caller]
    pub(crate) fn spawn(options: &[&str]) -> Option<Self> {
        if !can_trace() {
            return None;
        }
        let scratch = Scratch::new();
        let log = scratch.join("strace.log");
        let file = log.to_string_lossy().into_owned();
        let peer = Peer::under(&[&["strace", "-f", "-qq", "-o", &file], options].concat());
        Some(Self { peer, log, _scratch: scratch })
    }

    /// Ends the peer and returns its system calls.
    #[track_caller]
    pub(crate) fn end(self) -> Trace {
        self.peer.end();
        let log = fs::read_to_string(self.log).expect("strace should have written its log");
        let calls = log.lines().map(without_thread);
        // Lines with `+` (the end of a thread) and `-` (a signal) are not system calls.
        Trace(calls.filter(|line| !line.starts_with(['+', '-'])).collect())
    }
}

impl Deref for Strace {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.peer
    }
}

impl DerefMut for Strace {
    fn deref_mut(&mut self) -> &mut Peer {
        &mut self.peer
    }
}

/// Returns whether strace works here, and skips the test if it does not.
#[track_caller]
pub(crate) fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-qq", "true"]).output();
    let can_trace = traced.is_ok_and(|it| it.status.success());
    if !can_trace {
        skip_this("strace: not installed, or not allowed to trace");
    }
    can_trace
}

/// Removes the thread id, which `-f` puts before every line.
fn without_thread(line: &str) -> String {
    line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start().into()
}

impl Trace {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn calls(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Counts the calls that contain the pattern.
    pub(crate) fn count(&self, pattern: &str) -> usize {
        self.calls().filter(|call| call.contains(pattern)).count()
    }
}
