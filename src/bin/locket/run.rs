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
        Taken::Held(guard) if options.close => system::run_beside(guard, options.program()),
        Taken::Held(guard) => system::run_with(guard, options.program()),
        Taken::Not(code) => Ok(code),
    }
}
