//! One instant by which a call must be done, whatever it meets on the way (L3).

use std::time::Duration;

use crate::sync::Instant;

/// How many times a call may start over once its deadline has passed, if it has no answer yet: a signal came between, or
/// the file was replaced. Enough for bad luck, and a bound against a stream of signals.
const MAX_RETRIES_PAST_DEADLINE: u32 = 100;

/// A point on the monotonic clock. The clock is read only where one is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    /// One attempt.
    Passed,
    By {
        start: Instant,
        end: Instant,
    },
    /// No limit.
    Never,
}

impl Deadline {
    /// A timeout that is too long for the clock to represent its end is no timeout.
    pub(crate) fn after(timeout: Option<Duration>) -> Self {
        match timeout {
            None => Self::Never,
            Some(Duration::ZERO) => Self::Passed,
            Some(timeout) => {
                let start = Instant::now();
                start.checked_add(timeout).map_or(Self::Never, |end| Self::By { start, end })
            }
        }
    }

    pub(crate) fn has_passed(&self) -> bool {
        self.remaining() == Some(Duration::ZERO)
    }

    /// Returns how long is left; `None` without a limit.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        match self {
            Self::Passed => Some(Duration::ZERO),
            Self::By { end, .. } => Some(end.saturating_duration_since(Instant::now())),
            Self::Never => None,
        }
    }

    /// Returns when the call began, if it has a deadline that it may wait for.
    pub(crate) fn start(&self) -> Option<Instant> {
        match self {
            Self::By { start, .. } => Some(*start),
            Self::Passed | Self::Never => None,
        }
    }

    /// Returns how long the call has taken so far, if it has a deadline that it may wait for.
    pub(crate) fn elapsed(&self) -> Option<Duration> {
        self.start().map(|start| Instant::now().saturating_duration_since(start))
    }

    /// Returns whether a call may start over: always before the deadline, and a bounded number of times after it,
    /// which `retries` counts.
    pub(crate) fn may_retry(&self, retries: &mut u32) -> bool {
        *retries += u32::from(self.has_passed());
        *retries <= MAX_RETRIES_PAST_DEADLINE
    }
}
