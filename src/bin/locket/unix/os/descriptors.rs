//! Descriptors by their numbers: those that this process has inherited, and those of a child between `fork` and `exec`. A
//! function that is legal after a fork keeps to signal-safety(7).

use std::ffi::{CStr, c_int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

/// Borrows an inherited descriptor by its number.
///
/// # Errors
///
/// `EBADF` if this process has not inherited it.
pub(in crate::unix) fn borrow_inherited(number: RawFd) -> io::Result<BorrowedFd<'static>> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if crate::unix::os::entry::was_closed(number) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: no memory is involved.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, and this process closes no inherited descriptor before it exits.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// Duplicates a descriptor to this number, without the close-on-exec flag. A descriptor that had the number is closed. Legal
/// after a fork.
pub(in crate::unix) fn duplicate_as(descriptor: BorrowedFd<'_>, number: RawFd) -> bool {
    let from = descriptor.as_raw_fd();
    // SAFETY: no memory is involved. dup2(2) of a descriptor to itself changes nothing, so the flag is cleared.
    unsafe {
        if from == number {
            libc::fcntl(number, libc::F_SETFD, 0) == 0
        } else {
            libc::dup2(from, number) == number
        }
    }
}

/// Duplicates the descriptor if it has the given number, and returns one that has not. The old one stays open. Legal after a
/// fork.
pub(in crate::unix) fn move_descriptor(descriptor: RawFd, number: RawFd) -> RawFd {
    if descriptor != number {
        return descriptor;
    }
    // SAFETY: no memory is involved.
    unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3) }
}

/// Duplicates a descriptor without the close-on-exec flag, to a number that a redirection of a shell cannot name (10 or more)
/// if the limit of descriptors allows it. Legal after a fork.
pub(in crate::unix) fn duplicate_for_exec(descriptor: BorrowedFd<'_>) -> bool {
    // SAFETY: no memory is involved.
    let copy = |least: c_int| unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD, least) };
    copy(10) >= 0 || copy(3) >= 0
}

/// Closes a descriptor that is not used any more. Legal after a fork.
pub(in crate::unix) fn close(descriptor: RawFd) {
    // SAFETY: no memory is involved; the caller owns the descriptor.
    unsafe { libc::close(descriptor) };
}

/// Reads until the buffer is full. Returns false at the end of the input and on an error. Legal after a fork.
pub(in crate::unix) fn read(descriptor: RawFd, buffer: &mut [u8]) -> bool {
    let mut filled = 0;
    while filled < buffer.len() {
        let rest = &mut buffer[filled..];
        // SAFETY: the call writes into the rest of the buffer, and no further.
        match unsafe { libc::read(descriptor, rest.as_mut_ptr().cast(), rest.len()) } {
            count @ 1.. => filled += count.unsigned_abs(),
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            _ => return false,
        }
    }
    true
}

/// Opens a file for reading. Legal after a fork.
pub(in crate::unix) fn open(path: &CStr) -> Option<RawFd> {
    // SAFETY: the path ends with a NUL, and the call reads no further.
    let file = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
    (file >= 0).then_some(file)
}

/// Reads once. Returns `None` on an error. Legal after a fork.
pub(in crate::unix) fn read_once(descriptor: RawFd, buffer: &mut [u8]) -> Option<usize> {
    // SAFETY: the call writes into the buffer, and no further.
    let count = unsafe { libc::read(descriptor, buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(count).ok()
}

/// Writes a few bytes to a socket, which has room for all of them. Returns whether they were written. Legal after a fork.
pub(in crate::unix) fn write(descriptor: RawFd, bytes: &[u8]) -> bool {
    // SAFETY: the call reads the bytes.
    let written = unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(written) == Ok(bytes.len())
}

/// Waits until one of the descriptors is readable or at its end, and returns which of them are. Legal after a fork.
pub(in crate::unix) fn wait_readable<const N: usize>(
    descriptors: [RawFd; N],
    milliseconds: c_int,
) -> [bool; N] {
    let mut polled = descriptors.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
    #[allow(clippy::cast_possible_truncation, reason = "types vary by platform; there are few")]
    let count = N as libc::nfds_t;
    // SAFETY: the call reads and writes the array; a negative descriptor is left out.
    unsafe { libc::poll(polled.as_mut_ptr(), count, milliseconds) };
    polled.map(|it| it.revents != 0)
}

/// Closes these descriptors and all between them. Legal after a fork.
pub(in crate::unix) fn close_between(first: RawFd, last: RawFd) {
    if first > last {
        return;
    }
    #[cfg(target_os = "linux")]
    // SAFETY: nothing in this process uses these descriptors any more.
    if unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) } == 0 {
        return;
    }
    // Before Linux 5.9, and on other systems. A descriptor above the limit was opened before the limit was lowered: rare.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let end = limit.and_then(|it| RawFd::try_from(it).ok()).unwrap_or(RawFd::MAX).min(1 << 20);
    for descriptor in first..end.min(last.saturating_add(1)) {
        close(descriptor);
    }
}
