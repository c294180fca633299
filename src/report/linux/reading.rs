//! Reads of `/proc/locks` that miss no lock: a lock that is not in the result was not held all the time.
//!
//! A read of `/proc/locks` returns about 4 KiB, some sixty locks, and shows one moment: the kernel keeps its list locked
//! during a read (`locks_start` and `locks_stop` in fs/locks.c, Linux 6.1). The next read begins at the n-th lock of a list that may
//! have changed since (`seq_read_iter` in `fs/seq_file.c`). Where locks before the n-th were released in between, the locks
//! behind them moved up, and the same number of them is never shown, although they are held all the time.
//!
//! So a long table is read through two descriptors in turn, half a read apart: each read begins in the middle of what the
//! reads before it showed. The list keeps its order, and new locks are put in front of others. Two reads that show a lock in
//! common leave nothing out between them. If all reads of a pass are joined like this, the pass is whole: every lock
//! that was held all the time is in it. Since locks can look alike, two such passes in a row are required where anything
//! has changed.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};

use crate::options::Mode;
use crate::report::linux::table::{Entry, FileId, Hold, TABLE, entry, holds, named};

/// The number of passes after which the table is reported as read in part. Between two reads of a whole pass
/// some fifteen locks may be released. A crowd that exits at once, or a reader that waits for a processor, exceeds that.
const PASSES: usize = 10;

/// More than the kernel answers at once.
const LARGE: usize = 0x1_0000;
/// About half of what the kernel answers at once.
const HALF: usize = 2048;
/// A read that returned no more than this had room for another lock: it came to the end of the list. (A lock's lines are
/// 60 bytes, and as much for each process that waits for it.)
const SHORT: usize = 3072;

/// What was read of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) holds: Vec<Hold>,
    /// Holds that one descriptor showed and the other did not: acquired or released meanwhile, or missed by one of them.
    pub(super) doubtful: Vec<Hold>,
    /// Whether no lock that was held all the time is missing.
    pub(super) is_whole: bool,
}

/// What the table is read for.
#[derive(Clone, Copy)]
pub(super) struct Search<'a> {
    /// Asked before each read. After a no, the answer is an error.
    pub(super) goes_on: &'a dyn Fn() -> bool,
    /// A file with numbers that no other file has: its exclusive lock is the only one, and nothing behind it needs to be read.
    pub(super) file: Option<FileId>,
}

impl Search<'_> {
    /// Returns whether the lock is among these lines.
    fn is_found_in(&self, lines: &[u8]) -> bool {
        let Some(file) = self.file else { return false };
        let lines = String::from_utf8_lossy(lines);
        let inode = format!(":{} ", file.inode);
        let is_it =
            |lock: Entry| lock.file == file && lock.mode == Mode::Exclusive && lock.depth == 0;
        lines.lines().filter(|line| line.contains(&inode)).filter_map(entry).any(is_it)
    }
}

/// Reads the table once, through one descriptor: enough for a lock that is known to be held.
pub(super) fn once(search: &Search<'_>) -> io::Result<Vec<Hold>> {
    let mut reader = Reader::new(open()?);
    let read = |error: io::Error| named(TABLE, &error);
    while let Some(part) = reader.read(LARGE, search).map_err(read)? {
        if search.is_found_in(reader.bytes_of(part)) {
            break;
        }
    }
    Ok(holds(&reader.text()))
}

/// Reads the table until a quiet pass is whole, or two others in a row are, or until `look`, which sees each pass, has seen
/// enough; at most [`PASSES`] times.
pub(super) fn until_whole(
    search: &Search<'_>,
    look: impl FnMut(&Pass) -> bool,
) -> io::Result<Pass> {
    let pass = |search: &Search<'_>| {
        let found = if search.file.is_some() { straight(open()?, search) } else { Ok(None) };
        let pass = match found {
            Ok(None) => overlapping(open()?, open()?, search),
            found => found.map(Option::unwrap_or_default),
        };
        pass.map_err(|error| named(TABLE, &error))
    };
    repeated(pass, search, look)
}

fn repeated(
    mut pass: impl FnMut(&Search<'_>) -> io::Result<Pass>,
    search: &Search<'_>,
    mut look: impl FnMut(&Pass) -> bool,
) -> io::Result<Pass> {
    let mut last = Pass::default();
    let mut search = *search;
    for _ in 0..PASSES {
        let was_whole = last.is_whole;
        last = pass(&search)?;
        let is_certain = last.is_whole && (was_whole || last.doubtful.is_empty());
        if look(&last) || is_certain {
            return Ok(last);
        }
        // The lock that was found has been released.
        search.file = None;
    }
    Ok(Pass { is_whole: false, ..last })
}

fn open() -> io::Result<File> {
    File::open(TABLE).map_err(|error| named(TABLE, &error))
}

/// Reads up to the lock that is searched for, which takes half the time of two descriptors. `None` if it is not found in a
/// long table.
fn straight(source: impl Read, search: &Search<'_>) -> io::Result<Option<Pass>> {
    let mut reader = Reader::new(source);
    while let Some(part) = reader.read(LARGE, search)? {
        if search.is_found_in(reader.bytes_of(part)) {
            return Ok(Some(Pass { holds: holds(&reader.text()), ..Pass::default() }));
        }
    }
    let is_whole = reader.text.len() <= SHORT;
    let pass = || Pass { holds: holds(&reader.text()), is_whole, ..Pass::default() };
    Ok(is_whole.then(pass))
}

fn overlapping(one: impl Read, other: impl Read, search: &Search<'_>) -> io::Result<Pass> {
    let (mut one, mut other) = (Reader::new(one), Reader::new(other));
    one.read(LARGE, search)?;
    if one.text.len() <= SHORT && one.read(LARGE, search)?.is_none() {
        return Ok(Pass { holds: holds(&one.text()), doubtful: vec![], is_whole: true });
    }
    // The order in time of all reads that returned something, as those of the one descriptor or of the other.
    let mut order: Vec<(bool, usize)> = (0..one.ends.len()).map(|part| (true, part)).collect();
    let mut size = HALF;
    while !(one.is_done && other.is_done) {
        let is_one = other.is_done || !one.is_done && one.text.len() <= other.text.len();
        let part = if is_one { one.read(LARGE, search)? } else { other.read(size, search)? };
        size = if is_one { size } else { LARGE };
        order.extend(part.map(|part| (is_one, part)));
    }
    let (one_text, other_text) = (one.text(), other.text());
    let (ones, others) = (one.parts(&one_text), other.parts(&other_text));
    let parts: Vec<&Part<'_>> = order
        .iter()
        .filter_map(|&(is_one, part)| if is_one { ones.get(part) } else { others.get(part) })
        .filter(|part| !part.locks.is_empty())
        .collect();
    let is_whole = one_text == other_text || is_joined(&parts) && comes_to_an_end(&parts);
    let (holds, doubtful) = united(holds(&one_text), holds(&other_text));
    Ok(Pass { holds, doubtful, is_whole })
}

/// A descriptor of the table, and the text that it has returned so far.
struct Reader<R> {
    source: R,
    text: Vec<u8>,
    /// The end of each read in the text.
    ends: Vec<usize>,
    is_done: bool,
}

/// The locks of one read.
struct Part<'a> {
    /// The line of each lock, without its place in the list. Two locks of a process on one file look the same.
    locks: Vec<&'a str>,
    /// The places, in this part, of the locks that look like no others in it.
    places: HashMap<&'a str, usize>,
    bytes: usize,
}

impl<'a> Part<'a> {
    fn new(locks: Vec<&'a str>, bytes: usize) -> Self {
        let mut places = HashMap::new();
        let mut alike = HashSet::new();
        for (place, lock) in locks.iter().enumerate() {
            if places.insert(*lock, place).is_some() {
                alike.insert(*lock);
            }
        }
        places.retain(|lock, _| !alike.contains(lock));
        Self { locks, places, bytes }
    }

    /// Returns whether both show some locks in a row that look like no others.
    ///
    /// One lock is not enough: a lock that was released and acquired again is shown at another place in the list and
    /// looks the same. A row of them in the same order does not arise like that.
    fn continues(&self, before: &Self) -> bool {
        let row = 8.min(self.locks.len()).min(before.locks.len());
        let mut length = 0;
        let mut next = None;
        self.locks.iter().any(|lock| {
            let place = self.places.get(lock).and_then(|_| before.places.get(lock)).copied();
            length = match place {
                None => 0,
                Some(place) if next == Some(place) => length + 1,
                Some(_) => 1,
            };
            next = place.map(|place| place + 1);
            length >= row
        })
    }
}

impl<R: Read> Reader<R> {
    const fn new(source: R) -> Self {
        Self { source, text: Vec::new(), ends: Vec::new(), is_done: false }
    }

    /// Returns the number of the part that was read, or `None` at the end.
    fn read(&mut self, size: usize, search: &Search<'_>) -> io::Result<Option<usize>> {
        if !(search.goes_on)() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the wait is over"));
        }
        let mut buffer = vec![0; size];
        let count = loop {
            match self.source.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                answer => break answer?,
            }
        };
        if count == 0 {
            self.is_done = true;
            return Ok(None);
        }
        self.text.extend(buffer.iter().take(count));
        self.ends.push(self.text.len());
        Ok(Some(self.ends.len() - 1))
    }

    fn bytes_of(&self, part: usize) -> &[u8] {
        let end = |part: usize| self.ends.get(part).copied().unwrap_or_default();
        let begin = part.checked_sub(1).map_or(0, end);
        self.text.get(begin..end(part)).unwrap_or_default()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.text).into_owned()
    }

    /// A lock belongs to the read in which its line begins. What did not fit into the read is kept by the kernel for the
    /// next one.
    fn parts<'a>(&self, text: &'a str) -> Vec<Part<'a>> {
        let mut parts = Vec::with_capacity(self.ends.len());
        let (mut begin, mut at) = (0, 0);
        let mut lines = text.split_inclusive('\n').peekable();
        for &end in &self.ends {
            let mut locks = vec![];
            while let Some(line) = lines.next_if(|_| at < end) {
                at += line.len();
                let lock = line.split_once(": ").map(|(_, lock)| lock);
                // The waiters of a lock are shown with it.
                locks.extend(lock.filter(|lock| !lock.trim_start().starts_with("->")));
            }
            parts.push(Part::new(locks, end - begin));
            begin = end;
        }
        parts
    }
}

/// Returns whether each read but the first is joined to one of the three before it.
fn is_joined(parts: &[&Part<'_>]) -> bool {
    const LATEST: usize = 3;
    (1..parts.len()).all(|at| {
        let (before, from) = parts.split_at(at);
        let mut latest = before.iter().rev().take(LATEST);
        from.first().is_some_and(|part| latest.any(|before| part.continues(before)))
    })
}

/// Returns whether the last read came to the end of the list, or the last but one if both end with the same lock.
fn comes_to_an_end(parts: &[&Part<'_>]) -> bool {
    let mut latest = parts.iter().rev();
    let (Some(last), before) = (latest.next(), latest.next()) else { return true };
    let is_same_end = |part: &&&Part<'_>| part.locks.last() == last.locks.last();
    last.bytes <= SHORT || before.filter(is_same_end).is_some_and(|part| part.bytes <= SHORT)
}

/// Returns the holds that both descriptors showed, and those that only one of them showed.
fn united(ones: Vec<Hold>, others: Vec<Hold>) -> (Vec<Hold>, Vec<Hold>) {
    let entries = |holds: &[Hold]| holds.iter().map(|hold| hold.entry).collect::<HashSet<_>>();
    let (in_one, in_other) = (entries(&ones), entries(&others));
    let (both, mut doubtful): (Vec<Hold>, Vec<Hold>) =
        ones.into_iter().partition(|hold| in_other.contains(&hold.entry));
    doubtful.extend(others.into_iter().filter(|hold| !in_one.contains(&hold.entry)));
    (both, doubtful)
}

#[cfg(test)]
mod tests;
