//! Tells with which access a process has a file open.

use std::fs;
use std::path::Path;

use super::Outcome;

/// Returns the access (`O_RDONLY`, `O_WRONLY`, `O_RDWR`) of each descriptor of the process on the file at the path. See
/// proc(5), `/proc/PID/fdinfo`.
pub(crate) fn access_of_open(pid: u32, path: &Path) -> Outcome<Vec<i32>> {
    let mut access = vec![];
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        // Other tests open and close descriptors at the same time.
        if !fs::read_link(entry.path()).is_ok_and(|opened| opened == path) {
            continue;
        }
        let descriptor = entry.file_name().into_string().map_err(|_| "it is a number")?;
        let about = fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}"))?;
        let flags = about.lines().find_map(|line| line.strip_prefix("flags:")).ok_or("no flags")?;
        access.push(i32::from_str_radix(flags.trim(), 8)? & libc::O_ACCMODE);
    }
    Ok(access)
}
