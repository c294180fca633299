//! The system calls that the benchmarks measure, and those by which they measure.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
#[cfg(target_os = "linux")]
use std::mem;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::{hint, io};

use super::Result;

/// Returns the nanoseconds of `CLOCK_MONOTONIC`, which all processes share. The value of an `Instant` is private.
pub(crate) fn now() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// Returns the nanoseconds of processor time that this process has used.
pub(crate) fn cpu() -> u64 {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

#[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "types vary by platform")]
fn clock(id: libc::clockid_t) -> u64 {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the call writes `time` if it succeeds, and these clocks exist on every Unix.
    let time = unsafe {
        assert_eq!(libc::clock_gettime(id, time.as_mut_ptr()), 0, "no such clock");
        time.assume_init()
    };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Returns the number of voluntary context switches of this process.
#[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "types vary by platform")]
pub(crate) fn voluntary_switches() -> u64 {
    let mut usage = MaybeUninit::<libc::rusage>::uninit();
    // SAFETY: the call writes `usage` if it succeeds, and with this argument it does.
    unsafe {
        assert_eq!(libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()), 0, "no usage");
        usage.assume_init().ru_nvcsw as u64
    }
}

/// Returns the processors that this process may use.
#[cfg(target_os = "linux")]
pub(crate) fn processors() -> Result<Vec<usize>> {
    // SAFETY: all zeroes are a valid, empty set, which the call fills in.
    let set = unsafe {
        let mut set = mem::zeroed::<libc::cpu_set_t>();
        if libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) != 0 {
            return Err(io::Error::last_os_error().into());
        }
        set
    };
    let most = 8 * size_of_val(&set);
    // SAFETY: the set is initialized, and no number is beyond its end.
    Ok((0..most).filter(|&processor| unsafe { libc::CPU_ISSET(processor, &set) }).collect())
}

/// Keeps a process on one processor.
#[cfg(target_os = "linux")]
pub(crate) fn pin(pid: u32, processor: usize) -> Result {
    // SAFETY: all zeroes are a valid, empty set, and the processor's number is from such a set.
    let result = unsafe {
        let mut set = mem::zeroed::<libc::cpu_set_t>();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(pid.try_into()?, size_of_val(&set), &raw const set)
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().into()),
    }
}

/// Returns the number of descriptors that a process may have after it has raised its limit.
pub(crate) fn descriptor_limit() -> Result<u64> {
    Ok(descriptor_limits()?.rlim_max.min(1 << 20))
}

/// Raises the limit of this process as far as the hard limit permits.
pub(crate) fn raise_descriptor_limit() -> Result {
    let mut limits = descriptor_limits()?;
    limits.rlim_cur = limits.rlim_max;
    // SAFETY: the call reads the limits.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limits) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error().into()),
    }
}

fn descriptor_limits() -> Result<libc::rlimit> {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call fills the limits.
    match unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limits) } {
        0 => Ok(limits),
        _ => Err(io::Error::last_os_error().into()),
    }
}

/// Runs `child` in a forked process, which ends without unwinding: with status 0 if `child` returned `Ok`.
///
/// Legal only in a process with one thread: in the child, the other threads do not exist, and their work stays unfinished (fork(2)).
pub(crate) fn fork(child: impl FnOnce() -> Result) -> Result<libc::pid_t> {
    // SAFETY: this process has one thread (see above), so the child may call everything.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            let status = match child() {
                Ok(()) => 0,
                Err(error) => {
                    eprintln!("a forked worker failed: {error}");
                    1
                }
            };
            // SAFETY: it ends this process.
            unsafe { libc::_exit(status) }
        }
        pid => Ok(pid),
    }
}

/// Waits for a child to end. Returns whether its status was 0.
pub(crate) fn reap(pid: libc::pid_t) -> Result<bool> {
    let mut status = 0;
    // SAFETY: the call writes the status.
    match unsafe { libc::waitpid(pid, &raw mut status, 0) } {
        -1 => Err(io::Error::last_os_error().into()),
        _ => Ok(status == 0),
    }
}

pub(crate) fn spin_until(instant: u64) {
    while now() < instant {
        hint::spin_loop();
    }
}

/// The file offset by which an idle descriptor is recognized, as in Locket.
const MARK: u64 = (1 << 30) + 1;

/// An open file and the bare system calls on it that every lock by `flock` needs.
pub(crate) struct Raw {
    file: File,
    path: CString,
    identity: (u64, u64),
}

impl Raw {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let metadata = file.metadata()?;
        let identity = (metadata.dev(), metadata.ino());
        (&file).seek(SeekFrom::Start(MARK))?;
        Ok(Self { file, path: CString::new(path.as_os_str().as_bytes())?, identity })
    }

    /// Waits for the lock. A signal would end the wait with an error; the benchmarks' processes get none.
    pub(crate) fn lock(&self) -> io::Result<()> {
        self.flock(libc::LOCK_EX)
    }

    pub(crate) fn try_lock(&self) -> io::Result<bool> {
        match self.flock(libc::LOCK_EX | libc::LOCK_NB) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            answer => answer.map(|()| true),
        }
    }

    pub(crate) fn unlock(&self) -> io::Result<()> {
        self.flock(libc::LOCK_UN)
    }

    fn flock(&self, operation: i32) -> io::Result<()> {
        // SAFETY: the descriptor is open, and nothing but integers is passed.
        match unsafe { libc::flock(self.file.as_raw_fd(), operation) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Returns whether the descriptor still refers to this open file, by one `lseek`, the cheapest call that tells.
    pub(crate) fn is_own(&self) -> io::Result<bool> {
        Ok((&self.file).stream_position()? == MARK)
    }

    /// Returns whether the path names this file, by one `stat` of the path.
    pub(crate) fn is_current(&self) -> io::Result<bool> {
        Ok(identity_at(&self.path)? == self.identity)
    }
}

#[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "types vary by platform")]
fn identity_at(path: &CStr) -> io::Result<(u64, u64)> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the path ends with a NUL, and the call writes `stat` if it succeeds.
    unsafe {
        if libc::stat(path.as_ptr(), stat.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let stat = stat.assume_init();
        Ok((stat.st_dev as u64, stat.st_ino as u64))
    }
}

/// A timer that interrupts `flock(2)` in this thread. Beside a check of the path, it is all that a timed wait in the kernel's
/// queue needs. Creating, setting and deleting it are three system calls.
#[cfg(target_os = "linux")]
pub(crate) struct Timer(libc::timer_t);

#[cfg(target_os = "linux")]
impl Timer {
    pub(crate) fn set(after: std::time::Duration) -> io::Result<Self> {
        extern "C" fn nothing(_: libc::c_int) {}
        static ONCE: std::sync::Once = std::sync::Once::new();
        let signal = libc::SIGRTMAX() - 1;
        // SAFETY: all zeroes are a valid action and event. The handler does nothing, which is legal in a handler, and
        // the structures live until the calls return.
        unsafe {
            ONCE.call_once(|| {
                let mut action: libc::sigaction = mem::zeroed();
                action.sa_sigaction = nothing as *const () as usize;
                libc::sigaction(signal, &raw const action, std::ptr::null_mut());
            });
            let mut event: libc::sigevent = mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = signal;
            event.sigev_notify_thread_id = libc::gettid();
            let mut timer = MaybeUninit::uninit();
            if libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, timer.as_mut_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
            let timer = Self(timer.assume_init());
            let mut time: libc::itimerspec = mem::zeroed();
            time.it_value.tv_sec = after.as_secs().try_into().map_err(io::Error::other)?;
            time.it_value.tv_nsec = after.subsec_nanos().into();
            match libc::timer_settime(timer.0, 0, &raw const time, std::ptr::null_mut()) {
                0 => Ok(timer),
                _ => Err(io::Error::last_os_error()),
            }
        }
    }
}

#[cfg(target_os = "linux")]
impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer exists until now.
        unsafe { libc::timer_delete(self.0) };
    }
}
