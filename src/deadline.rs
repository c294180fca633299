//! One instant by which a call must be done, whatever it meets on the way (L3).

use std::io::{Error, ErrorKind};
use std::time::Duration;

use super::error::Failure;
use super::sync::Instant;

/// How often a call may still start over once its deadline has passed, when it has an answer from
/// nobody: a signal came between, or the file was replaced. Enough for bad luck, an end to malice.
const TURNS_PAST_DEADLINE: u32 = 100;

/// A point on the monotonic clock. The clock is read only where one is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deadline {
    /// One attempt.
    Passed,
    By {
        start: Instant,
        end: Instant,
    },
    /// As long as it takes.
    Never,
}

impl Deadline {
    /// No timeout, and one that is too long for the clock to tell its end, is never.
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

    pub(crate) fn passed(&self) -> bool {
        self.remaining() == Some(Duration::ZERO)
    }

    /// How long is left: `None` means for ever.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        match self {
            Self::Passed => Some(Duration::ZERO),
            Self::By { end, .. } => Some(end.saturating_duration_since(Instant::now())),
            Self::Never => None,
        }
    }

    /// When the call began, as far as its caller asked for time.
    pub(crate) fn start(&self) -> Option<Instant> {
        match self {
            Self::By { start, .. } => Some(*start),
            Self::Passed | Self::Never => None,
        }
    }

    /// How long the call has taken so far, as far as its caller asked for time.
    pub(crate) fn waited(&self) -> Duration {
        let start = self.start();
        start.map_or(Duration::ZERO, |start| Instant::now().saturating_duration_since(start))
    }

    /// May a call start over? Always before the deadline, and a bounded number of times after it,
    /// which `turns` counts.
    pub(crate) fn allows(&self, turns: &mut u32) -> bool {
        *turns += u32::from(self.passed());
        *turns <= TURNS_PAST_DEADLINE
    }

    /// Makes a system call until it has an answer: a signal is none (L12).
    pub(crate) fn outlast_signals<T>(
        &self,
        mut call: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut turns = 0;
        loop {
            match call() {
                Err(failure) if failure.source.kind() == ErrorKind::Interrupted => {
                    if !self.allows(&mut turns) {
                        let text = "signals interrupted every attempt until the deadline";
                        return Err(failure.action.failed(Error::new(ErrorKind::TimedOut, text)));
                    }
                }
                answer => return answer,
            }
        }
    }
}
