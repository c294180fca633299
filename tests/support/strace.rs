//! A peer under strace: the system calls that it makes, and lies that the system tells it.

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

/// The calls that were made, in order, as strace writes them: `flock(3, LOCK_UN) = 0`.
pub(crate) struct Trace(Vec<String>);

impl Strace {
    /// Starts a peer under strace. `None`, and the check is to be skipped, if that is not possible
    /// here.
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

    /// Ends the peer; what it has done until then.
    #[track_caller]
    pub(crate) fn end(self) -> Trace {
        self.peer.end();
        let log = fs::read_to_string(self.log).expect("strace should have written its log");
        let calls = log.lines().map(without_thread);
        // Neither the ends of threads nor signals are calls.
        Trace(calls.filter(|line| !line.starts_with(['+', '-'])).collect())
    }
}

/// With `-f` every line begins with a thread's id.
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

    /// How many calls have this in them.
    pub(crate) fn count(&self, pattern: &str) -> usize {
        self.calls().filter(|call| call.contains(pattern)).count()
    }
}
