//! `locket run`: a command under a lock.

use std::path::Path;
use std::process;
use std::thread;
use std::time::Duration;

use locket::{Lock, lock_file};

use super::args::RunOptions;
use super::exit::Failure;
use super::span::Limit;
use super::take::{Missed, Request, Subject, Taken};
#[cfg(unix)]
use super::unix as system;
use super::voice::{Tone, say};
#[cfg(windows)]
use super::windows as system;

/// Returns the status to exit with; never, where this process becomes the command.
pub(crate) fn run(options: &RunOptions) -> Result<i32, Failure> {
    let lock = lock_file(&options.file);
    let lock = if options.sharing.shared { lock.shared() } else { lock };
    let lock = if options.no_follow { lock.follow_links(false) } else { lock };
    let request = Request {
        lock: with_mode(lock, options),
        subject: if options.no_follow { Subject::FileAlone } else { Subject::Path },
        shared: options.sharing.shared,
        shown: &options.file,
        waiting: &options.waiting,
        tone: options.tone(),
        late: |path, time| format!("cannot lock {path} within {time:?}"),
    };
    let hold = match take(&request, options)? {
        Taken::Held(hold) => hold,
        Taken::Not(code) => return Ok(code),
    };
    #[cfg(unix)]
    if options.no_fork {
        return system::become_it(hold, options.program(), options.inheritance());
    }
    if let Some(time) = options.hold_warning.filter(|_| options.tone() != Tone::Quiet) {
        warn_after(time, request.lock.path());
    }
    system::run(hold, options.program(), options.inheritance())
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
fn take(request: &Request<'_>, options: &RunOptions) -> Result<Taken, Missed> {
    match options.mode {
        Some(_) => system::without_umask(|| request.take()),
        None => request.take(),
    }
}

#[cfg(windows)]
fn with_mode(lock: Lock, _: &RunOptions) -> Lock {
    lock
}

#[cfg(windows)]
fn take(request: &Request<'_>, _: &RunOptions) -> Result<Taken, Missed> {
    request.take()
}

/// A thread of its own says so, which nothing waits for. It ends with this process. Without it nothing is said.
fn warn_after(time: Duration, path: &Path) {
    let path = path.to_path_buf();
    let _ = system::spawn_deaf(move || {
        thread::sleep(time);
        let (path, pid) = (path.display(), process::id());
        say(format_args!("{path} has been held for {} by this command (pid {pid})", Limit(time)));
    });
}
