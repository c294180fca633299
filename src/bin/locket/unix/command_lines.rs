//! The command lines of other processes, which are in their own memory.
//!
//! To read one (`/proc/PID/cmdline`, proc(5)) may take forever: a page of it may belong to a file system that is dead, or
//! that the process itself serves and never answers. A thread that is stuck there cannot be taken back, and a process that
//! has one does not end. So a child reads, which is killed when it takes too long; if not even that ends it, it stays until
//! the file system answers, and holds nothing meanwhile.

use std::collections::HashMap;
use std::ffi::{CString, OsString};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::super::other::start_of;
use super::os;

/// The words of command lines, by process ids.
pub(crate) type CommandLines = HashMap<u32, Vec<OsString>>;

/// How long is waited for all of them.
const BUDGET: Duration = Duration::from_secs(1);
/// How long is waited for the next part of one.
const PATIENCE: Duration = Duration::from_millis(200);

/// The answer about a process is its words, in pieces, each after its length, and a length of zero.
type Length = u16;
const PIECE: usize = 4096;

/// Reads as many of them as can be read. A kernel's thread has none; one that is not known is left out.
pub(crate) fn command_lines(pids: &[u32]) -> CommandLines {
    let deadline = Instant::now() + BUDGET;
    let starts: Vec<Option<u64>> = pids.iter().map(|&pid| start_of(pid)).collect();
    let mut lines = Vec::new();
    while lines.len() < pids.len() && Instant::now() < deadline {
        let from = lines.len();
        lines.extend(read_by_child(&pids[from..], deadline).into_iter().map(Some));
        // The child was stuck at the next one, or could not be made.
        lines.push(None);
    }
    let of_same_process = |((&pid, start), line): ((&u32, Option<u64>), Option<Vec<u8>>)| {
        let words = words(&line?);
        (start.is_some() && start_of(pid) == start && !words.is_empty()).then_some((pid, words))
    };
    pids.iter().zip(starts).zip(lines).filter_map(of_same_process).collect()
}

/// Returns the command lines of the first of these processes, up to the one at which the child was stuck.
fn read_by_child(pids: &[u32], deadline: Instant) -> Vec<Vec<u8>> {
    let path = |pid: &u32| CString::new(format!("/proc/{pid}/cmdline"));
    let Ok(paths) = pids.iter().map(path).collect::<Result<Vec<CString>, _>>() else {
        return vec![];
    };
    let Ok((ours, childs)) = UnixStream::pair() else { return vec![] };
    let answer = childs.as_raw_fd();
    let Ok(child) = os::fork(|| read_all(&paths, answer)) else { return vec![] };
    drop(childs);
    let lines = answers(ours, pids.len(), deadline);
    os::kill(child, libc::SIGKILL);
    os::reap_if_ended(child);
    lines
}

/// What the child does: system calls alone. It keeps nothing open but its end of the answer: no lock, and no standard
/// output, whose reader would wait for its end.
fn read_all(paths: &[CString], answer: RawFd) -> i32 {
    os::die_with_parent();
    os::close_between(0, answer - 1);
    os::close_between(answer + 1, RawFd::MAX);
    let mut piece = [0; PIECE];
    for path in paths {
        if let Some(file) = os::open(path) {
            loop {
                let read = os::read_some(file, &mut piece).unwrap_or_default();
                let length = Length::try_from(read).unwrap_or_default();
                if length == 0 {
                    break;
                }
                let sent = os::write(answer, &length.to_ne_bytes())
                    && os::write(answer, piece.get(..read).unwrap_or_default());
                if !sent {
                    return libc::EXIT_FAILURE;
                }
            }
            os::close(file);
        }
        if !os::write(answer, &Length::to_ne_bytes(0)) {
            return libc::EXIT_FAILURE;
        }
    }
    libc::EXIT_SUCCESS
}

fn answers(mut from: UnixStream, count: usize, deadline: Instant) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    while lines.len() < count {
        let Some(line) = answer(&mut from, deadline) else { break };
        lines.push(line);
    }
    lines
}

fn answer(from: &mut UnixStream, deadline: Instant) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let mut length = [0; size_of::<Length>()];
        read_exact(from, &mut length, deadline).ok()?;
        let length = usize::from(Length::from_ne_bytes(length));
        if length == 0 {
            return Some(line);
        }
        let begin = line.len();
        line.resize(begin + length, 0);
        read_exact(from, &mut line[begin..], deadline).ok()?;
    }
}

fn read_exact(from: &mut UnixStream, buffer: &mut [u8], deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    from.set_read_timeout(Some(left.min(PATIENCE).max(Duration::from_millis(1))))?;
    from.read_exact(buffer)
}

/// Each ends with a NUL; there are none of a kernel's thread.
fn words(line: &[u8]) -> Vec<OsString> {
    let line = line.strip_suffix(b"\0").unwrap_or(line);
    if line.is_empty() {
        return vec![];
    }
    line.split(|&byte| byte == 0).map(|word| OsString::from_vec(word.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_between_nuls() {
        let of = |line| words(line).join(",".as_ref());
        assert_eq!(of(b"sh\0-c\0\0a b\0"), "sh,-c,,a b");
        assert_eq!(of(b"title: without an end"), "title: without an end");
        assert!(words(b"").is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_its_arguments() {
        let this = std::process::id();
        let lines = super::command_lines(&[u32::MAX, this]);
        let arguments: Vec<_> = std::env::args_os().collect();
        assert_eq!(lines.get(&this), Some(&arguments));
        assert_eq!(lines.len(), 1);
    }
}
