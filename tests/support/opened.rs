//! The open files of processes: see proc(5), `/proc/PID/fd` and `/proc/PID/fdinfo`.

use std::fs;
use std::path::{Path, PathBuf};

use super::Outcome;
use super::peer::Peer;
use super::requests::Requests;

/// Returns the descriptors of a process and the paths of their files, ordered by number.
#[track_caller]
pub(crate) fn open_files(pid: u32) -> Vec<(i32, PathBuf)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the process should be running");
    // Other threads open and close descriptors at the same time.
    let file = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        Some((number, fs::read_link(entry.path()).ok()?))
    };
    let mut files: Vec<_> = entries.flatten().filter_map(file).collect();
    files.sort();
    files
}

/// Returns the access (`O_RDONLY`, `O_WRONLY`, `O_RDWR`) of each descriptor of the process on the file at the path.
pub(crate) fn access_of_open(pid: u32, path: &Path) -> Outcome<Vec<i32>> {
    let mut access = vec![];
    for (number, _) in open_files(pid).into_iter().filter(|(_, opened)| opened == path) {
        let about = fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}"))?;
        let flags = about.lines().find_map(|line| line.strip_prefix("flags:")).ok_or("no flags")?;
        access.push(i32::from_str_radix(flags.trim(), 8)? & libc::O_ACCMODE);
    }
    Ok(access)
}

impl Peer {
    /// Returns the number of the peer's descriptor of the file, if the peer has it open.
    #[track_caller]
    pub(crate) fn descriptor_of(&self, path: &Path) -> Option<i32> {
        let mut files = open_files(self.pid()).into_iter();
        files.find(|(_, opened)| opened == path).map(|(number, _)| number)
    }

    /// Closes the descriptor of the file, as programs do that call `closefrom(3)` or daemon(7). Returns its number.
    #[track_caller]
    pub(crate) fn lose_descriptor(&mut self, path: &Path) -> i32 {
        let number = self.descriptor_of(path).expect("the file should be open");
        self.close_descriptor(number);
        number
    }

    /// Also opens another file without Locket, as `f`. It gets the number.
    #[track_caller]
    pub(crate) fn replace_descriptor(&mut self, path: &Path, other: &Path) -> i32 {
        let number = self.lose_descriptor(path);
        self.open_foreign("f", other);
        let reused = open_files(self.pid()).contains(&(number, other.to_owned()));
        assert!(reused, "the number should be reused");
        number
    }

    /// Returns the limit (`RLIMIT_NOFILE`) that allows the peer that many more descriptors than it has now. The peer may have
    /// inherited descriptors with high numbers.
    #[track_caller]
    pub(crate) fn limit_for(&self, more: u64) -> u64 {
        let files = open_files(self.pid());
        let is_free =
            |number: &u64| files.iter().all(|(open, _)| u64::try_from(*open) != Ok(*number));
        let (mut limit, mut free) = (0, 0);
        while free < more {
            free += u64::from(is_free(&limit));
            limit += 1;
        }
        limit
    }
}
