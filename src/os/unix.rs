//! `flock`, `stat`, and the descriptors that they are called on.

pub(super) mod clock;
mod copies;
mod diagnosis;
mod file_system;
mod forks;
mod name;
mod opening;
mod own_file;
pub(super) mod users;

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use fs4::{FileExt, TryLockError};
use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, FdFlags};

use crate::courtesy::Clock;
use crate::deadline::Deadline;
use crate::error::{Action, Failure};
use crate::fork_count::Seen;
use crate::observer::{Opened, Waited, Watch};
use crate::options::{Access, Mode, Options};

#[cfg(target_os = "linux")]
use super::linux::{alarm::Alarm, watcher::watched};

use diagnosis::not_locked;
use file_system::FileSystem;
use own_file::OwnFile;

pub(crate) use diagnosis::{diagnose, needs_writing};
pub(crate) use forks::{generation, watch_forks};
pub(crate) use name::Name;
pub(in crate::os) use name::Place;

/// An open file description of our own.
#[derive(Debug)]
pub(crate) struct Descriptor {
    file: OwnFile,
    /// The forks that this process had seen when it was opened.
    forks: Seen,
    file_system: FileSystem,
}

impl Descriptor {
    pub(crate) fn is_shared_by_fork(&self) -> bool {
        forks::happened_since(self.forks)
    }

    pub(crate) fn number(&self) -> Number {
        Number(self.file.as_raw_fd())
    }

    /// The caller of the library will use it.
    pub(crate) fn lend(&self) {
        self.file.clear_mark();
    }

    pub(crate) fn is_own(&self) -> bool {
        self.file.is_own()
    }

    /// A hold that children of `fork` keep, through their copies of this descriptor.
    pub(crate) fn keep_on_fork(&self, name: &Name, mode: Mode) {
        self.file.keep_on_fork(name.key(), mode);
    }

    pub(crate) fn is_kept_on_fork(&self) -> bool {
        self.file.is_kept_on_fork()
    }

    /// On network file systems and FUSE an open file keeps its directory from being removed, since a
    /// deleted file lives on under another name there, and its mount from being unmounted.
    pub(crate) fn may_be_idle(&self) -> bool {
        self.file_system == FileSystem::Local
    }
}

/// The number of a descriptor, for a guard that has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number(RawFd);

impl Number {
    /// Borrows the descriptor for as long as its owner is borrowed, which keeps it open meanwhile.
    pub(crate) fn borrow_from<T>(self, _owner: &T) -> BorrowedFd<'_> {
        // SAFETY: a guard owns the descriptor whose number it has, and that leaves the guard only when
        // the guard itself ends: by `release`, `bequeath` and drop.
        unsafe { BorrowedFd::borrow_raw(self.0) }
    }
}

/// An open file description of the caller's.
#[derive(Debug)]
pub(crate) struct BorrowedDescriptor<'fd> {
    descriptor: Descriptor,
    _fd: PhantomData<BorrowedFd<'fd>>,
}

impl<'fd> BorrowedDescriptor<'fd> {
    pub(crate) fn new(fd: BorrowedFd<'fd>) -> Result<Self, Failure> {
        let file = OwnFile::borrow(fd).map_err(|error| Action::Lock.failed(error))?;
        let file_system = FileSystem::of(&file);
        let descriptor = Descriptor { file, forks: forks::seen(), file_system };
        Ok(Self { descriptor, _fd: PhantomData })
    }

    pub(crate) fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }
}

/// The modes of the holds of this path that the process has inherited from the process that forked it.
pub(crate) fn inherited(name: &Name) -> impl Iterator<Item = Mode> {
    copies::inherited(name.key(), generation())
}

pub(crate) fn held_here(descriptor: &Descriptor, wanted: Mode) -> Option<Mode> {
    descriptor.file.held_here(wanted)
}

/// Whether this process has one thread, as far as the system tells: the directory of the threads has a link for each, beside
/// its own two (`proc_task_getattr` in fs/proc/base.c, Linux 6.1).
#[cfg(target_os = "linux")]
pub(crate) fn has_one_thread() -> bool {
    rustix::fs::stat("/proc/self/task").is_ok_and(|stat| stat.st_nlink == 3)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn has_one_thread() -> bool {
    false
}

/// Opens the lock file. The forks are counted first: a child may have a copy of what is opened while it is born, and does
/// not know of it. Then another descriptor is opened, a few times at most.
pub(crate) fn open(
    name: &Name,
    options: &Options,
    deadline: &Deadline,
    access: Access,
    watch: &mut Option<Watch>,
) -> Result<Opened<Descriptor>, Failure> {
    const ATTEMPTS: u32 = 8;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let forks = forks::seen();
        let (file, stat) = match opening::open(name, options, deadline, access, watch)? {
            Opened::Descriptor(opened) => opened,
            Opened::GivenUp(waited) => return Ok(Opened::GivenUp(waited)),
        };
        let file_system = FileSystem::of(&file);
        let descriptor = Descriptor { file: OwnFile::new(file, &stat), forks, file_system };
        if descriptor.is_shared_by_fork() && attempts < ATTEMPTS {
            continue;
        }
        descriptor.file.set_mark();
        return Ok(Opened::Descriptor(descriptor));
    }
}

pub(crate) fn lacks_descriptors(failure: &Failure) -> bool {
    matches!(Errno::from_io_error(&failure.source), Some(Errno::MFILE | Errno::NFILE))
}

pub(crate) fn is_current(
    name: &Name,
    descriptor: &Descriptor,
    follow_links: bool,
) -> Result<bool, Failure> {
    let place = name.place(Action::Check)?;
    let named = descriptor.file_system.look_up(place, follow_links);
    let named = named.map_err(|error| Action::Check.failed(error))?;
    Ok(named.is_some_and(|stat| descriptor.file.is_of(&stat)))
}

pub(crate) fn try_lock(descriptor: &Descriptor, mode: Mode) -> Result<bool, Failure> {
    let answer = match mode {
        Mode::Exclusive => FileExt::try_lock(&*descriptor.file),
        Mode::Shared => FileExt::try_lock_shared(&*descriptor.file),
    };
    match answer {
        Ok(()) => {
            descriptor.file.set_held(Some(mode));
            Ok(true)
        }
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) if is_contention(descriptor, &error) => Ok(false),
        Err(TryLockError::Error(error)) => Err(not_locked(descriptor, mode, error)),
    }
}

/// Sleeps until the lock may be free. Meanwhile the host may have closed the descriptor, and what was granted went with it.
pub(crate) fn wait(
    descriptor: &Descriptor,
    options: &Options,
    deadline: &Deadline,
    watch: Option<&mut Watch>,
) -> Result<Waited, Failure> {
    let waited = wait_once(descriptor, options, deadline, watch)?;
    check_own(descriptor, Action::Lock)?;
    Ok(waited)
}

fn wait_once(
    descriptor: &Descriptor,
    options: &Options,
    deadline: &Deadline,
    mut watch: Option<&mut Watch>,
) -> Result<Waited, Failure> {
    match block(descriptor, options, deadline, watch.as_deref_mut()) {
        Some(Ok(waited)) => return Ok(waited),
        Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => return Ok(Waited::Woken),
        Some(Err(error)) if !is_contention(descriptor, &error) => {
            return Err(not_locked(descriptor, options.mode, error));
        }
        Some(Err(_)) | None => {}
    }
    Ok(pause_before_retry(options, deadline, watch))
}

/// Sleeps until the next attempt is due, or the observer ends the wait.
fn pause_before_retry(options: &Options, deadline: &Deadline, watch: Option<&mut Watch>) -> Waited {
    let period = options.retry_period.min(deadline.remaining().unwrap_or(Duration::MAX));
    if let Some(watch) = watch {
        if watch.start() {
            watch.pause(period);
            return watch.ended().map_or(Waited::Woken, Waited::GivenUp);
        }
    }
    pause(period);
    Waited::Woken
}

/// Sleeps in the kernel's queue for the lock until it is granted or a signal comes. `None` if there
/// is no time left, or no signal would come in time or end the wait.
#[cfg(target_os = "linux")]
fn block(
    descriptor: &Descriptor,
    options: &Options,
    deadline: &Deadline,
    watch: Option<&mut Watch>,
) -> Option<io::Result<Waited>> {
    let alarm = match (deadline.remaining(), &watch) {
        (None, None) => return Some(lock(descriptor, options.mode)),
        (Some(Duration::ZERO), _) => return None,
        (remaining, _) if options.signals && descriptor.file_system.ends_waits() => {
            Alarm::set(remaining.unwrap_or(Duration::MAX))?
        }
        _ => return None,
    };
    match watch {
        None => Some(lock(descriptor, options.mode)),
        Some(watch) => watched(&alarm, watch, || lock(descriptor, options.mode)),
    }
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::needless_pass_by_value, reason = "Linux's form")]
fn block(
    descriptor: &Descriptor,
    options: &Options,
    deadline: &Deadline,
    watch: Option<&mut Watch>,
) -> Option<io::Result<Waited>> {
    let unlimited = deadline.remaining().is_none() && watch.is_none();
    unlimited.then(|| lock(descriptor, options.mode))
}

fn lock(descriptor: &Descriptor, mode: Mode) -> io::Result<Waited> {
    match mode {
        Mode::Exclusive => FileExt::lock(&*descriptor.file),
        Mode::Shared => FileExt::lock_shared(&*descriptor.file),
    }?;
    descriptor.file.set_held(Some(mode));
    Ok(Waited::Granted)
}

/// Ends early if a signal comes. `thread::sleep` would go on for what it thinks is left, which
/// under a stream of signals is no less each time: the caller looks at the clock.
fn pause(period: Duration) {
    if period.is_zero() {
        return thread::yield_now();
    }
    // The longest that every system's clock can tell, and long enough to look at ours again.
    let period = period.min(Duration::from_secs(3600));
    if let Ok(period) = period.try_into() {
        let _left = rustix::thread::nanosleep(&period);
    }
}

/// Asleep: who wakes up on this processor is not let in by one that is busy, not even by one that
/// only yields.
pub(crate) fn give_way(moment: Duration) {
    if !oversleeps() {
        return pause(moment);
    }
    let start = Instant::now();
    while start.elapsed() < moment {
        thread::yield_now();
    }
}

/// Some hosts let their threads sleep for much longer than they ask for.
#[cfg(target_os = "linux")]
fn oversleeps() -> bool {
    const MUCH: libc::c_long = 100_000; // Nanoseconds. Where nobody sets it, it is 50,000.
    // SAFETY: it changes nothing. (The C library's own `prctl` cuts the answer down to an `int`.)
    let slack = unsafe { libc::syscall(libc::SYS_prctl, libc::PR_GET_TIMERSLACK) };
    !(0..=MUCH).contains(&slack)
}

#[cfg(not(target_os = "linux"))]
fn oversleeps() -> bool {
    false
}

pub(crate) fn clock(which: Clock) -> usize {
    let clock = match which {
        #[cfg(target_os = "linux")]
        Clock::Coarse => libc::CLOCK_MONOTONIC_COARSE,
        _ => libc::CLOCK_MONOTONIC,
    };
    #[allow(clippy::cast_possible_truncation, reason = "it may wrap")]
    clock::read(clock).map_or(0, |time| time.as_micros() as usize)
}

/// Whether an error says that the lock is held elsewhere.
///
/// SMB answers `EACCES` where others answer `EWOULDBLOCK`. Elsewhere `EACCES` is what it says: a security module may
/// forbid locking, and no wait would help. 9p answers `EAGAIN` to a wait that a signal ended.
fn is_contention(descriptor: &Descriptor, error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
        || error.raw_os_error() == Some(libc::EACCES) && descriptor.file_system == FileSystem::Smb
}

/// Refuses to act on a number that is another file's by now, or no file's: the host has closed the descriptor. The kernel
/// has no call that looks and acts in one step, so a thread of the host that closes it in between is not noticed.
#[inline]
fn check_own(descriptor: &Descriptor, action: Action) -> Result<(), Failure> {
    if descriptor.is_own() {
        return Ok(());
    }
    Err(action.failed(Errno::BADF).because("the program has closed the descriptor of the lock"))
}

pub(crate) fn unlock(descriptor: &Descriptor) -> Result<(), Failure> {
    descriptor.file.set_held(None);
    check_own(descriptor, Action::Unlock)?;
    FileExt::unlock(&*descriptor.file).map_err(|error| Action::Unlock.failed(error))
}

/// From exclusive to shared, in one step where that is known of the file system: Linux changes the lock
/// under one spin lock (`flock_lock_inode` in fs/locks.c), the BSDs and macOS (`lf_setlock`) release
/// first only to upgrade.
pub(crate) fn downgrade(descriptor: &Descriptor) -> Result<bool, Failure> {
    check_own(descriptor, Action::Lock)?;
    if descriptor.file_system != FileSystem::Local {
        let reason = "on this file system a downgrade may let another process in";
        return Err(Action::Lock.failed(Errno::OPNOTSUPP).because(reason));
    }
    if descriptor.is_kept_on_fork() {
        let reason = "the hold is kept for children of fork, which would have to know";
        return Err(Action::Lock.failed(Errno::OPNOTSUPP).because(reason));
    }
    try_lock(descriptor, Mode::Shared)
}

/// The same, for a descriptor of the caller's.
pub(crate) fn unlock_fd(fd: BorrowedFd<'_>) -> Result<(), Failure> {
    flock(fd, FlockOperation::Unlock).map_err(|error| Action::Unlock.failed(error))
}

pub(crate) fn bequeath(descriptor: &Descriptor) -> Result<(), Failure> {
    check_own(descriptor, Action::Inherit)?;
    descriptor.lend();
    // A copy past the descriptors that shell scripts redirect, 0 to 9: a script that opened
    // something as number 3 would close the lock.
    let copy = |least| rustix::io::fcntl_dupfd_cloexec(&*descriptor.file, least);
    let inherited = copy(10)
        // The process may have no more than ten (`ulimit -n 10`).
        .or_else(|error| if error == Errno::INVAL { copy(3) } else { Err(error) })
        .and_then(|copy| rustix::io::fcntl_setfd(&copy, FdFlags::empty()).map(|()| copy))
        .map_err(|error| Action::Inherit.failed(error))?;
    descriptor.file.enter_copy(inherited.as_raw_fd());
    std::mem::forget(inherited); // It is the process's and its children's: nobody closes it.
    Ok(())
}
