//! A line at the bottom of a terminal that changes, and in the end is gone.
//!
//! The cursor stays at the beginning of the line. A terminal that wraps its lines anew when its window is narrowed
//! keeps the cursor there, and all that follows it is erased.

use std::env;
use std::io::{self, IsTerminal};
use std::os::fd::AsRawFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use locket::{LockStatus, OwnerKind};
use nix::unistd::{getpgrp, tcgetpgrp};

use super::super::escape::escape;
use super::super::other;
use super::os;
use super::stderr::{self, NoRoom};

const ERASE: &str = "\r\x1b[J";

#[derive(Debug, Default)]
pub(crate) struct LiveLine {
    state: Mutex<State>,
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Nothing is drawn from now on.
    is_over: bool,
    /// A thread writes it, and may be stuck there.
    in_writing: bool,
    is_drawn: bool,
}

impl LiveLine {
    /// `None` if stderr is no terminal, or one that cannot erase.
    pub(crate) fn of_terminal() -> Option<Self> {
        let can_erase = env::var_os("TERM").is_some_and(|it| !it.is_empty() && it != "dumb");
        (can_erase && io::stderr().is_terminal()).then(Self::default)
    }

    /// Does no other process write to the terminal? Whatever it wrote would be erased.
    pub(crate) fn is_alone(holders: &LockStatus) -> bool {
        let Some(terminal) = terminal_of_stderr() else { return false };
        let is_here = |by: &OwnerKind| match by {
            OwnerKind::Process(process) => other::terminal_of(process.pid) == Some(terminal),
            _ => false,
        };
        in_foreground() && !holders.holders.iter().any(|owner| is_here(&owner.kind))
    }

    /// Draws the line anew; what is written may take long. The terminal is told not to wrap it, in case the window
    /// is narrower than it was.
    pub(crate) fn draw(&self, text: &[&str; 3]) {
        let line = fitted(text, os::columns(io::stderr().as_raw_fd()));
        {
            let mut state = self.state();
            if state.is_over || !stderr::has_room() {
                return;
            }
            state.in_writing = true;
        }
        stderr::write_now(&format!("{ERASE}\x1b[?7l{line}\x1b[?7h\r"));
        let mut state = self.state();
        (state.in_writing, state.is_drawn) = (false, true);
        self.written.notify_all();
        if state.is_over {
            // The other has not waited for this any longer.
            self.erase(&mut state);
        }
    }

    /// Erases the line, which is not drawn again, without waiting for the terminal.
    pub(crate) fn end(&self) {
        const PATIENCE: Duration = Duration::from_millis(100);
        let mut state = self.state();
        state.is_over = true;
        let waited = self.written.wait_timeout_while(state, PATIENCE, |state| state.in_writing);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.in_writing {
            self.erase(&mut state);
        }
    }

    /// Erases the line until it is drawn again.
    pub(crate) fn clear(&self) {
        let mut state = self.state();
        if !state.in_writing {
            self.erase(&mut state);
        }
    }

    /// It is drawn again.
    pub(super) fn go_on(&self) {
        self.state().is_over = false;
    }

    #[allow(clippy::unused_self, reason = "the state is this line's")]
    fn erase(&self, state: &mut State) {
        if std::mem::take(&mut state.is_drawn) && in_foreground() {
            stderr::write(ERASE.into(), NoRoom::Leave);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In the background the screen is another job's. (On a terminal that is not this process's own there is no such
/// thing.)
fn in_foreground() -> bool {
    !tcgetpgrp(io::stderr()).is_ok_and(|group| group != getpgrp())
}

/// Its major and minor number.
fn terminal_of_stderr() -> Option<(u32, u32)> {
    /// `/dev/tty`, which is each process's own.
    const OWN: (u32, u32) = (5, 0);
    let device = rustix::fs::fstat(io::stderr()).ok()?.st_rdev;
    let terminal = (rustix::fs::major(device), rustix::fs::minor(device));
    if terminal == OWN { other::terminal_of(std::process::id()) } else { Some(terminal) }
}

/// A line of a beginning, a path and an end in a terminal of this width. Of one that is too long the path loses its
/// middle: the end names the holder.
fn fitted(text: &[&str; 3], columns: Option<u16>) -> String {
    let [begin, path, end] = text.map(escape);
    // The last column is left free: some terminals wrap when it is written to.
    let room = columns.map_or(usize::MAX, |columns| usize::from(columns).saturating_sub(1));
    let rest = room.saturating_sub(width(&begin) + width(&end));
    let path = if width(&path) > rest { shortened(&path, rest) } else { path };
    cut(&(begin + &path + &end), room)
}

/// `/srv/very/long/path` in 11 columns is `/srv/…/path`.
fn shortened(path: &str, room: usize) -> String {
    let kept = room.saturating_sub(1);
    let end: String = path.chars().rev().collect();
    let end: String = cut(&end, kept - kept / 2).chars().rev().collect();
    cut(path, kept / 2) + "…" + &end
}

fn cut(text: &str, room: usize) -> String {
    let mut used = 0;
    let fits = |c: &char| {
        used += width_of(*c);
        used <= room
    };
    text.chars().take_while(fits).collect()
}

fn width(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

/// At most so many columns: those of other scripts may be wide.
fn width_of(c: char) -> usize {
    if c.is_ascii() || c == '…' { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::fitted;

    #[test]
    fn a_long_path_loses_its_middle() {
        let text = ["for ", "/srv/long/path/x.lock", ": held by pid 7 (a)"];
        assert_eq!(fitted(&text, None), text.concat());
        assert_eq!(fitted(&text, Some(45)), text.concat());
        assert_eq!(fitted(&text, Some(36)), "for /srv/…x.lock: held by pid 7 (a)");
        assert_eq!(fitted(&text, Some(25)), "for …: held by pid 7 (a)");
        assert_eq!(fitted(&text, Some(11)), "for …: hel");
        assert_eq!(fitted(&text, Some(0)), "");
    }

    #[test]
    fn a_wide_character_takes_two_columns() {
        assert_eq!(fitted(&["", "日本語日本語", ""], Some(10)), "日本…本語");
        assert_eq!(fitted(&["", "日本語日本語", ""], Some(13)), "日本語日本語");
    }
}
