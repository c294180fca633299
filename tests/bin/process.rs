//! Commands that change the peer's own process.

use std::process::{Command, Stdio};

use super::refusal::Reply;
use super::words;

pub(crate) fn chdir(path: &str) -> Reply {
    std::env::set_current_dir(words::path(path)?)?;
    Ok(String::new())
}

/// Starts a program and does not wait for it. The program inherits none of the peer's streams.
pub(crate) fn spawn(program: &str, arguments: &[&str]) -> Reply {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Ok(command.spawn()?.id().to_string())
}

#[cfg(windows)]
pub(crate) use windows::ctrl_c;

#[cfg(windows)]
mod windows {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::super::refusal::{Refusal, Reply};

    static SEEN: AtomicBool = AtomicBool::new(false);

    pub(crate) fn ctrl_c(verb: &str) -> Reply {
        match verb {
            "ignore" => {
                let see = || SEEN.store(true, Ordering::Relaxed);
                ctrlc::set_handler(see).map_err(io::Error::other)?;
                Ok(String::new())
            }
            "seen" => Ok(SEEN.load(Ordering::Relaxed).to_string()),
            _ => Err(Refusal::usage(format_args!("unknown action `{verb}`"))),
        }
    }
}

#[cfg(unix)]
pub(crate) use unix::{become_user, close_descriptor, free_descriptor, limit_files, umask};

#[cfg(unix)]
mod unix {
    #![allow(unsafe_code)]

    use std::io;
    use std::os::fd::AsRawFd;

    use super::super::refusal::Reply;
    use super::super::words::{octal, parse};

    fn done(answer: libc::c_int) -> io::Result<()> {
        if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }

    /// Changes user and group permanently, and drops all supplementary groups.
    pub(crate) fn become_user(id: &str) -> Reply {
        let id = parse(id)?;
        // SAFETY: the only pointer is null, which is allowed for an empty list.
        unsafe {
            done(libc::setgroups(0, std::ptr::null()))?;
            done(libc::setgid(id))?;
            done(libc::setuid(id))?;
        }
        Ok(String::new())
    }

    /// Closes the descriptor, which may be the library's.
    pub(crate) fn close_descriptor(number: &str) -> Reply {
        // SAFETY: none, on purpose. Some programs close descriptors that they do not own; the tests do the same.
        done(unsafe { libc::close(parse(number)?) })?;
        Ok(String::new())
    }

    /// Answers with the lowest number that is not an open descriptor. The next file gets it (open(2)).
    pub(crate) fn free_descriptor() -> Reply {
        Ok(std::fs::File::open("/dev/null")?.as_raw_fd().to_string())
    }

    /// Sets the limit of open files and answers with the previous limit.
    pub(crate) fn limit_files(limit: &str) -> Reply {
        let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the call fills `limits`.
        done(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits) })?;
        let before = limits.rlim_cur;
        limits.rlim_cur = parse(limit)?;
        // SAFETY: the call reads `limits`.
        done(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits) })?;
        Ok(before.to_string())
    }

    pub(crate) fn umask(mask: &str) -> Reply {
        let mask = octal(mask)?;
        // SAFETY: no memory is involved.
        #[allow(clippy::cast_possible_truncation, reason = "types vary by platform")]
        let before = unsafe { libc::umask(mask as libc::mode_t) };
        Ok(format!("{before:03o}"))
    }
}
