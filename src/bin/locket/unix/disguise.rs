//! The canary's name and command line. The functions may be called after a fork: they make system calls alone.

use std::ffi::CStr;

/// Gives the process another name than its parent's, and a command line that begins with the name and ends with these
/// words, each with a NUL at its end.
#[cfg(target_os = "linux")]
pub(super) fn put_on(name: &CStr, words: &[u8]) {
    use super::os;

    let _ = nix::sys::prctl::set_name(name);
    if let Some(area) = argument_area() {
        os::overwrite_arguments(&area, name.to_bytes_with_nul(), words);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn put_on(_name: &CStr, _words: &[u8]) {}

/// Where the words of this process's command line are: `arg_start` and `arg_end` of `proc_pid_stat(5)`.
#[cfg(target_os = "linux")]
fn argument_area() -> Option<std::ops::Range<usize>> {
    use rustix::fs::{Mode, OFlags};

    const START: usize = 48;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(c"/proc/self/stat", flags, Mode::empty()).ok()?;
    let mut buffer = [0; 1024];
    let count = rustix::io::read(&file, &mut buffer).ok()?;
    let stat = buffer.get(..count)?;
    // The third field follows the name, which may have anything in it.
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 2;
    let mut words = stat.get(after_name..)?.split(|&byte| byte == b' ').skip(START - 3);
    let mut number = || std::str::from_utf8(words.next()?).ok()?.parse::<usize>().ok();
    let area = number()?..number()?;
    (area.start > 0 && area.start < area.end).then_some(area)
}
