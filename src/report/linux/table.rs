//! The kernel's table of locks, `/proc/locks`.
//!
//! ```text
//! 1: FLOCK  ADVISORY  WRITE 4242 fe:00:1234 0 EOF      a holder
//! 1: -> FLOCK  ADVISORY  WRITE 4343 fe:00:1234 0 EOF   its waiter
//! 1:  -> FLOCK  ADVISORY  READ 4444 fe:00:1234 0 EOF   a waiter for that waiter's lock
//! 2: POSIX  ADVISORY  WRITE 630 fe:00:5678 0 0         a lock of another type
//! ```

use std::io;

use crate::options::Mode;
use crate::report::linux::proc::read_text;

/// A file, by the numbers of its file system's device and of its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileId {
    pub(super) device: (u32, u32),
    pub(super) inode: u64,
}

/// What one line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entry {
    pub(super) mode: Mode,
    /// The process that asked for the lock; 0 if it is in another PID namespace.
    pub(super) pid: u32,
    pub(super) file: FileId,
    /// The number of entries that it waits for, one behind the other; 0 for a holder.
    pub(super) depth: usize,
}

/// A holder and the waiters behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) entry: Entry,
    pub(super) waiting: Vec<Entry>,
}

pub(super) const TABLE: &str = "/proc/locks";

/// Reads a file of `/proc`. An error names the file.
pub(super) fn ask(path: &str) -> io::Result<String> {
    read_text(path).map_err(|error| named(path, &error))
}

/// Names the file in an error of reading it.
pub(super) fn named(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

/// The `flock(2)` locks of the table's text.
pub(super) fn holds(text: &str) -> Vec<Hold> {
    let mut holds: Vec<Hold> = vec![];
    for entry in text.lines().filter_map(entry) {
        match holds.last_mut() {
            Some(hold) if entry.depth > 0 && hold.entry.file == entry.file => {
                hold.waiting.push(entry);
            }
            // Its hold was not shown.
            _ if entry.depth > 0 => {}
            _ => holds.push(Hold { entry, waiting: vec![] }),
        }
    }
    // They are shown as a tree. The waiter with the smallest depth is woken first.
    for hold in &mut holds {
        hold.waiting.sort_by_key(|entry| entry.depth);
    }
    holds
}

/// A line of the table, or of a descriptor's `lock:` lines, if it is about a `flock(2)` lock.
pub(super) fn entry(line: &str) -> Option<Entry> {
    let (_, line) = line.split_once(": ")?;
    let (indent, words) = line.split_once("->").unwrap_or(("", line));
    let depth = if words.len() == line.len() { 0 } else { indent.len() + 1 };
    let mut words = words.split_ascii_whitespace();
    if words.next() != Some("FLOCK") {
        return None;
    }
    let mode = match words.nth(1)? {
        "READ" => Mode::Shared,
        "WRITE" => Mode::Exclusive,
        _ => return None,
    };
    // The pid of a lock that a lock manager of another host holds is negative.
    let pid = words.next()?.parse().unwrap_or(0);
    Some(Entry { mode, pid, file: file(words.next()?)?, depth })
}

/// `fe:00:1234`: the device in hexadecimal, the inode in decimal.
fn file(word: &str) -> Option<FileId> {
    let (device, inode) = word.rsplit_once(':')?;
    let (major, minor) = device.split_once(':')?;
    let hex = |digits| u32::from_str_radix(digits, 16).ok();
    Some(FileId { device: (hex(major)?, hex(minor)?), inode: inode.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: FileId = FileId { device: (0xfe, 0), inode: 1234 };

    const fn an(mode: Mode, pid: u32, depth: usize) -> Entry {
        Entry { mode, pid, file: FILE, depth }
    }

    #[test]
    fn holders_and_waiters_are_parsed() {
        let text = "\
1: POSIX  ADVISORY  WRITE 630 fe:00:1234 0 0
1: -> POSIX  ADVISORY  WRITE 631 fe:00:1234 0 0
2: FLOCK  ADVISORY  WRITE 42 fe:00:1234 0 EOF
2: -> FLOCK  ADVISORY  WRITE 43 fe:00:1234 0 EOF
2:  -> FLOCK  ADVISORY  READ 44 fe:00:1234 0 EOF
3: LEASE  ACTIVE    READ 45 fe:00:1234 0 EOF
4: OFDLCK ADVISORY  READ -1 fe:00:1234 0 EOF
5: FLOCK  ADVISORY  READ 46 00:19:7 0 EOF
";
        let other = FileId { device: (0, 0x19), inode: 7 };
        let (exclusive, shared) = (Mode::Exclusive, Mode::Shared);
        let waiting = vec![an(exclusive, 43, 1), an(shared, 44, 2)];
        let expected = [
            Hold { entry: an(exclusive, 42, 0), waiting },
            Hold { entry: Entry { file: other, ..an(shared, 46, 0) }, waiting: vec![] },
        ];
        assert_eq!(holds(text), expected);
    }

    /// Readers that came before a writer are granted the lock before it, all of them.
    #[test]
    fn waiters_are_in_the_order_of_their_grants() {
        let text = "\
1: FLOCK  ADVISORY  WRITE 1 fe:00:1234 0 EOF
1: -> FLOCK  ADVISORY  READ 2 fe:00:1234 0 EOF
1:  -> FLOCK  ADVISORY  WRITE 4 fe:00:1234 0 EOF
1:   -> FLOCK  ADVISORY  WRITE 5 fe:00:1234 0 EOF
1: -> FLOCK  ADVISORY  READ 3 fe:00:1234 0 EOF
";
        let pids = |hold: &Hold| hold.waiting.iter().map(|entry| entry.pid).collect::<Vec<_>>();
        assert_eq!(holds(text).iter().map(pids).collect::<Vec<_>>(), [[2, 3, 4, 5]]);
    }

    #[test]
    fn the_line_of_a_descriptor_is_parsed() {
        let line = "lock:\t1: FLOCK  ADVISORY  WRITE 42 fe:00:1234 0 EOF";
        assert_eq!(entry(line), Some(an(Mode::Exclusive, 42, 0)));
        assert_eq!(entry("lock:\t1: POSIX  ADVISORY  WRITE 42 fe:00:1234 0 EOF"), None);
        assert_eq!(entry("flags:\t02100002"), None);
    }

    #[test]
    fn large_numbers_are_parsed() {
        let line = "1: FLOCK  ADVISORY  READ 4194304 103:fffff:18446744073709551615 0 EOF";
        let file = FileId { device: (0x103, 0xf_ffff), inode: u64::MAX };
        assert_eq!(entry(line), Some(Entry { file, ..an(Mode::Shared, 4_194_304, 0) }));
    }

    #[test]
    fn a_pid_of_another_namespace_is_zero() {
        for pid in ["0", "-7"] {
            let line = format!("1: -> FLOCK  ADVISORY  WRITE {pid} fe:00:1234 0 EOF");
            assert_eq!(entry(&line), Some(an(Mode::Exclusive, 0, 1)));
        }
    }

    #[test]
    fn a_malformed_line_is_left_out() {
        for line in ["", "1:", "1: FLOCK", "1: FLOCK  ADVISORY  WRITE 42 <none>:0 0 EOF"] {
            assert_eq!(entry(line), None, "{line}");
        }
        // A waiter without its hold.
        assert_eq!(holds("1: -> FLOCK  ADVISORY  WRITE 43 fe:00:1234 0 EOF"), []);
    }

    #[test]
    fn major_and_minor_are_not_swapped() {
        let file = |word| entry(&format!("1: FLOCK  ADVISORY  WRITE 42 {word} 0 EOF"));
        assert_ne!(file("fe:01:1234"), file("01:fe:1234"));
        assert_eq!(file("08:10:5").map(|it| it.file.device), Some((8, 16)));
    }
}
