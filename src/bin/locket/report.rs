//! What is said of a wait while it lasts. A silent wait looks like a hang.
//!
//! A thread of its own looks for the holders and says so. The wait does not wait for it, neither when it is over
//! nor before; at its deadline it uses what the thread has found.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use locket::{Lock, LockStatus, OwnerKind};

use super::held_by::held_by;
use super::other;
use super::span::Span;
#[cfg(unix)]
use super::unix::{Leaving, LiveLine, spawn_deaf};
use super::voice::{Tone, say};
#[cfg(windows)]
use super::windows::{Leaving, LiveLine, spawn_deaf};

/// How often a line that stays is said.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// How often a line that changes is drawn.
const DRAW_EVERY: Duration = Duration::from_secs(1);

/// A wait that is told of, until it is dropped.
pub(crate) struct Report {
    shared: Arc<Shared>,
    line: Option<Arc<LiveLine>>,
    leaving: Option<Leaving>,
}

#[derive(Default)]
struct Shared {
    is_over: Mutex<bool>,
    changed: Condvar,
    /// The holders at the last look.
    holders: Mutex<LockStatus>,
}

/// What the thread needs.
struct Reporter {
    lock: Lock,
    since: Instant,
    /// The path as it was given, which the user has just typed.
    shown: PathBuf,
    /// The line on the terminal, if there is one that can be changed.
    line: Option<Arc<LiveLine>>,
    /// A wait that is short is not worth a line in a log.
    from_the_beginning: bool,
    shared: Arc<Shared>,
}

impl Report {
    /// Nothing is told if that is not wanted, but for a holder that waits for this process.
    pub(crate) fn of(lock: &Lock, shown: &Path, tone: Tone, since: Instant) -> Self {
        let shared = Arc::new(Shared::default());
        if tone == Tone::Quiet {
            return Self { shared, line: None, leaving: Leaving::tidy(None) };
        }
        let line = LiveLine::of_terminal().map(Arc::new);
        let reporter = Reporter {
            lock: lock.clone(),
            since,
            shown: shown.into(),
            line: line.clone(),
            from_the_beginning: tone == Tone::Verbose || io::stderr().is_terminal(),
            shared: Arc::clone(&shared),
        };
        let leaving = Leaving::tidy(line.clone());
        // Without a thread nothing is told.
        let _ = spawn_deaf(move || reporter.tell());
        Self { shared, line, leaving }
    }
}

impl Report {
    /// The holders at the last look that still hold the lock.
    pub(crate) fn holders(&self) -> LockStatus {
        let holders = self.shared.holders.lock().unwrap_or_else(PoisonError::into_inner);
        holders.still_held()
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        *self.shared.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.changed.notify_all();
        if let Some(line) = &self.line {
            line.end();
        }
        if let Some(leaving) = self.leaving.take() {
            leaving.end();
        }
    }
}

impl Reporter {
    fn tell(&self) {
        let mut say_at = if self.from_the_beginning { Duration::ZERO } else { SAY_EVERY };
        loop {
            let holders = self.lock.status().unwrap_or_default();
            self.learn(holders.clone());
            if self.is_over_within(Duration::ZERO) {
                return;
            }
            let waited = self.since.elapsed();
            if waited < SAY_EVERY && holds_ancestor(&holders) {
                // It may wait for this process to end.
                say_at = say_at.min(waited);
            }
            if let Some(line) = self.line.as_ref().filter(|_| LiveLine::is_alone(&holders)) {
                let begin = format!("locket: {}", begin(waited));
                line.draw(&[&begin, &self.shown.to_string_lossy(), &end(&holders)]);
            } else {
                if let Some(line) = &self.line {
                    line.clear();
                }
                if waited >= say_at {
                    let path = self.lock.path().display();
                    say(format_args!("{}{path}{}", begin(waited), end(&holders)));
                    say_at = waited + SAY_EVERY;
                }
            }
            let next = if self.line.is_some() { DRAW_EVERY } else { say_at.saturating_sub(waited) };
            if self.is_over_within(next) {
                return;
            }
        }
    }

    fn learn(&self, holders: LockStatus) {
        let mut learnt = self.shared.holders.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *learnt, holders);
        drop(learnt);
        drop(before); // Without the lock: there may be thousands.
    }

    fn is_over_within(&self, time: Duration) -> bool {
        let over = self.shared.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.changed.wait_timeout_while(over, time, |over| !*over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// `waiting 12s for my_app.lock: held by pid 4242 (cargo)`
fn begin(waited: Duration) -> String {
    match waited.as_secs() {
        0 => "waiting for ".into(),
        _ => format!("waiting {} for ", Span(waited)),
    }
}

fn end(holders: &LockStatus) -> String {
    let ancestor = if holds_ancestor(holders) { ", which started this process" } else { "" };
    held_by(holders) + ancestor
}

/// Does a process hold the lock that has started this one, directly or not?
fn holds_ancestor(holders: &LockStatus) -> bool {
    let is_ancestor = |by: &OwnerKind| match by {
        OwnerKind::Process(process) => {
            !process.is_this && other::descends_from(process::id(), process.pid)
        }
        _ => false,
    };
    holders.holders.iter().any(|owner| is_ancestor(&owner.kind))
}
