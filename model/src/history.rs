//! Histories of real processes: calls with their times, as text that many processes can write.
//!
//! Every line is one event. Its fields are separated by one space. It ends with a word and a newline,
//! so that a line cut short at any byte is an error and never a shorter number:
//!
//! ```text
//! acquire PROCESS THREAD PATH KIND FILE MODE WAIT CALLED RETURNED OUTCOME
//! release PROCESS THREAD PATH KIND CALLED RETURNED OUTCOME
//! kill PROCESS AFTER BEFORE killed
//! ```
//!
//! | field | meaning |
//! |---|---|
//! | `PROCESS`, `THREAD` | numbers; the number of a process is never reused |
//! | `PATH` | a number for an absolute path |
//! | `FILE` | a number for a device and inode, or `-` if it is unknown |
//! | `KIND` | `unguarded` for `acquire` and `release`; `guard=N` for a guard and its end, with a number `N` that is unique in the process |
//! | `MODE` | `exclusive` or `shared` |
//! | `WAIT` | `try`, `forever`, or `until=T` with the deadline |
//! | `CALLED`, `RETURNED` | nanoseconds of the machine's `CLOCK_MONOTONIC`, read before and after the call |
//! | `OUTCOME` | of an acquisition `held`, `timed-out` or `failed`; of a release `released`, `not-locked` or `refused`; of a call without an end `begun`, with `-` for `RETURNED` |
//! | `AFTER` | a time at which the process was alive, read before the signal was sent |
//! | `BEFORE` | a time at which the process was gone, read after it was reaped |
//!
//! - An unguarded `release` ends the oldest unguarded hold of its path and process.
//! - `refused` means that the kernel refused to unlock and that the hold is gone.
//! - Equal times may be in either order.
//! - A timeout on an unknown file is excused by any conflicting hold. A hold of an unknown file
//!   excuses any timeout of a conflicting mode and excludes no other hold.
//! - A process that may be killed writes each call twice: `begun` before the call, and the complete
//!   line after it. The first line shows the call in progress at its death. Other processes write one
//!   line for each call.
//! - The order of lines does not matter. Each line should be one `write`.

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
    /// One attempt, no wait.
    Try,
    /// Until this deadline.
    Until(Time),
    /// Without limit.
    Forever,
}

/// The operation of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attempt {
    /// One of `lock`, `try_lock`, `acquire`, `try_acquire`.
    Acquire {
        /// The file that it locked or found locked, if known.
        file: Option<File>,
        /// The mode of the hold.
        mode: Mode,
        /// How long it waits.
        wait: Wait,
    },
    /// `release`, or the end of a guard.
    Release,
}

/// The return of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Return {
    /// The time.
    pub at: Time,
    /// The outcome.
    pub outcome: Outcome,
}

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// The process of the caller.
    pub process: Process,
    /// The thread of the caller.
    pub thread: u32,
    /// The path of the handle.
    pub path: Path,
    /// The guard that it makes or ends; `None` for `acquire` and `release`.
    pub guard: Option<HoldId>,
    /// The operation.
    pub attempt: Attempt,
    /// The time of the call.
    pub called: Time,
    /// The return; `None` if the call did not return.
    pub returned: Option<Return>,
}

impl Call {
    /// Returns the mode of an acquisition; `None` for a release.
    #[must_use]
    pub const fn mode(&self) -> Option<Mode> {
        match self.attempt {
            Attempt::Acquire { mode, .. } => Some(mode),
            Attempt::Release => None,
        }
    }
}

/// The death of a process by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kill {
    /// The process.
    pub process: Process,
    /// A time at which the process was alive.
    pub after: Time,
    /// A time at which the process was gone and its locks were free.
    pub before: Time,
}

/// A history: the calls and kills of one run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The calls, in any order.
    pub calls: Vec<Call>,
    /// The kills, in any order.
    pub kills: Vec<Kill>,
}

/// An error in the text of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line, counted from 1; 0 for an error of the whole history.
    pub line: usize,
    /// The problem.
    pub problem: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

impl std::error::Error for ParseError {}

impl History {
    /// Parses the lines of one or more processes.
    ///
    /// # Errors
    /// Returns the first line that does not have the format (torn or cut short, for example), a second
    /// end of one call, or calls that contradict each other (see [`History::check`]).
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut history = Self::default();
        let mut seen = HashMap::new(); // maps the begun line and the end line of a call to one call
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

    /// Checks that the calls are possible: times in order, one call at a time in each thread, outcomes
    /// that fit the call, at most one kill for each process, and no event after it.
    ///
    /// # Errors
    /// Returns what is impossible. The program that wrote such a history has a bug; the lock may be correct.
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
                return Err(format!("called by a process that was gone: {call}"));
            }
            let acquires = matches!(call.attempt, Attempt::Acquire { .. });
            let makes = call.guard.filter(|_| acquires);
            if makes.is_some_and(|guard| !guards.insert((call.process, guard))) {
                return Err(format!("a second guard with this number: {call}"));
            }
            let fits = call.returned.is_none_or(|returned| match returned.outcome {
                Outcome::Held | Outcome::TimedOut | Outcome::Failed => acquires,
                Outcome::Released | Outcome::NotLocked | Outcome::Refused => !acquires,
            });
            if !fits {
                return Err(format!("an outcome that does not fit the call: {call}"));
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
