//! What is said of a wait while it lasts. A silent wait looks like a hang.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use locket::Wait;

use super::held_by::held_by;
use super::span::Span;
#[cfg(unix)]
use super::unix::LiveLine;
use super::voice::{Tone, say};
#[cfg(windows)]
use super::windows::LiveLine;

pub(crate) enum Report {
    /// Lines that stay, for a log, or for a terminal that can do no better.
    Lines { from_the_beginning: bool },
    /// One line that changes, and is gone in the end. It has the path as it was given: whoever
    /// looks at it has just typed it.
    Live { line: Arc<LiveLine>, shown: PathBuf },
}

impl Report {
    /// `None` if nobody wants to know.
    pub(crate) fn new(tone: Tone, shown: &Path) -> Option<Self> {
        if tone == Tone::Quiet {
            return None;
        }
        if let Some(line) = LiveLine::of_terminal() {
            return Some(Self::Live { line: Arc::new(line), shown: shown.into() });
        }
        let from_the_beginning = tone == Tone::Verbose || io::stderr().is_terminal();
        Some(Self::Lines { from_the_beginning })
    }

    /// The line on the screen, if that is where it is told.
    pub(crate) fn line(&self) -> Option<Arc<LiveLine>> {
        match self {
            Self::Live { line, .. } => Some(Arc::clone(line)),
            Self::Lines { .. } => None,
        }
    }

    /// How often there is something to tell.
    pub(crate) fn period(&self) -> Duration {
        match self {
            Self::Lines { .. } => Duration::from_secs(10),
            Self::Live { .. } => Duration::from_secs(1),
        }
    }

    pub(crate) fn tell(&self, wait: &Wait<'_>) {
        match self {
            Self::Lines { from_the_beginning: false } if wait.waited() < self.period() => {}
            Self::Lines { .. } => say(text(wait, wait.path())),
            Self::Live { line, shown } => line.draw(text(wait, shown)),
        }
    }
}

/// `waiting 12s for my_app.lock: held by pid 4242 (cargo)`
fn text(wait: &Wait<'_>, path: &Path) -> String {
    let (path, waited) = (path.display(), wait.waited());
    let held_by = held_by(&wait.holders().unwrap_or_default());
    match waited.as_secs() {
        0 => format!("waiting for {path}{held_by}"),
        _ => format!("waiting {} for {path}{held_by}", Span(waited)),
    }
}
