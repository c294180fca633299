//! The command lines of other processes, which are in the memory of these processes.
//!
//! A read of `/proc/PID/cmdline` may block forever: a page of it may be mapped from a file system that does not answer, or
//! that the process itself serves (FUSE). A thread that is stuck there cannot be cancelled, and its process does not exit. So
//! a child reads, and is killed when it takes too long. If even that does not end the child, it stays until the file system
//! answers, and holds nothing meanwhile.

use std::ffi::{CString, OsString};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::platform::CommandLines;
use crate::processes::start_time;
use crate::unix::os;

/// The time for all command lines.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The time for the next piece of one.
const PIECE_TIMEOUT: Duration = Duration::from_millis(200);

/// The length of a piece. The answer about a process is its command line in pieces, each after its length, and a length of
/// zero.
type Length = u16;
const PIECE_SIZE: usize = 4096;

/// Reads the command lines of these processes, and leaves out those that cannot be read. A kernel thread has none.
pub(super) fn command_lines(pids: &[u32]) -> CommandLines {
    let deadline = Instant::now() + TIMEOUT;
    let starts: Vec<Option<u64>> = pids.iter().map(|&pid| start_time(pid)).collect();
    let mut lines = Vec::new();
    while lines.len() < pids.len() && Instant::now() < deadline {
        let from = lines.len();
        lines.extend(read_by_child(&pids[from..], deadline).into_iter().map(Some));
        // The child was stuck at the next one, or could not be started.
        lines.push(None);
    }
    let of_same_process = |((&pid, start), line): ((&u32, Option<u64>), Option<Vec<u8>>)| {
        let words = words(&line?);
        (start.is_some() && start_time(pid) == start && !words.is_empty()).then_some((pid, words))
    };
    pids.iter().zip(starts).zip(lines).filter_map(of_same_process).collect()
}

/// Returns the command lines of the first of these processes, up to the one at which the child was stuck.
fn read_by_child(pids: &[u32], deadline: Instant) -> Vec<Vec<u8>> {
    let path = |pid: &u32| CString::new(format!("/proc/{pid}/cmdline"));
    let Ok(paths) = pids.iter().map(path).collect::<Result<Vec<CString>, _>>() else {
        return vec![];
    };
    let Ok((channel, child_channel)) = UnixStream::pair() else { return vec![] };
    let answer = child_channel.as_raw_fd();
    let Ok(child) = os::fork(|| child_main(&paths, answer)) else { return vec![] };
    drop(child_channel);
    let lines = receive_lines(channel, pids.len(), deadline);
    os::kill(child, libc::SIGKILL);
    os::reap_if_ended(child);
    lines
}

/// The child: system calls only. It keeps nothing open but its end of the channel: no lock, and no standard output, whose
/// reader would wait for the child's end.
fn child_main(paths: &[CString], answer: RawFd) -> i32 {
    os::die_with_parent();
    os::close_between(0, answer - 1);
    os::close_between(answer + 1, RawFd::MAX);
    let mut piece = [0; PIECE_SIZE];
    for path in paths {
        if let Some(file) = os::open(path) {
            loop {
                let read = os::read_once(file, &mut piece).unwrap_or_default();
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

fn receive_lines(mut from: UnixStream, count: usize, deadline: Instant) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    while lines.len() < count {
        let Some(line) = receive_line(&mut from, deadline) else { break };
        lines.push(line);
    }
    lines
}

fn receive_line(from: &mut UnixStream, deadline: Instant) -> Option<Vec<u8>> {
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
    let remaining = deadline.saturating_duration_since(Instant::now());
    from.set_read_timeout(Some(remaining.min(PIECE_TIMEOUT).max(Duration::from_millis(1))))?;
    from.read_exact(buffer)
}

/// Returns the words of a command line, each of which ends with a NUL. A kernel thread has none.
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
    fn a_nul_ends_each_word() {
        let of = |line| words(line).join(",".as_ref());
        assert_eq!(of(b"sh\0-c\0\0a b\0"), "sh,-c,,a b");
        assert_eq!(of(b"title: without an end"), "title: without an end");
        assert!(words(b"").is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_command_line_of_this_process_is_its_arguments() {
        let this = std::process::id();
        let lines = super::command_lines(&[u32::MAX, this]);
        let arguments: Vec<_> = std::env::args_os().collect();
        assert_eq!(lines.get(&this), Some(&arguments));
        assert_eq!(lines.len(), 1);
    }
}
