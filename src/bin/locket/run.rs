//! `locket run`: a command under a lock.

use locket::lock_file;

use super::args::RunOptions;
use super::exit::Failure;
use super::take::{Request, Taken};
#[cfg(unix)]
use super::unix as system;
#[cfg(windows)]
use super::windows as system;

/// Returns the status to exit with; never, where this process becomes the command.
pub(crate) fn run(options: &RunOptions) -> Result<i32, Failure> {
    let lock = lock_file(&options.file);
    let lock = if options.shared { lock.shared() } else { lock };
    let request = Request {
        lock,
        shown: &options.file,
        waiting: &options.waiting,
        tone: options.tone(),
        late: |path, time| format!("couldn't lock {path} within {time:?}"),
    };
    match request.take()? {
        #[cfg(unix)]
        Taken::Held(guard) if options.no_fork => system::become_it(guard, options.program()),
        Taken::Held(guard) => system::run(guard, options.program(), options.inheritance()),
        Taken::Not(code) => Ok(code),
    }
}
