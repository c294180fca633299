//! `locket lock` and `locket unlock`: a descriptor that a shell has opened.

use std::fs;
use std::path::PathBuf;

use locket::{lock_fd, lock_file};

use super::args::{LockOptions, UnlockOptions};
use super::exit::{self, Failure};
use super::take::{Request, Subject, Taken};
use super::unix::{inherited, is_current};

pub(crate) fn lock(options: &LockOptions) -> Result<i32, Failure> {
    let number = options.descriptor;
    let fd = inherited(number).map_err(|_| not_open(number))?;
    // What is told of the wait is about the file that it is open on, by its name if it has one still that leads there.
    let name = fs::read_link(format!("/proc/self/fd/{number}")).ok();
    let name = name.filter(|name| name.exists() && is_current(fd, name));
    let path = name.unwrap_or_else(|| PathBuf::from(format!("/dev/fd/{number}")));
    let request = Request {
        lock: lock_file(&path),
        subject: Subject::Descriptor(fd),
        shared: options.sharing.shared,
        shown: &path,
        waiting: &options.waiting,
        tone: options.tone(),
        late: |path, time| format!("cannot lock {path} within {time:?}"),
    };
    match request.take()? {
        Taken::Held(hold) => {
            hold.leave();
            Ok(exit::DONE)
        }
        Taken::Not(code) => Ok(code),
    }
}

pub(crate) fn unlock(options: &UnlockOptions) -> Result<i32, Failure> {
    let number = options.descriptor;
    lock_fd(inherited(number).map_err(|_| not_open(number))?).unlock()?;
    Ok(exit::DONE)
}

fn not_open(number: i32) -> Failure {
    let text = format!(
        "descriptor {number} is not open here: a script opens it first, as exec {number}>FILE"
    );
    Failure { code: exit::NO_FILE, text }
}
