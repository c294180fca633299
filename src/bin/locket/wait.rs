//! `locket wait`: until a lock is free.
//!
//! Only the kernel can tell, and only by granting the lock: a look at the holders every now and then
//! would come late, miss the moments between two of them, and see no holder outside of this
//! container. So the lock is taken in its turn and given back at once. That holds up nobody who waits;
//! an attempt of somebody who does not wait may fail in that instant.

use std::io;

use locket::{LockError, lock_file};

use super::args::WaitOptions;
use super::exit::{self, Failure};
use super::take::{Missed, Request, Subject, Taken};

pub(crate) fn wait(options: &WaitOptions) -> Result<i32, Failure> {
    let lock = lock_file(&options.file).create(false);
    let lock = if options.shared { lock.shared() } else { lock };
    let request = Request {
        lock,
        subject: Subject::Path,
        shared: options.shared,
        shown: &options.file,
        waiting: &options.waiting,
        tone: options.tone(),
        late: |path, time| format!("{path} was not free within {time:?}"),
    };
    match request.take() {
        Ok(Taken::Held(hold)) => {
            hold.release()?;
            Ok(exit::DONE)
        }
        Ok(Taken::Not(code)) => Ok(code),
        // A lock without a file has no holder.
        Err(Missed::Lock(error)) if is_missing(&error) => Ok(exit::DONE),
        Err(error) => Err(error.into()),
    }
}

fn is_missing(error: &LockError) -> bool {
    error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}
