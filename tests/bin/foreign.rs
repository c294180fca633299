//! Locks the same file without Locket: with plain `flock(2)` or `LockFileEx` (L14).
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

#[cfg(unix)]
use locket::Mode;

#[derive(Debug)]
pub(crate) struct Foreign(File);

impl Foreign {
    pub(crate) fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).open(path).map(Self)
    }
}

#[cfg(unix)]
impl Foreign {
    pub(crate) fn lock(&self, mode: Mode) -> io::Result<()> {
        self.flock(operation(mode))
    }

    /// Returns `false` if another open file holds the lock.
    pub(crate) fn try_lock(&self, mode: Mode) -> io::Result<bool> {
        match self.flock(operation(mode) | libc::LOCK_NB) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            answer => answer.map(|()| true),
        }
    }

    pub(crate) fn unlock(&self) -> io::Result<()> {
        self.flock(libc::LOCK_UN)
    }

    fn flock(&self, operation: libc::c_int) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        // SAFETY: the descriptor is open while the file is borrowed.
        match unsafe { libc::flock(self.0.as_raw_fd(), operation) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

#[cfg(unix)]
fn operation(mode: Mode) -> libc::c_int {
    match mode {
        Mode::Exclusive => libc::LOCK_EX,
        Mode::Shared => libc::LOCK_SH,
    }
}

/// Locks byte 0 only, as the reference implementation does.
#[cfg(windows)]
mod windows {
    use std::ffi::c_void;
    use std::io;
    use std::os::windows::io::AsRawHandle;

    use locket::Mode;

    use super::Foreign;

    #[repr(C)]
    #[derive(Default)]
    struct Overlapped {
        internal: [usize; 2],
        offset: [u32; 2],
        event: usize,
    }

    #[link(name = "kernel32")]
    unsafe extern "system" {
        fn LockFileEx(
            file: *mut c_void,
            flags: u32,
            reserved: u32,
            low: u32,
            high: u32,
            at: *mut Overlapped,
        ) -> i32;
        fn UnlockFileEx(
            file: *mut c_void,
            reserved: u32,
            low: u32,
            high: u32,
            at: *mut Overlapped,
        ) -> i32;
    }

    const FAIL_IMMEDIATELY: u32 = 1;
    const LOCK_VIOLATION: i32 = 33;

    impl Foreign {
        pub(crate) fn lock(&self, mode: Mode) -> io::Result<()> {
            self.lock_byte(flags(mode))
        }

        /// Returns `false` if another open file holds the lock.
        pub(crate) fn try_lock(&self, mode: Mode) -> io::Result<bool> {
            match self.lock_byte(flags(mode) | FAIL_IMMEDIATELY) {
                Err(error) if error.raw_os_error() == Some(LOCK_VIOLATION) => Ok(false),
                answer => answer.map(|()| true),
            }
        }

        pub(crate) fn unlock(&self) -> io::Result<()> {
            let mut at = Overlapped::default();
            // SAFETY: the handle is open while the file is borrowed. The call does not use `at` after it returns:
            // the handle was not opened for overlapped use.
            done(unsafe { UnlockFileEx(self.0.as_raw_handle(), 0, 1, 0, &raw mut at) })
        }

        fn lock_byte(&self, flags: u32) -> io::Result<()> {
            let mut at = Overlapped::default();
            // SAFETY: as in `unlock`.
            done(unsafe { LockFileEx(self.0.as_raw_handle(), flags, 0, 1, 0, &raw mut at) })
        }
    }

    fn flags(mode: Mode) -> u32 {
        match mode {
            Mode::Exclusive => 2,
            Mode::Shared => 0,
        }
    }

    fn done(answer: i32) -> io::Result<()> {
        if answer == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}
