//! A line at the bottom of a terminal that changes, and in the end is gone.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use nix::unistd::{getpgrp, tcgetpgrp};

use super::super::voice::plain;

#[derive(Debug, Default)]
pub(crate) struct LiveLine {
    is_drawn: Mutex<bool>,
}

impl LiveLine {
    /// `None` if stderr is no terminal, or one that cannot erase.
    pub(crate) fn of_terminal() -> Option<Self> {
        let can_erase = env::var_os("TERM").is_some_and(|it| !it.is_empty() && it != "dumb");
        (can_erase && io::stderr().is_terminal()).then(Self::default)
    }

    /// The terminal is told not to wrap the line: what has no room cannot be erased.
    pub(crate) fn draw(&self, text: impl Display) {
        let text = plain(&text.to_string());
        let mut is_drawn = self.is_drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if in_foreground() {
            show(&format!("\r\x1b[2K\x1b[?7llocket: {text}\x1b[?7h"));
            *is_drawn = true;
        }
    }

    pub(super) fn erase(&self) {
        self.erase_and(|| {});
    }

    /// Nobody draws it again before the rest is done.
    pub(super) fn erase_and(&self, rest: impl FnOnce()) {
        let mut is_drawn = self.is_drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if *is_drawn && in_foreground() {
            show("\r\x1b[2K");
        }
        *is_drawn = false;
        rest();
    }
}

/// In the background the screen is somebody else's. (On a terminal that is not this process's own
/// there is no such thing.)
fn in_foreground() -> bool {
    !tcgetpgrp(io::stderr()).is_ok_and(|group| group != getpgrp())
}

/// In one write. Nobody may be there to see it.
fn show(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}
