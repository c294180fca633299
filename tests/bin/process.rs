//! Requests that change the peer's own process.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use super::command::number;
use super::failure::{Failure, Outcome};

/// Starts a program and does not wait for it. The program inherits none of the peer's streams.
pub(crate) fn spawn(words: &[OsString]) -> Outcome {
    let (program, arguments) = words.split_first().ok_or_else(|| Failure::of_peer("no program"))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    number(command.spawn()?.id())
}

#[cfg(windows)]
pub(crate) use windows::{has_seen_ctrl_c, ignore_ctrl_c};

#[cfg(windows)]
mod windows {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

    static SEEN: AtomicBool = AtomicBool::new(false);

    pub(crate) fn ignore_ctrl_c() -> io::Result<()> {
        ctrlc::set_handler(|| SEEN.store(true, Ordering::Relaxed)).map_err(io::Error::other)
    }

    pub(crate) fn has_seen_ctrl_c() -> bool {
        SEEN.load(Ordering::Relaxed)
    }
}

#[cfg(unix)]
pub(crate) use unix::{become_user, close_descriptor, free_descriptor, limit_files, umask};

#[cfg(unix)]
mod unix {
    #![allow(unsafe_code)]

    use std::io;
    use std::os::fd::AsRawFd;

    use super::super::command::number;
    use super::super::failure::Outcome;

    fn done(answer: libc::c_int) -> io::Result<()> {
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Changes user and group permanently, and drops all supplementary groups.
    pub(crate) fn become_user(id: u32) -> io::Result<()> {
        // SAFETY: the only pointer is null, which is allowed for an empty list.
        unsafe {
            done(libc::setgroups(0, std::ptr::null()))?;
            done(libc::setgid(id))?;
            done(libc::setuid(id))
        }
    }

    /// Closes the descriptor, which may be the library's.
    pub(crate) fn close_descriptor(number: i32) -> io::Result<()> {
        // SAFETY: none, on purpose. Some programs close descriptors that they do not own; the tests do the same.
        done(unsafe { libc::close(number) })
    }

    /// Answers with the lowest number that is not an open descriptor. The next file gets it (open(2)).
    pub(crate) fn free_descriptor() -> Outcome {
        number(std::fs::File::open("/dev/null")?.as_raw_fd())
    }

    /// Sets the limit of open files and answers with the previous limit.
    pub(crate) fn limit_files(limit: u64) -> Outcome {
        let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the call fills `limits`.
        done(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits) })?;
        let before = limits.rlim_cur;
        #[allow(clippy::useless_conversion, reason = "types vary by platform")]
        let limit = libc::rlim_t::try_from(limit).map_err(io::Error::other)?;
        limits.rlim_cur = limit;
        // SAFETY: the call reads `limits`.
        done(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits) })?;
        number(before)
    }

    pub(crate) fn umask(mask: u32) {
        // SAFETY: no memory is involved.
        #[allow(clippy::cast_possible_truncation, reason = "types vary by platform")]
        unsafe {
            libc::umask(mask as libc::mode_t);
        }
    }
}
