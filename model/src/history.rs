//! What real processes did: calls with their times, as text that many processes can write.
//!
//! Every line is one event, of fields separated by one space, ended by a newline and by a word, so
//! that a line cut short at any byte is an error (and never a shorter number):
//!
//! ```text
//! acquire PROCESS THREAD PATH KIND FILE MODE WAIT CALLED RETURNED OUTCOME
//! release PROCESS THREAD PATH KIND CALLED RETURNED OUTCOME
//! kill PROCESS AFTER BEFORE killed
//! ```
//!
//! - `PROCESS`, `THREAD`, `PATH`, `FILE`: numbers. A process's number is never used again. `PATH`
//!   stands for an absolute path, `FILE` for a device and inode. `FILE` is `-` where it is unknown:
//!   then any hold excuses a time-out, and what was held excuses any and excludes nobody.
//! - `KIND`: `kept` for `acquire` and `release`, which ends the oldest; `guard=N` for a guard and
//!   the end of that guard, `N` a number that its process gives to no other guard.
//! - `MODE`: `exclusive` or `shared`.
//! - `WAIT`: `try`, `forever`, or `until=T`, the deadline.
//! - Times are nanoseconds of one monotonic clock of the machine (`CLOCK_MONOTONIC`), read before
//!   the call and after it. Equal times are taken to be in either order.
//! - `OUTCOME`: `held`, `timed-out`, `failed`; `released`, `not-locked`, `refused` (the system
//!   refused to unlock, the hold is given up); or `begun`, with `-` for `RETURNED`.
//! - `kill`: the process was alive at `AFTER` (read before the signal was sent) and gone at
//!   `BEFORE` (read after it was reaped).
//!
//! A process that may be killed writes each call twice, `begun` before and its end after: what it
//! was doing when it died is only known that way. Others write one line a call. Order of lines does
//! not matter; each line should be one `write`.

mod text;

use std::collections::{HashMap, HashSet};
use std::fmt;

use self::text::{Event, parse_line};
use crate::spec::{File, HoldId, Mode, Outcome, Path, Process};

/// Nanoseconds of the machine's monotonic clock.
pub type Time = u64;

/// How long an acquisition waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wait {
    /// One attempt.
    Try,
    /// Until this deadline.
    Until(Time),
    /// Until it is granted.
    Forever,
}

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attempt {
    /// `lock`, `try_lock`, `acquire` or `try_acquire`.
    Acquire {
        /// The file it locked or met, if it is known.
        file: Option<File>,
        /// How the hold is to share the file.
        mode: Mode,
        /// How long it waits.
        wait: Wait,
    },
    /// `release`, or the end of a guard.
    Release,
}

/// The end of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Return {
    /// When.
    pub at: Time,
    /// How.
    pub outcome: Outcome,
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// The process that called.
    pub process: Process,
    /// Its thread.
    pub thread: u32,
    /// The path of the handle.
    pub path: Path,
    /// The guard that it makes or ends; `None` for the unguarded pair, `acquire` and `release`.
    pub guard: Option<HoldId>,
    /// What was called.
    pub attempt: Attempt,
    /// When it was called.
    pub called: Time,
    /// When and how it returned; `None` if it never did.
    pub returned: Option<Return>,
}

impl Call {
    /// The mode of the hold that an acquisition makes; `None` for a release.
    #[must_use]
    pub const fn mode(&self) -> Option<Mode> {
        match self.attempt {
            Attempt::Acquire { mode, .. } => Some(mode),
            Attempt::Release => None,
        }
    }
}

/// The death of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kill {
    /// Which process.
    pub process: Process,
    /// It was still alive then.
    pub after: Time,
    /// It was gone, and everything it held was free, by then.
    pub before: Time,
}

/// All that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The calls, in any order.
    pub calls: Vec<Call>,
    /// The kills, in any order.
    pub kills: Vec<Kill>,
}

/// Why a text is not a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for ParseError {}

impl History {
    /// Reads the lines of one or many processes.
    ///
    /// # Errors
    /// Any line that is torn, cut short or otherwise not of the format, two different ends of one
    /// call, and calls that contradict each other (see [`History::check`]).
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut history = Self::default();
        let mut seen = HashMap::new(); // a begun call and its end are one call
        for (line, content) in (1..).zip(text.split_inclusive('\n')) {
            let wrong = |problem: String| ParseError { line, problem };
            let Some(content) = content.strip_suffix('\n') else {
                return Err(wrong(format!("cut short: {content:?}")));
            };
            match parse_line(content) {
                None => return Err(wrong(format!("not an event: {content:?}"))),
                Some(Event::Kill(kill)) => history.kills.push(kill),
                Some(Event::Call(call)) => {
                    let releases = call.attempt == Attempt::Release;
                    let key = (call.process, call.thread, call.called, releases);
                    let at = *seen.entry(key).or_insert(history.calls.len());
                    match history.calls.get_mut(at) {
                        None => history.calls.push(call),
                        Some(known) if known.returned.is_none() => *known = call,
                        Some(_) if call.returned.is_none() => {}
                        Some(_) => return Err(wrong("a second end of one call".into())),
                    }
                }
            }
        }
        history.check().map_err(|problem| ParseError { line: 0, problem })?;
        Ok(history)
    }

    /// Whether the calls could have been made at all: times in order, one call at a time in each
    /// thread, outcomes that the call can have, one kill a process and nothing after it.
    ///
    /// # Errors
    /// Says what is impossible. Such a history is the fault of whoever wrote it, not of the lock.
    pub fn check(&self) -> Result<(), String> {
        let mut deaths = HashMap::new();
        for kill in &self.kills {
            if kill.before < kill.after {
                return Err(format!("ends before it begins: {kill}"));
            }
            if deaths.insert(kill.process, kill.before).is_some() {
                return Err(format!("killed twice: {kill}"));
            }
        }
        let mut guards = HashSet::new();
        for call in &self.calls {
            let last = call.returned.map_or(call.called, |returned| returned.at);
            if last < call.called {
                return Err(format!("returns before it is called: {call}"));
            }
            if deaths.get(&call.process).is_some_and(|&death| death < last) {
                return Err(format!("done by a process that was gone: {call}"));
            }
            let acquires = matches!(call.attempt, Attempt::Acquire { .. });
            let makes = call.guard.filter(|_| acquires);
            if makes.is_some_and(|guard| !guards.insert((call.process, guard))) {
                return Err(format!("the number of another guard: {call}"));
            }
            let fits = call.returned.is_none_or(|returned| match returned.outcome {
                Outcome::Held | Outcome::TimedOut | Outcome::Failed => acquires,
                Outcome::Released | Outcome::NotLocked | Outcome::Refused => !acquires,
            });
            if !fits {
                return Err(format!("an outcome of another kind of call: {call}"));
            }
        }
        let mut order: Vec<&Call> = self.calls.iter().collect();
        order.sort_unstable_by_key(|call| {
            (call.process, call.thread, call.called, call.returned.map_or(Time::MAX, |end| end.at))
        });
        for pair in order.windows(2) {
            let same_thread =
                (pair[0].process, pair[0].thread) == (pair[1].process, pair[1].thread);
            if same_thread && pair[0].returned.is_none_or(|returned| returned.at > pair[1].called) {
                return Err(format!(
                    "two calls at once in one thread: {} and {}",
                    pair[0], pair[1]
                ));
            }
        }
        Ok(())
    }
}
