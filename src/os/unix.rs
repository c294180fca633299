//! `open`, `flock`, `stat`, and what `fork` does to them.

pub(super) mod clock;
mod diagnosis;
pub(super) mod users;

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{self, Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fs4::{FileExt, TryLockError};
use rustix::fs::{AtFlags, CWD, FileType, OFlags, Stat};
use rustix::io::{Errno, FdFlags};

use crate::courtesy::Clock;
use crate::deadline::Deadline;
use crate::error::{Action, Failure};
use crate::observer::{Waited, Watch};
use crate::options::{Mode, Options};

#[cfg(target_os = "linux")]
use super::linux::{alarm::Alarm, watcher::watched};

pub(crate) use diagnosis::diagnose;

/// An absolute path, in the form that system calls take.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    path: PathBuf,
    /// Or why no file can have this name.
    raw: Result<CString, (io::ErrorKind, &'static str)>,
}

impl Name {
    pub(crate) fn new(given: &Path) -> Self {
        let (path, fault) = match path::absolute(given) {
            Ok(path) => (path, None),
            Err(_) if given.as_os_str().is_empty() => {
                (given.into(), Some((io::ErrorKind::InvalidInput, "the path is empty")))
            }
            Err(error) => {
                (given.into(), Some((error.kind(), "the current directory cannot be told")))
            }
        };
        let nul = (io::ErrorKind::InvalidInput, "the path has a NUL byte in it");
        let raw = match fault {
            Some(fault) => Err(fault),
            None => CString::new(path.as_os_str().as_bytes()).map_err(|_| nul),
        };
        Self { path, raw }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn raw(&self, action: Action) -> Result<&CStr, Failure> {
        let raw = self.raw.as_ref();
        raw.map(CString::as_c_str)
            .map_err(|&(kind, text)| action.failed(io::Error::new(kind, text)))
    }
}

/// An open file description of our own.
#[derive(Debug)]
pub(crate) struct Descriptor {
    file: File,
    /// Device and inode. They are read once: they are the descriptor's for life, and the inode's
    /// number goes to no other file as long as a descriptor holds it.
    identity: (u64, u64),
    /// How many forks this process had seen when it was opened.
    forks: u32,
}

impl Descriptor {
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(crate) fn is_shared_by_fork(&self) -> bool {
        self.forks != FORKS.load(Ordering::Relaxed) || FORKING.load(Ordering::Relaxed) != 0
    }
}

pub(crate) fn open(
    name: &Name,
    options: &Options,
    deadline: &Deadline,
) -> Result<Descriptor, Failure> {
    let path = name.raw(Action::Open)?;
    let forks = FORKS.load(Ordering::Relaxed);
    let file = open_by(deadline, path, options)?;
    let stat = rustix::fs::fstat(&file).map_err(|error| Action::Open.failed(error))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => Err(Action::Open.failed(Errno::ISDIR)),
        FileType::Fifo => Err(Action::Open.failed(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a FIFO, which has no place for a lock file",
        ))),
        _ => Ok(Descriptor { file, identity: identity(&stat), forks }),
    }
}

/// Somebody may have a lease on the file (`F_SETLEASE`; file servers do) and is told to give it
/// back, which takes a while. To wait for that in `open` would be to wait past the deadline.
fn open_by(deadline: &Deadline, path: &CStr, options: &Options) -> Result<File, Failure> {
    loop {
        let left = deadline.remaining().unwrap_or(Duration::MAX);
        match open_or_create(path, options) {
            Err(failure) if !left.is_zero() && is_leased(&failure) => {
                pause(options.retry_period.min(left));
            }
            opened => return opened,
        }
    }
}

fn is_leased(failure: &Failure) -> bool {
    Errno::from_io_error(&failure.source) == Some(Errno::AGAIN)
}

fn open_or_create(path: &CStr, options: &Options) -> Result<File, Failure> {
    match open_existing(path, options) {
        Err(Errno::NOENT) if options.create => create(path, options),
        // Every system has an error of its own for that.
        Err(_) if !options.follow_links && is_link(path) => {
            Err(Action::Open.failed(not_followed()))
        }
        opened => opened.map_err(|error| Action::Open.failed(error)),
    }
}

/// Without `O_CREAT`, which `fs.protected_regular` forbids for another user's file in a sticky
/// directory. For writing, since NFS wants that for an exclusive lock; but what may only be read
/// can be locked all the same.
fn open_existing(path: &CStr, options: &Options) -> Result<File, Errno> {
    match open_with(path, options, OFlags::RDWR) {
        Err(Errno::ACCESS | Errno::PERM | Errno::ROFS | Errno::TXTBSY) => {
            open_with(path, options, OFlags::RDONLY)
        }
        opened => opened,
    }
}

fn create(path: &CStr, options: &Options) -> Result<File, Failure> {
    open_with(path, options, OFlags::RDWR | OFlags::CREATE).or_else(|error| {
        // Another user may have made it since, one we may open but not create.
        open_existing(path, options).map_err(|_| Action::Create.failed(error))
    })
}

/// `O_NONBLOCK` is for the FIFO that would wait for a peer, and the lease that would be waited for;
/// to `flock` it means nothing.
fn open_with(path: &CStr, options: &Options, flags: OFlags) -> Result<File, Errno> {
    let mut flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    flags.set(OFlags::NOFOLLOW, !options.follow_links);
    #[allow(clippy::cast_possible_truncation, reason = "types vary by platform")]
    let mode = rustix::fs::Mode::from_raw_mode(options.create_mode as rustix::fs::RawMode);
    rustix::fs::open(path, flags, mode).map(File::from)
}

pub(super) fn not_followed() -> io::Error {
    let text = "it is a symbolic link, which this handle does not follow";
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn is_link(path: &CStr) -> bool {
    let stat = rustix::fs::lstat(path);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

fn identity(stat: &Stat) -> (u64, u64) {
    #[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "types vary by platform")]
    (stat.st_dev as u64, stat.st_ino as u64)
}

pub(crate) fn is_current(
    name: &Name,
    descriptor: &Descriptor,
    follow_links: bool,
) -> Result<bool, Failure> {
    let path = name.raw(Action::Check)?;
    let flags = if follow_links { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    match rustix::fs::statat(CWD, path, flags) {
        Ok(stat) => Ok(identity(&stat) == descriptor.identity),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
        Err(error) => Err(Action::Check.failed(error)),
    }
}

pub(crate) fn try_lock(descriptor: &Descriptor, mode: Mode) -> Result<bool, Failure> {
    let answer = match mode {
        Mode::Exclusive => FileExt::try_lock(&descriptor.file),
        Mode::Shared => FileExt::try_lock_shared(&descriptor.file),
    };
    match answer {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) if is_contention(descriptor, &error) => Ok(false),
        Err(TryLockError::Error(error)) => Err(Action::Lock.failed(error)),
    }
}

pub(crate) fn wait(
    descriptor: &Descriptor,
    options: &Options,
    deadline: &Deadline,
    mut watch: Option<&mut Watch<'_>>,
) -> Result<Waited, Failure> {
    match block(descriptor, options, deadline, watch.as_deref_mut()) {
        Some(Ok(waited)) => return Ok(waited),
        Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => return Ok(Waited::Woken),
        Some(Err(error)) if !is_contention(descriptor, &error) => {
            return Err(Action::Lock.failed(error));
        }
        Some(Err(_)) | None => {}
    }
    let mut period = options.retry_period.min(deadline.remaining().unwrap_or(Duration::MAX));
    if let Some(watch) = watch {
        if let Some(waited) = watch.look_if_due() {
            return Ok(Waited::GivenUp(waited));
        }
        period = period.min(watch.due());
    }
    pause(period);
    Ok(Waited::Woken)
}

/// Sleeps in the kernel's queue for the lock until it is granted or a signal comes. `None` if there
/// is no time left, or no signal would come in time.
#[cfg(target_os = "linux")]
fn block(
    descriptor: &Descriptor,
    options: &Options,
    deadline: &Deadline,
    watch: Option<&mut Watch<'_>>,
) -> Option<io::Result<Waited>> {
    let alarm = match (deadline.remaining(), &watch) {
        (None, None) => return Some(lock(descriptor, options.mode)),
        (Some(Duration::ZERO), _) => return None,
        (remaining, _) if options.signals => Alarm::set(remaining.unwrap_or(Duration::MAX))?,
        _ => return None,
    };
    match watch {
        None => Some(lock(descriptor, options.mode)),
        Some(watch) => {
            // Refused, it ends with the descriptor.
            let give_back = || drop(unlock(descriptor));
            watched(&alarm, watch, || lock(descriptor, options.mode), give_back)
        }
    }
}

#[cfg(not(target_os = "linux"))]
#[allow(clippy::needless_pass_by_value, reason = "Linux's form")]
fn block(
    descriptor: &Descriptor,
    options: &Options,
    deadline: &Deadline,
    watch: Option<&mut Watch<'_>>,
) -> Option<io::Result<Waited>> {
    let unlimited = deadline.remaining().is_none() && watch.is_none();
    unlimited.then(|| lock(descriptor, options.mode))
}

fn lock(descriptor: &Descriptor, mode: Mode) -> io::Result<Waited> {
    match mode {
        Mode::Exclusive => FileExt::lock(&descriptor.file),
        Mode::Shared => FileExt::lock_shared(&descriptor.file),
    }
    .map(|()| Waited::Granted)
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

/// CIFS says `EACCES` where others say `EWOULDBLOCK`. Elsewhere `EACCES` is what it says: a
/// security module may forbid locking, and no waiting would help.
fn is_contention(descriptor: &Descriptor, error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EACCES) && is_cifs(&descriptor.file)
}

#[cfg(target_os = "linux")]
fn is_cifs(file: &File) -> bool {
    const CIFS: u32 = 0xff53_4d42;
    const SMB2: u32 = 0xfe53_4d42;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a magic number")]
    rustix::io::retry_on_intr(|| rustix::fs::fstatfs(file))
        .is_ok_and(|stat| matches!(stat.f_type as u32, CIFS | SMB2))
}

#[cfg(not(target_os = "linux"))]
fn is_cifs(_: &File) -> bool {
    false
}

pub(crate) fn unlock(descriptor: &Descriptor) -> Result<(), Failure> {
    FileExt::unlock(&descriptor.file).map_err(|error| Action::Unlock.failed(error))
}

pub(crate) fn bequeath(descriptor: &Descriptor) -> Result<(), Failure> {
    // A copy past the descriptors that shell scripts redirect, 0 to 9: a script that opened
    // something as number 3 would close the lock.
    let copy = |least| rustix::io::fcntl_dupfd_cloexec(&descriptor.file, least);
    let inherited = copy(10)
        // The process may have no more than ten (`ulimit -n 10`).
        .or_else(|error| if error == Errno::INVAL { copy(3) } else { Err(error) })
        .and_then(|copy| rustix::io::fcntl_setfd(&copy, FdFlags::empty()).map(|()| copy))
        .map_err(|error| Action::Inherit.failed(error))?;
    std::mem::forget(inherited); // It is the process's and its children's: nobody closes it.
    Ok(())
}

/// How many forks there were in this process's line before it was born.
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// How many forks this process has seen, as a child or as a parent.
static FORKS: AtomicU32 = AtomicU32::new(0);
/// How many are going on: the child may have its copies already, and the host's own handlers may
/// take their time before this process hears of it.
static FORKING: AtomicU32 = AtomicU32::new(0);
static WATCHING: AtomicBool = AtomicBool::new(false);

pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn before_fork() {
    FORKING.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn after_fork_in_parent() {
    FORKS.fetch_add(1, Ordering::Relaxed);
    // Not below zero: this one may have begun before it was watched.
    let _ =
        FORKING.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |forks| forks.checked_sub(1));
}

extern "C" fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    FORKS.fetch_add(1, Ordering::Relaxed);
    FORKING.store(0, Ordering::Relaxed); // Those of other threads are not this process's.
}

/// Two threads may both be first, and each fork then counts twice: any other number will do. A
/// `Once` would not, since a child born in the middle of one would wait for it for ever.
pub(crate) fn watch_forks() {
    if !WATCHING.load(Ordering::Relaxed) {
        // SAFETY: the functions only touch atomics, which is legal in a forked child, and they
        // live as long as the program.
        let refused = unsafe {
            libc::pthread_atfork(
                Some(before_fork),
                Some(after_fork_in_parent),
                Some(after_fork_in_child),
            )
        };
        WATCHING.store(refused == 0, Ordering::Relaxed);
    }
}
