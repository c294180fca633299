//! `locket run`: a command under a lock.

use locket::LockError;

use super::args::RunOptions;
use super::exit::Failure;
use super::take::take;
#[cfg(unix)]
use super::unix as system;
use super::voice::say;
#[cfg(windows)]
use super::windows as system;

/// Returns the status to exit with; never, where this process becomes the command.
pub(crate) fn run(options: &RunOptions) -> i32 {
    let guard = match take(options) {
        Ok(guard) => guard,
        Err(LockError::TimedOut { path, .. }) => {
            options.tone().contended(&path, options.timeout());
            return options.conflict_exit_code.into();
        }
        Err(error) => return fail(&error.into()),
    };
    let ended = if options.close {
        system::run_beside(guard, options.program())
    } else {
        system::run_with(guard, options.program())
    };
    ended.unwrap_or_else(|failure| fail(&failure))
}

fn fail(failure: &Failure) -> i32 {
    say(&failure.text);
    failure.code
}
