//! What a thread does in the critical section: evidence that needs no clock, and does not depend on the lock.
//!
//! A *witness* is a symbolic link whose target is the name of its maker. Creating it is atomic, and fails if one is there
//! (`symlink(2)`, EEXIST). A *count* is a number that is read, and then written as one more.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use super::log::Log;
use super::program::Pace;

/// Records evidence under an exclusive hold of this file.
pub(crate) fn check_exclusive(directory: &Path, file: u64, me: &str, hold: Pace, log: &mut Log) {
    let witness = witness_of(directory, file);
    while let Err(error) = symlink(me, &witness) {
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}");
        // Either the witness of a process that was killed here, or of another holder.
        if let Some(other) = name_in(&witness) {
            log.saw(format_args!("found {file} {other}"));
        }
        let _ = fs::remove_file(&witness);
    }
    let count = count_of(directory, file);
    let value = read(&count);
    hold.pass();
    let next = (value + 1).to_le_bytes();
    count.write_all_at(&next, 0).expect("there should be room for a number");
    log.saw(format_args!("counted {file} {value}"));
    match name_in(&witness) {
        Some(name) if name == me => {}
        other => log.saw(format_args!("lost {file} {}", other.as_deref().unwrap_or("none"))),
    }
    let _ = fs::remove_file(&witness);
}

/// Records evidence under a shared hold of this file.
pub(crate) fn check_shared(directory: &Path, file: u64, hold: Pace, log: &mut Log) {
    let witness = witness_of(directory, file);
    let count = count_of(directory, file);
    let before = read(&count);
    for moment in [Pace::Immediate, hold] {
        moment.pass();
        if let Some(other) = name_in(&witness) {
            log.saw(format_args!("found {file} {other}"));
        }
    }
    let after = read(&count);
    if before != after {
        log.saw(format_args!("changed {file} {before} {after}"));
    }
}

fn witness_of(directory: &Path, file: u64) -> PathBuf {
    directory.join(format!("witness.{file}"))
}

fn name_in(witness: &Path) -> Option<String> {
    fs::read_link(witness).ok().map(|name| name.to_string_lossy().into_owned())
}

fn count_of(directory: &Path, file: u64) -> File {
    let path = directory.join(format!("count.{file}"));
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).expect("the directory should be writable")
}

fn read(count: &File) -> u64 {
    let mut bytes = [0; 8];
    // Before the first count the file is empty.
    let _ = count.read_exact_at(&mut bytes, 0);
    u64::from_le_bytes(bytes)
}

/// Returns the file whose lock this process holds, as the kernel reports it. `None` if there is not exactly one.
pub(crate) fn locked_file() -> Option<u64> {
    let mut held = vec![];
    for entry in fs::read_dir("/proc/self/fdinfo").ok()?.flatten() {
        // The descriptor of the directory itself is closed by now.
        let info = fs::read_to_string(entry.path()).unwrap_or_default();
        for line in info.lines().filter(|line| line.contains("FLOCK")) {
            let file = line.split_whitespace().find(|word| word.matches(':').count() == 2)?;
            held.push(file.rsplit(':').next()?.parse().ok()?);
        }
    }
    if let [file] = held[..] { Some(file) } else { None }
}
