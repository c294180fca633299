//! Locks of open file descriptions by fcntl(2) (`F_OFD_SETLK`), which have nothing to do with those of flock(2).

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use super::super::unix::Interrupter;
use super::args::{Operation, Range};

/// Returns whether it was done; if not, another process has such a lock. The wait sleeps in the kernel's queue, which a
/// signal at the deadline ends.
pub(super) fn operate(
    fd: impl AsFd,
    operation: Operation,
    range: Range,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let lock = request(operation, range);
    let attempt = |sleeps: bool| loop {
        let argument =
            if sleeps { FcntlArg::F_OFD_SETLKW(&lock) } else { FcntlArg::F_OFD_SETLK(&lock) };
        match fcntl(&fd, argument) {
            Ok(_) => return Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    };
    let is_done = attempt(false)?;
    if is_done || timeout == Some(Duration::ZERO) {
        return Ok(is_done);
    }
    let Some(deadline) = timeout.and_then(|timeout| Instant::now().checked_add(timeout)) else {
        return Ok(attempt(true)?);
    };
    let _interrupter = Interrupter::start(deadline.saturating_duration_since(Instant::now()))?;
    loop {
        match fcntl(&fd, FcntlArg::F_OFD_SETLKW(&lock)) {
            Ok(_) => return Ok(true),
            Err(Errno::EINTR) if Instant::now() < deadline => {}
            // The last attempt is made at the deadline or after it (L3).
            Err(Errno::EINTR) => return Ok(attempt(false)?),
            Err(error) => return Err(error.into()),
        }
    }
}

fn request(operation: Operation, range: Range) -> libc::flock {
    let kind = match operation {
        Operation::Exclusive => libc::F_WRLCK,
        Operation::Shared => libc::F_RDLCK,
        Operation::Unlock => libc::F_UNLCK,
    };
    #[allow(clippy::cast_possible_truncation, reason = "types vary by platform; both are small")]
    let (kind, whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
    // It must be zero (`F_OFD_SETLK` in fcntl(2)).
    libc::flock {
        l_type: kind,
        l_whence: whence,
        l_start: range.start,
        l_len: range.length,
        l_pid: 0,
    }
}
