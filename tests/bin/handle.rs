//! Handles and their options.

use std::ops::ControlFlow;
use std::time::Duration;

use locket::{Lock, lock_file};

use super::refusal::Refusal;
use super::words;
use super::world::World;

/// `path=PATH` or `of=HANDLE`, and then the options.
pub(crate) fn make(world: &World, words: &[&str]) -> Result<Lock, Refusal> {
    let Some((source, options)) = words.split_first() else {
        return Err(Refusal::usage("a handle of what?"));
    };
    let lock = match source.split_once('=') {
        Some(("path", path)) => lock_file(words::path(path)?),
        Some(("of", name)) => world.things().handle(name)?,
        _ => return Err(Refusal::usage("a handle is of path=PATH or of=HANDLE")),
    };
    options.iter().try_fold(lock, |lock, option| with(lock, option))
}

fn with(lock: Lock, option: &str) -> Result<Lock, Refusal> {
    let (name, value) = option.split_once('=').unwrap_or((option, ""));
    Ok(match name {
        "timeout" if value == "never" => lock.timeout(None),
        "timeout" => lock.timeout(Duration::from_millis(words::parse(value)?)),
        "retry_period" => lock.retry_period(Duration::from_millis(words::parse(value)?)),
        "shared" => lock.shared(),
        "asking" => lock.observe_every(Duration::from_millis(20)).on_wait(|wait| {
            // What it is told is in the error of a timeout.
            let _ = wait.status();
            ControlFlow::Continue(())
        }),
        "no_follow" => lock.follow_links(false),
        #[cfg(unix)]
        "create_mode" => locket::unix::LockExt::mode(lock, words::octal(value)?),
        "keep_open" => lock.keep_open(words::parse(value)?),
        "without_signals" => lock.use_signals(false),
        _ => return Err(Refusal::usage(format_args!("there is no option `{name}`"))),
    })
}
