//! A description of the machine, without which figures cannot be compared.

use std::path::Path;
use std::{fs, thread};

use super::python::Python;

pub(crate) fn describe(dir: &Path, python: &Python) -> String {
    let cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel: Vec<&str> = kernel.split('.').take(2).collect();
    let system = match kernel.as_slice() {
        [major, minor] => format!("Linux {major}.{minor}"),
        _ => std::env::consts::OS.into(),
    };
    let files = file_system(dir).unwrap_or_else(|| "an unknown file system".into());
    format!("Measured with {cores} cores, {system}, {files}; {}.", python.versions())
}

/// Returns the type of the file system of the directory: of its mount point with the longest path.
fn file_system(dir: &Path) -> Option<String> {
    let dir = dir.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (point, kind) = (Path::new(words.next()?), words.next()?);
        dir.starts_with(point).then(|| (point.components().count(), kind.to_owned()))
    });
    mounts.max_by_key(|(depth, _)| *depth).map(|(_, kind)| kind)
}
