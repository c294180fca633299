//! What is done in the critical section: evidence that needs no clock, and that no lock can fake.
//!
//! A *witness* is a symbolic link to its maker's name: made at one stroke, only if there is none. A
//! *count* is read, and then written as one more.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use super::log::Log;
use super::program::Pace;

/// Of an exclusive hold of this file.
pub(crate) fn alone(directory: &Path, file: u64, me: &str, hold: Pace, log: &mut Log) {
    let witness = witness_of(directory, file);
    while let Err(error) = symlink(me, &witness) {
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{error}");
        // That of a process that was killed here; or somebody is here.
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
        other => log.saw(format_args!("lost {file} {}", other.as_deref().unwrap_or("nobody"))),
    }
    let _ = fs::remove_file(&witness);
}

/// Of a shared one.
pub(crate) fn beside_others(directory: &Path, file: u64, hold: Pace, log: &mut Log) {
    let witness = witness_of(directory, file);
    let count = count_of(directory, file);
    let before = read(&count);
    for moment in [Pace::AtOnce, hold] {
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
    options.open(path).expect("the directory is ours")
}

fn read(count: &File) -> u64 {
    let mut bytes = [0; 8];
    // Before the first count it is empty.
    let _ = count.read_exact_at(&mut bytes, 0);
    u64::from_le_bytes(bytes)
}

/// The file whose lock this process holds, by the kernel's own account; it must be just one.
pub(crate) fn file_in_kernel() -> Option<u64> {
    let mut held = vec![];
    for entry in fs::read_dir("/proc/self/fdinfo").ok()?.flatten() {
        // The descriptor of the directory itself is gone by now.
        let info = fs::read_to_string(entry.path()).unwrap_or_default();
        for line in info.lines().filter(|line| line.contains("FLOCK")) {
            let file = line.split_whitespace().find(|word| word.matches(':').count() == 2)?;
            held.push(file.rsplit(':').next()?.parse().ok()?);
        }
    }
    if let [file] = held[..] { Some(file) } else { None }
}
