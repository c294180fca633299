//! Makes handles from the words of a command.

use std::ops::ControlFlow;
use std::time::Duration;

use locket::{Lock, lock_file};

use super::refusal::Refusal;
use super::words;
use super::world::World;

/// Makes a handle from `path=PATH` or `of=HANDLE` and the options that follow.
pub(crate) fn make(world: &World, words: &[&str]) -> Result<Lock, Refusal> {
    let Some((source, options)) = words.split_first() else {
        return Err(Refusal::usage("missing path=PATH or of=HANDLE"));
    };
    let lock = match source.split_once('=') {
        Some(("path", path)) => lock_file(words::path(path)?),
        Some(("of", name)) => world.things().handle(name)?,
        _ => return Err(Refusal::usage("expected path=PATH or of=HANDLE")),
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
        "query_status" => lock.observe_every(Duration::from_millis(20)).on_wait(|wait| {
            // The error of a timeout names the holders that the last query found.
            let _ = wait.status();
            ControlFlow::Continue(())
        }),
        "follow_links" => lock.follow_links(words::parse(value)?),
        #[cfg(unix)]
        "mode" => locket::unix::LockExt::mode(lock, words::octal(value)?),
        "keep_open" => lock.keep_open(words::parse(value)?),
        "use_signals" => lock.use_signals(words::parse(value)?),
        _ => return Err(Refusal::usage(format_args!("unknown option `{name}`"))),
    })
}
