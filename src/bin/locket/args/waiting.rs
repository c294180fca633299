use std::time::Duration;

use clap::Args;

use crate::exit;
use crate::timeout;

/// How long a lock is waited for, and what to exit with if that was not long enough.
#[derive(Debug, Args)]
pub(crate) struct Waiting {
    /// Do not wait: fail at once if somebody else holds the lock
    #[arg(short, long, aliases = ["nonblocking", "nb"], conflicts_with = "timeout")]
    nonblock: bool,

    /// Fail if the lock is not free within this time: seconds, or 500ms, 2m, 1h, 1d
    #[arg(short = 'w', long, alias = "wait", value_name = "SECS", allow_hyphen_values = true, value_parser = timeout::parse)]
    timeout: Option<Duration>,

    /// Exit with this code, instead of 75, if somebody else holds the lock
    #[arg(short = 'E', long, value_name = "CODE", default_value_t = exit::CONTENDED)]
    #[arg(hide_default_value = true)]
    pub(crate) conflict_exit_code: u8,
}

impl Waiting {
    /// `None` is for ever, zero one attempt.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        if self.nonblock { Some(Duration::ZERO) } else { self.timeout }
    }
}

/// With which other holders.
#[derive(Debug, Args)]
pub(crate) struct Sharing {
    /// Share the lock with other shared holders
    #[arg(short, long, overrides_with = "exclusive")]
    pub(crate) shared: bool,

    /// Hold the lock alone (the default)
    #[arg(short = 'x', short_alias = 'e', long, overrides_with = "shared")]
    exclusive: bool,
}
