//! The progress of a wait on standard error: how long it lasts, and which process holds the lock.
//!
//! A thread of its own looks the holders up and prints them. The wait never waits for that thread: at its deadline it uses
//! the holders that the thread has found by then.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use locket::{Lock, LockStatus};

use crate::duration::HumanDuration;
use crate::output::{Verbosity, print_message};
use crate::platform::{ClearOnExit as _, Platform, StatusLine as _};
use crate::processes::{ancestor_holds, held_by};
use crate::system::System;

type StatusLine = <System as Platform>::StatusLine;
type ClearOnExit = <System as Platform>::ClearOnExit;

/// The time between two lines that stay.
const PRINT_EVERY: Duration = Duration::from_secs(10);

/// The time between two updates of the status line.
const DRAW_EVERY: Duration = Duration::from_secs(1);

/// The time after which the hint about a wait without a limit is worth a line.
const HINT_AFTER: Duration = Duration::from_secs(60);

/// The progress of a wait, printed until it is dropped.
pub(crate) struct WaitReport {
    shared: Arc<Shared>,
    line: Option<Arc<StatusLine>>,
    clear_on_exit: Option<ClearOnExit>,
}

/// The state that the thread shares with the wait.
#[derive(Default)]
struct Shared {
    is_over: Flag,
    /// What the last query found.
    status: Mutex<LockStatus>,
}

/// The state of the thread that prints.
struct Reporter {
    lock: Lock,
    start: Instant,
    /// The path as the user gave it.
    given_path: PathBuf,
    /// The line on the terminal, if the terminal can redraw one.
    line: Option<Arc<StatusLine>>,
    /// Whether to print immediately. In a log a short wait is not worth a line.
    prints_immediately: bool,
    shared: Arc<Shared>,
}

impl WaitReport {
    /// Starts the thread. With [`Verbosity::Quiet`], or if the system has no thread to spare, nothing is printed.
    pub(crate) fn start(
        lock: &Lock,
        given_path: &Path,
        verbosity: Verbosity,
        start: Instant,
    ) -> Self {
        let shared = Arc::new(Shared::default());
        if verbosity == Verbosity::Quiet {
            return Self { shared, line: None, clear_on_exit: ClearOnExit::start(None) };
        }
        let line = StatusLine::for_terminal().map(Arc::new);
        let reporter = Reporter {
            lock: lock.clone(),
            start,
            given_path: given_path.into(),
            line: line.clone(),
            prints_immediately: verbosity == Verbosity::Verbose || io::stderr().is_terminal(),
            shared: Arc::clone(&shared),
        };
        let clear_on_exit = ClearOnExit::start(line.clone());
        let _ = System::spawn_without_signals(move || reporter.run());
        Self { shared, line, clear_on_exit }
    }

    /// Returns what the last query found, without the holders that do not hold the lock any more.
    pub(crate) fn last_status(&self) -> LockStatus {
        let status = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner);
        status.still_held()
    }
}

impl Drop for WaitReport {
    fn drop(&mut self) {
        self.shared.is_over.set();
        if let Some(line) = &self.line {
            line.finish();
        }
        if let Some(clear_on_exit) = self.clear_on_exit.take() {
            clear_on_exit.end();
        }
    }
}

impl Reporter {
    fn run(&self) {
        let mut print_at = if self.prints_immediately { Duration::ZERO } else { PRINT_EVERY };
        loop {
            let status = self.lock.status().unwrap_or_default();
            self.store(status.clone());
            if self.shared.is_over.is_set_within(Duration::ZERO) {
                return;
            }
            let elapsed = self.start.elapsed();
            if elapsed < PRINT_EVERY && ancestor_holds(&status) {
                // The holder may wait for this process to exit, so the wait may never end.
                print_at = print_at.min(elapsed);
            }
            if let Some(line) = self.line.as_ref().filter(|_| StatusLine::is_only_writer(&status)) {
                let begin = format!("locket: {}", begin(elapsed));
                line.draw(&[&begin, &self.given_path.to_string_lossy(), &end(&status)]);
            } else {
                if let Some(line) = &self.line {
                    line.clear();
                }
                if elapsed >= print_at {
                    let path = self.lock.path().display();
                    print_message(format_args!("{}{path}{}", begin(elapsed), end(&status)));
                    print_at = elapsed + PRINT_EVERY;
                }
            }
            let next =
                if self.line.is_some() { DRAW_EVERY } else { print_at.saturating_sub(elapsed) };
            if self.shared.is_over.is_set_within(next) {
                return;
            }
        }
    }

    fn store(&self, status: LockStatus) {
        let mut stored = self.shared.status.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *stored, status);
        drop(stored);
        drop(before); // After the mutex is released: there may be thousands of holders.
    }
}

/// Returns the beginning of `waiting 12s for my_app.lock: held by pid 4242 (cargo)`.
fn begin(elapsed: Duration) -> String {
    match elapsed.as_secs() {
        0 => "waiting for ".into(),
        _ => format!("waiting {} for ", HumanDuration(elapsed)),
    }
}

fn end(status: &LockStatus) -> String {
    let ancestor = if ancestor_holds(status) { ", which started this process" } else { "" };
    held_by(status) + ancestor
}

/// Prints one line in a log, after a minute, about how to limit a wait without a limit. Nothing is printed once it is dropped.
pub(crate) struct UnlimitedHint(Arc<Flag>);

impl UnlimitedHint {
    pub(crate) fn start() -> Self {
        let is_over = Arc::new(Flag::default());
        let _ = System::spawn_without_signals({
            let is_over = Arc::clone(&is_over);
            move || {
                if !is_over.is_set_within(HINT_AFTER) {
                    print_message(
                        "this wait has no limit: -w 10m limits it to ten minutes, -n fails immediately",
                    );
                }
            }
        });
        Self(is_over)
    }
}

impl Drop for UnlimitedHint {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// A flag that is set once, and that a thread waits for.
#[derive(Default)]
struct Flag {
    is_set: Mutex<bool>,
    changed: Condvar,
}

impl Flag {
    fn set(&self) {
        *self.is_set.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn is_set_within(&self, time: Duration) -> bool {
        let is_set = self.is_set.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.changed.wait_timeout_while(is_set, time, |is_set| !*is_set);
        *result.unwrap_or_else(PoisonError::into_inner).0
    }
}
