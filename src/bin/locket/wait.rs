//! `locket wait`: until a lock is free.
//!
//! Only the kernel can tell, and only by granting the lock: a look at the holders every now and then
//! would come late, miss the moments between two of them, and see no holder outside of this
//! container. So the lock is taken in its turn and given back at once. That holds up nobody who waits;
//! an attempt of somebody who does not wait may fail in that instant.
//!
//! The kernel does not tell a waiter that the file was deleted or replaced: the waiter sleeps in the queue of the old file, whose
//! holder may stay. So an observer looks at the path every second. On file systems whose waits no signal ends (SMB, FUSE) an
//! observed wait is polled.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use locket::{ErrorKind, Lock, LockError, lock_file};

use super::args::WaitOptions;
use super::exit::{self, Failure};
use super::take::{Missed, Request, Subject, Taken};

pub(crate) fn wait(options: &WaitOptions) -> Result<i32, Failure> {
    let lock = lock_file(&options.file).create(false);
    let lock = if options.shared { lock.shared() } else { lock };
    let start = Instant::now();
    loop {
        let request = Request {
            lock: while_named(lock.clone(), &options.file),
            subject: Subject::Path,
            shared: options.shared,
            shown: &options.file,
            waiting: &options.waiting,
            tone: options.tone(),
            late: |path, time| format!("{path} was not free within {time:?}"),
        };
        match request.take_since(start) {
            Ok(Taken::Held(hold)) => {
                hold.release()?;
                return Ok(exit::DONE);
            }
            Ok(Taken::Not(code)) => return Ok(code),
            // Another file has the path now, or none.
            Err(Missed::Lock(error)) if error.kind() == ErrorKind::Cancelled => {}
            // A lock without a file has no holder.
            Err(Missed::Lock(error)) if is_missing(&error) => return Ok(exit::DONE),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Gives a wait up when the path does not name the file any more that it names now. What cannot be looked at is waited for.
fn while_named(lock: Lock, path: &Path) -> Lock {
    const LOOK_EVERY: Duration = Duration::from_secs(1);
    let (path, before) = (path.to_path_buf(), identity(path).ok());
    lock.observe_every(LOOK_EVERY).on_wait(move |_| match identity(&path) {
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

/// There only an open file tells its number: that another file has the path is noticed when the old lock comes free.
#[cfg(windows)]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::metadata(path).map(|_| (0, 0))
}

fn is_missing(error: &LockError) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}
