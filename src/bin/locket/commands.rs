//! The commands that acquire a lock: `locket run`, `locket wait`, `locket lock`; and `locket unlock`.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
#[cfg(unix)]
use std::path::PathBuf;
use std::process;
use std::thread;
use std::time::{Duration, Instant};

#[cfg(unix)]
use locket::lock_fd;
use locket::{ErrorKind, Lock, LockError, lock_file};

#[cfg(unix)]
use crate::acquire::is_current;
use crate::acquire::{AcquireError, AcquireRequest, Acquired, Target};
#[cfg(unix)]
use crate::args::{LockOptions, UnlockOptions};
use crate::args::{RunOptions, WaitOptions};
use crate::duration::LimitDuration;
use crate::exit::{self, Failure};
use crate::output::{Verbosity, print_message};
use crate::platform::Platform;
use crate::system::System;
#[cfg(unix)]
use crate::unix::{become_program, borrow_inherited, without_umask};

/// Runs a command under a lock, and returns the status to exit with. With `-F` it returns only if it fails.
pub(crate) fn run(options: &RunOptions) -> Result<i32, Failure> {
    let lock = lock_file(&options.file);
    let lock = if options.mode_args.shared { lock.shared() } else { lock };
    let lock = if options.no_follow { lock.follow_links(false) } else { lock };
    let request = AcquireRequest {
        lock: with_mode(lock, options),
        target: if options.no_follow { Target::FileOnly } else { Target::Path },
        shared: options.mode_args.shared,
        given_path: &options.file,
        wait: &options.wait,
        verbosity: options.verbosity(),
        timeout_message: |path, time| format!("cannot lock {path} within {time:?}"),
    };
    let hold = match acquire(&request, options)? {
        Acquired::Held(hold) => hold,
        Acquired::Contended(code) => return Ok(code),
    };
    #[cfg(unix)]
    if options.no_fork {
        return become_program(hold, options.program(), options.inheritance());
    }
    if let Some(time) = options.hold_warning.filter(|_| options.verbosity() != Verbosity::Quiet) {
        warn_after(time, request.lock.path());
    }
    let warn = |text: &str| print_message(text);
    System::run(hold, options.program(), options.inheritance(), warn)
}

#[cfg(unix)]
fn with_mode(lock: Lock, options: &RunOptions) -> Lock {
    use locket::unix::LockExt;

    match options.mode {
        Some(mode) => lock.mode(mode),
        None => lock,
    }
}

#[cfg(unix)]
fn acquire(request: &AcquireRequest<'_>, options: &RunOptions) -> Result<Acquired, AcquireError> {
    match options.mode {
        Some(_) => without_umask(|| request.acquire()),
        None => request.acquire(),
    }
}

#[cfg(windows)]
fn with_mode(lock: Lock, _: &RunOptions) -> Lock {
    lock
}

#[cfg(windows)]
fn acquire(request: &AcquireRequest<'_>, _: &RunOptions) -> Result<Acquired, AcquireError> {
    request.acquire()
}

/// Prints a line when the command has held the lock for this time. If the system has no thread to spare, nothing is printed.
fn warn_after(time: Duration, path: &Path) {
    let path = path.to_path_buf();
    let _ = System::spawn_without_signals(move || {
        thread::sleep(time);
        let (path, pid, time) = (path.display(), process::id(), LimitDuration(time));
        print_message(format_args!("{path} has been held for {time} by this command (pid {pid})"));
    });
}

/// Waits until a lock is free.
///
/// Only the kernel knows when that is, and it says so by granting the lock. Queries of the holders every now and then would
/// notice it late, miss a moment between two of them, and see no holder outside of this container. So the lock is acquired in
/// its turn and released immediately. That delays no waiter; an attempt without a wait may fail in that moment.
///
/// A waiter sleeps in the queue of the file that it has opened. The kernel does not wake it when that file is deleted or
/// replaced, and its holder may keep it. So an observer checks the path every second. On file systems whose waits no signal
/// ends (SMB, FUSE) an observed wait polls.
pub(crate) fn wait(options: &WaitOptions) -> Result<i32, Failure> {
    let lock = lock_file(&options.file).create(false);
    let lock = if options.shared { lock.shared() } else { lock };
    let start = Instant::now();
    loop {
        let request = AcquireRequest {
            lock: cancelled_by_replacement(lock.clone(), &options.file),
            target: Target::Path,
            shared: options.shared,
            given_path: &options.file,
            wait: &options.wait,
            verbosity: options.verbosity(),
            timeout_message: |path, time| format!("{path} was not free within {time:?}"),
        };
        match request.acquire_since(start) {
            Ok(Acquired::Held(hold)) => {
                hold.release()?;
                return Ok(exit::SUCCESS);
            }
            Ok(Acquired::Contended(code)) => return Ok(code),
            // The path names another file now, or none.
            Err(AcquireError::Lock(error)) if error.kind() == ErrorKind::Cancelled => {}
            // The lock of a missing file has no holder.
            Err(AcquireError::Lock(error)) if is_missing(&error) => return Ok(exit::SUCCESS),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns a lock whose wait is cancelled when the path no longer names the file that it names now. The wait goes on while
/// the path cannot be queried.
fn cancelled_by_replacement(lock: Lock, path: &Path) -> Lock {
    const CHECK_EVERY: Duration = Duration::from_secs(1);
    let (path, before) = (path.to_path_buf(), identity(path).ok());
    lock.observe_every(CHECK_EVERY).on_wait(move |_| match identity(&path) {
        Ok(now) if before.is_some_and(|before| before != now) => ControlFlow::Break(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    })
}

#[cfg(unix)]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

/// Windows has the number of a file only for an open one, so a replacement is noticed when the old lock becomes free.
#[cfg(windows)]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|_| (0, 0))
}

fn is_missing(error: &LockError) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// Locks a descriptor that a shell has opened, and leaves it locked.
#[cfg(unix)]
pub(crate) fn lock(options: &LockOptions) -> Result<i32, Failure> {
    let number = options.descriptor;
    let fd = borrow_inherited(number).map_err(|_| not_open(number))?;
    // Messages name the file that is open, by its name if it still has one that leads to it.
    let name = fs::read_link(format!("/proc/self/fd/{number}")).ok();
    let name = name.filter(|name| name.exists() && is_current(fd, name));
    let path = name.unwrap_or_else(|| PathBuf::from(format!("/dev/fd/{number}")));
    let request = AcquireRequest {
        lock: lock_file(&path),
        target: Target::Descriptor(fd),
        shared: options.mode_args.shared,
        given_path: &path,
        wait: &options.wait,
        verbosity: options.verbosity(),
        timeout_message: |path, time| format!("cannot lock {path} within {time:?}"),
    };
    match request.acquire()? {
        Acquired::Held(hold) => {
            hold.leak();
            Ok(exit::SUCCESS)
        }
        Acquired::Contended(code) => Ok(code),
    }
}

/// Unlocks a descriptor that a shell has opened.
#[cfg(unix)]
pub(crate) fn unlock(options: &UnlockOptions) -> Result<i32, Failure> {
    let number = options.descriptor;
    lock_fd(borrow_inherited(number).map_err(|_| not_open(number))?).unlock()?;
    Ok(exit::SUCCESS)
}

#[cfg(unix)]
fn not_open(number: i32) -> Failure {
    let text = format!(
        "descriptor {number} is not open here: open it first in the script, as exec {number}>FILE"
    );
    Failure { code: exit::NO_INPUT, text }
}
