//! A peer under strace. strace records the peer's system calls, and can make them fail.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::peer::Peer;
use super::scratch::Scratch;
use super::skip::skip;

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
    pub(crate) fn spawn(check: &str, options: &[&str]) -> Option<Self> {
        if !Command::new("strace")
            .args(["-qq", "true"])
            .output()
            .is_ok_and(|it| it.status.success())
        {
            skip(check, "strace: not installed, or not allowed to trace");
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
