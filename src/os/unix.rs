//! `flock(2)`, and the identity of the file that a path names.

pub(crate) mod clock;
mod descriptor_table;
mod file_system;
mod forks;
mod generation;
mod identity;
pub(crate) mod lock_path;
mod open_file;
pub(crate) mod opening;
mod own_file;
mod sleep;
mod wait;

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use fs4::{FileExt, TryLockError};
use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, FdFlags};

use crate::deadline::Deadline;
use crate::error::Action;
use crate::options::{Access, Mode, Options};
use crate::os::platform::{
    Clock, Observed, Opened, OsError, Platform, PlatformFile, PlatformPath, WaitOutcome, reborrow,
};

use crate::os::unix::file_system::FileSystem;

pub(crate) use lock_path::LockPath;
pub(crate) use open_file::{BorrowedFile, OpenFile, RawDescriptor};

pub(crate) enum Os {}

impl Platform for Os {
    type LockPath = LockPath;
    type OpenFile = OpenFile;

    /// A child of `fork` may have a copy of what is opened while it is born, and does not know of it. So another
    /// descriptor is opened then, a few times at most.
    fn open(
        path: &LockPath,
        options: &Options,
        deadline: &Deadline,
        access: Access,
        mut observed: Option<&mut dyn Observed>,
    ) -> Result<Opened<OpenFile>, OsError> {
        const ATTEMPTS: u32 = 8;
        let mut attempts = 0;
        loop {
            attempts += 1;
            // Before the open: a fork that begins after this is noticed.
            let forks = generation::seen_forks();
            let observed = reborrow(&mut observed);
            let file = match opening::open(path, options, deadline, access, observed)? {
                Opened::File((file, stat)) => OpenFile::new(file, &stat, forks),
                Opened::Cancelled(elapsed) => return Ok(Opened::Cancelled(elapsed)),
            };
            if file.is_shared_by_fork() && attempts < ATTEMPTS {
                continue;
            }
            file.own.set_mark();
            return Ok(Opened::File(file));
        }
    }

    fn try_lock(file: &OpenFile, mode: Mode) -> Result<bool, OsError> {
        let answer = match mode {
            Mode::Exclusive => FileExt::try_lock(&*file.own),
            Mode::Shared => FileExt::try_lock_shared(&*file.own),
        };
        match answer {
            Ok(()) => {
                file.own.set_held(Some(mode));
                Ok(true)
            }
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) if wait::is_contention(file, &error) => Ok(false),
            Err(TryLockError::Error(error)) => Err(wait::lock_error(file, mode, error)),
        }
    }

    fn wait(
        file: &OpenFile,
        options: &Options,
        deadline: &Deadline,
        observed: Option<&mut dyn Observed>,
    ) -> Result<WaitOutcome, OsError> {
        let outcome = wait::wait(file, options, deadline, observed)?;
        // The host may have closed the descriptor meanwhile, and what was granted ended with it.
        check_own(file, Action::Lock)?;
        Ok(outcome)
    }

    fn is_current(path: &LockPath, file: &OpenFile, follow_links: bool) -> Result<bool, OsError> {
        let at = path.at(Action::Verify)?;
        let named = file.file_system.look_up(at, follow_links);
        let named = named.map_err(|error| Action::Verify.failed(error))?;
        Ok(named.is_some_and(|stat| file.own.is_of(&stat)))
    }

    fn unlock(file: &OpenFile) -> Result<(), OsError> {
        file.own.set_held(None);
        check_own(file, Action::Unlock)?;
        FileExt::unlock(&*file.own).map_err(|error| Action::Unlock.failed(error))
    }

    /// In one step on local file systems: Linux changes the lock under one spin lock (`flock_lock_inode` in
    /// fs/locks.c, Linux 6.1); the BSDs and macOS (`lf_setlock`) release first only to upgrade.
    fn downgrade(file: &OpenFile) -> Result<bool, OsError> {
        check_own(file, Action::Lock)?;
        if file.file_system != FileSystem::Local {
            let reason = "on this file system a downgrade may let another process in";
            return Err(Action::Lock.failed(Errno::OPNOTSUPP).because(reason));
        }
        if file.is_inherited_on_fork() {
            let reason = "the hold is shared with children of fork, which would not know of it";
            return Err(Action::Lock.failed(Errno::OPNOTSUPP).because(reason));
        }
        Self::try_lock(file, Mode::Shared)
    }

    fn inherit_on_exec(file: &OpenFile) -> Result<(), OsError> {
        check_own(file, Action::Inherit)?;
        file.lend();
        // A copy beyond the descriptors that shell scripts redirect, 0 to 9: a script that opens
        // something as number 3 would close the lock.
        let copy = |least| rustix::io::fcntl_dupfd_cloexec(&*file.own, least);
        let inherited = copy(10)
            // The process may have no descriptors beyond 10 left (`ulimit -n 11`).
            .or_else(|error| match error {
                Errno::INVAL | Errno::MFILE => copy(3),
                error => Err(error),
            })
            .and_then(|copy| rustix::io::fcntl_setfd(&copy, FdFlags::empty()).map(|()| copy))
            .map_err(|error| Action::Inherit.failed(error))?;
        file.own.enter_copy(inherited.as_raw_fd());
        std::mem::forget(inherited); // It belongs to the process and its children, and stays open.
        Ok(())
    }

    fn lacks_descriptors(error: &OsError) -> bool {
        matches!(Errno::from_io_error(&error.source), Some(Errno::MFILE | Errno::NFILE))
    }

    /// NFS answers `EBADF` to an exclusive lock on a descriptor that is not open for writing
    /// (`nfs4_proc_lock`, Linux), and CIFS `EIO`, as flock(1) of util-linux knows.
    fn needs_write_access(error: &OsError) -> bool {
        let number = Errno::from_io_error(&error.source);
        // An error with a known reason has another cause.
        let is_unexplained = error.action == Action::Lock && error.reason.is_none();
        is_unexplained && matches!(number, Some(Errno::BADF | Errno::IO))
    }

    fn held_here(file: &OpenFile, mode: Mode) -> Option<Mode> {
        file.own.held_here(mode)
    }

    /// The directory of the threads has a link for each, beside its own two (`proc_task_getattr` in fs/proc/base.c,
    /// Linux 6.1).
    #[cfg(target_os = "linux")]
    fn has_one_thread() -> bool {
        rustix::fs::stat("/proc/self/task").is_ok_and(|stat| stat.st_nlink == 3)
    }

    fn inherited_holds(path: &LockPath) -> impl Iterator<Item = Mode> {
        descriptor_table::inherited(path.key(), Self::generation())
    }

    fn watch_forks() {
        forks::watch();
    }

    #[inline]
    fn generation() -> u32 {
        generation::current()
    }

    fn clock(clock: Clock) -> usize {
        let clock = match clock {
            #[cfg(target_os = "linux")]
            Clock::Coarse => libc::CLOCK_MONOTONIC_COARSE,
            _ => libc::CLOCK_MONOTONIC,
        };
        #[allow(clippy::cast_possible_truncation, reason = "it may wrap")]
        clock::read(clock).map_or(0, |time| time.as_micros() as usize)
    }

    fn yield_to_waiters(time: Duration) {
        sleep::yield_to_waiters(time);
    }
}

/// Refuses to act on a number that belongs to another file by now, or to none: the host has closed the descriptor. The
/// kernel has no call that looks and acts in one step, so a thread of the host that closes it in between is not noticed.
#[inline]
fn check_own(file: &OpenFile, action: Action) -> Result<(), OsError> {
    if file.is_own() {
        return Ok(());
    }
    Err(action.failed(Errno::BADF).because("the program has closed the descriptor of the lock"))
}

/// Releases the lock on a descriptor of the caller's.
pub(crate) fn unlock_fd(fd: BorrowedFd<'_>) -> Result<(), OsError> {
    flock(fd, FlockOperation::Unlock).map_err(|error| Action::Unlock.failed(error))
}
