//! The parsers of `/proc` for the fuzz targets in `fuzz/`, which alone compile this (`--cfg fuzzing`). Each function parses what
//! it gets, prints the result as the kernel would, and expects that to be parsed as the same.

use crate::options::Mode;
use crate::report::linux::fdinfo;
use crate::report::linux::file::number;
use crate::report::linux::mounts::Mount;
use crate::report::linux::process::Stat;
use crate::report::linux::table::{Entry, Hold, holds};

/// A text as `/proc/locks`.
pub fn locks(text: &str) {
    for hold in holds(text) {
        let Hold { entry, waiting } = &hold;
        assert!(entry.depth == 0 && waiting.is_sorted_by_key(|waiter| waiter.depth));
        assert!(waiting.iter().all(|waiter| waiter.depth > 0 && waiter.file == entry.file));
        let lines: String = [entry].into_iter().chain(waiting).map(line).collect();
        assert_eq!(holds(&lines), [hold]);
    }
}

/// A text as `/proc/PID/fdinfo/N`.
pub fn fdinfo(text: &str) {
    for entry in fdinfo::locks_in(text) {
        let again: Vec<Entry> = fdinfo::locks_in(&format!("lock:\t{}", line(&entry))).collect();
        assert_eq!(again, [entry]);
    }
    if let Some(inode) = number(text, "ino:") {
        assert_eq!(number(&format!("pos:\t0\nino:\t{inode}\n"), "ino:"), Some(inode));
    }
}

/// A text as `/proc/PID/mountinfo`, and a place that the kernel writes there (`show_mountinfo` in fs/proc_namespace.c, Linux 6.1).
pub fn mountinfo(text: &str) {
    for (id, mount) in text.lines().filter_map(Mount::parse) {
        let (major, minor) = mount.device;
        let Mount { kind, options, .. } = &mount;
        // The text itself is a place.
        let point: String = text.chars().map(escaped).collect();
        let line = format!("{id} 1 {major}:{minor} / {point} {options} - {kind} source ");
        let expected = (id, Mount { point: text.into(), options: format!("{options},"), ..mount });
        assert_eq!(Mount::parse(&line), Some(expected));
    }
}

/// A text as `/proc/PID/stat`, and as the name in it. Returns the state and the time of the start.
pub fn process_stat(text: &str) -> Option<(&str, u64)> {
    // The kernel writes at most 64 bytes of a name, any of them: only the last parenthesis ends it.
    let line = format!("7 ({text}) R 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 3 0 42 0 0");
    let expected = Stat { name: text, state: "R", threads: 3, start: 42 };
    assert_eq!(Stat::parse(&line), Some(expected));
    Stat::parse(text).map(|stat| (stat.state, stat.start))
}

fn line(entry: &Entry) -> String {
    let Entry { mode, pid, file, depth } = entry;
    let arrow = if *depth == 0 { String::new() } else { " ".repeat(depth - 1) + "-> " };
    let mode = if *mode == Mode::Shared { "READ" } else { "WRITE" };
    let ((major, minor), inode) = (file.device, file.inode);
    format!("1: {arrow}FLOCK  ADVISORY  {mode} {pid} {major:02x}:{minor:02x}:{inode} 0 EOF\n")
}

fn escaped(letter: char) -> String {
    match letter {
        ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", u32::from(letter)),
        other => other.into(),
    }
}
