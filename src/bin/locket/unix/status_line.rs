//! The status line: a line at the bottom of a terminal that is redrawn during a wait, and erased when the wait is over or a
//! signal ends the process.
//!
//! The cursor stays at the beginning of the line. A terminal that rewraps its lines when its window becomes narrower
//! keeps the cursor there, and everything after it is erased.

use std::env;
use std::io::{self, IsTerminal};
use std::os::fd::AsRawFd;
use std::os::unix::thread::JoinHandleExt;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use locket::{LockStatus, OwnerKind};
use nix::sys::pthread::{Pthread, pthread_kill};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise};
use nix::unistd::{getpgrp, tcgetpgrp};

use crate::escape::escape;
use crate::platform::{self, StatusLine as _};
use crate::processes::terminal_of;
use crate::unix::os;
use crate::unix::stdio::{self, WhenFull};

/// To the beginning of the line, and erase to the end of the screen (ECMA-48, CR and ED).
const ERASE: &str = "\r\x1b[J";

/// The status line of standard error's terminal.
#[derive(Debug, Default)]
pub(crate) struct TerminalLine {
    state: Mutex<State>,
    /// Notified when a write has ended.
    written: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the line is not drawn any more.
    is_over: bool,
    /// Whether a thread writes the line; it may be stuck in the write.
    is_being_written: bool,
    /// Whether the line is on the screen.
    is_drawn: bool,
}

impl platform::StatusLine for TerminalLine {
    fn for_terminal() -> Option<Self> {
        let can_erase = env::var_os("TERM").is_some_and(|it| !it.is_empty() && it != "dumb");
        (can_erase && io::stderr().is_terminal()).then(Self::default)
    }

    fn is_only_writer(status: &LockStatus) -> bool {
        let Some(terminal) = terminal_of_stderr() else { return false };
        let is_here = |kind: &OwnerKind| match kind {
            OwnerKind::Process(process) => terminal_of(process.pid) == Some(terminal),
            _ => false,
        };
        in_foreground() && !status.holders.iter().any(|owner| is_here(&owner.kind))
    }

    /// Turns line wrapping (DECAWM) off for the line: the window may be narrower than it was a moment ago.
    fn draw(&self, parts: &[&str; 3]) {
        let line = fit(parts, os::columns(io::stderr().as_raw_fd()));
        {
            let mut state = self.state();
            if state.is_over || !stdio::stderr_has_room() {
                return;
            }
            state.is_being_written = true;
        }
        stdio::write_stderr_blocking(&format!("{ERASE}\x1b[?7l{line}\x1b[?7h\r"));
        let mut state = self.state();
        (state.is_being_written, state.is_drawn) = (false, true);
        self.written.notify_all();
        if state.is_over {
            // `finish` has stopped waiting for this write.
            erase(&mut state);
        }
    }

    fn finish(&self) {
        const TIMEOUT: Duration = Duration::from_millis(100);
        let mut state = self.state();
        state.is_over = true;
        let result =
            self.written.wait_timeout_while(state, TIMEOUT, |state| state.is_being_written);
        let (mut state, _) = result.unwrap_or_else(PoisonError::into_inner);
        if !state.is_being_written {
            erase(&mut state);
        }
    }

    fn clear(&self) {
        let mut state = self.state();
        if !state.is_being_written {
            erase(&mut state);
        }
    }
}

impl TerminalLine {
    /// Lets the line be drawn again after it was finished.
    fn resume(&self) {
        self.state().is_over = false;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn erase(state: &mut State) {
    if std::mem::take(&mut state.is_drawn) && in_foreground() {
        stdio::write_stderr(ERASE.into(), WhenFull::Queue);
    }
}

/// Returns whether this process is in the foreground: in the background the screen belongs to another job. True also on a
/// terminal that is not the controlling terminal of this process, which has no foreground for it.
fn in_foreground() -> bool {
    !tcgetpgrp(io::stderr()).is_ok_and(|group| group != getpgrp())
}

/// Returns the major and minor number of standard error's terminal.
fn terminal_of_stderr() -> Option<(u32, u32)> {
    /// `/dev/tty`, which stands for the controlling terminal of each process (tty(4)).
    const CONTROLLING: (u32, u32) = (5, 0);
    let device = rustix::fs::fstat(io::stderr()).ok()?.st_rdev;
    let terminal = (rustix::fs::major(device), rustix::fs::minor(device));
    if terminal == CONTROLLING { terminal_of(process::id()) } else { Some(terminal) }
}

/// Fits a beginning, a path and an end into a terminal of this width. If they are too long, the middle of the path is left
/// out, since the end names the holder.
fn fit(parts: &[&str; 3], columns: Option<u16>) -> String {
    let [begin, path, end] = parts.map(escape);
    // The last column stays free: some terminals wrap when it is written.
    let room = columns.map_or(usize::MAX, |columns| usize::from(columns).saturating_sub(1));
    let rest = room.saturating_sub(width(&begin) + width(&end));
    let path = if width(&path) > rest { shorten(&path, rest) } else { path };
    cut(&(begin + &path + &end), room)
}

/// `/srv/very/long/path` in 11 columns is `/srv/…/path`.
fn shorten(path: &str, room: usize) -> String {
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

/// Returns the columns that a character takes at most: characters of other scripts may be wide.
fn width_of(c: char) -> usize {
    if c.is_ascii() || c == '…' { 1 } else { 2 }
}

/// The signals that people and systems end a waiting process with.
const ENDING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

/// The signal that wakes the thread when the wait is over. The kernel sends it only to a process that has set a timer for it
/// (setitimer(2)), and it is not ignored by default (signal(7)).
const OVER: Signal = Signal::SIGVTALRM;

/// Erases the status line when a signal ends this process, and ends this process also if it is the first one of a container,
/// for which the kernel discards the signal (`pid_namespaces(7)`).
///
/// A thread waits for the signals, which are blocked and not handled: their actions stay as the caller has set them, and are
/// inherited by the command.
pub(crate) struct ClearOnExit {
    thread: JoinHandle<()>,
    is_over: Arc<AtomicBool>,
    /// The signal mask to be restored, of the thread that started it.
    mask: SigSet,
}

impl platform::ClearOnExit<TerminalLine> for ClearOnExit {
    fn start(line: Option<Arc<TerminalLine>>) -> Option<Self> {
        if line.is_none() && process::id() != 1 {
            return None;
        }
        Self::block_and_wait(line).ok()
    }

    /// A signal that is pending by then is delivered when the mask is restored.
    fn end(self) {
        // Pairs with the Acquire in `handle_signals`.
        self.is_over.store(true, Ordering::Release);
        if pthread_kill(self.thread.as_pthread_t() as Pthread, OVER).is_ok() {
            // The thread waits for signals, or for 100 ms at most until the line is erased.
            let _ = self.thread.join();
        }
        let _ = self.mask.thread_set_mask();
    }
}

impl ClearOnExit {
    fn block_and_wait(line: Option<Arc<TerminalLine>>) -> io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let signals = ENDING.into_iter().chain([OVER]).collect::<SigSet>();
        let mask = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let thread = thread::Builder::new().spawn({
            let is_over = Arc::clone(&is_over);
            move || handle_signals(signals, line.as_deref(), &is_over)
        });
        match thread {
            Ok(thread) => Ok(Self { thread, is_over, mask }),
            Err(error) => {
                mask.thread_set_mask()?;
                Err(error)
            }
        }
    }
}

fn handle_signals(signals: SigSet, line: Option<&TerminalLine>, is_over: &AtomicBool) {
    while let Ok(signal) = signals.wait() {
        if signal == OVER && is_over.load(Ordering::Acquire) {
            return;
        }
        if let Some(line) = line {
            line.finish();
        }
        act_on(signal);
        if let Some(line) = line {
            line.resume();
        }
    }
}

/// Does what the signal would have done. If the caller ignores it, nothing happens and the wait goes on.
fn act_on(signal: Signal) {
    let number = signal as i32;
    if process::id() == 1 && os::has_default_action(number) {
        // The kernel discards the signal.
        process::exit(128 + number);
    }
    let signals = SigSet::from(signal);
    if signals.thread_unblock().is_ok() {
        let _ = raise(signal);
        let _ = signals.thread_block();
    }
}

#[cfg(test)]
mod tests {
    use super::fit;

    #[test]
    fn a_long_path_is_shortened_in_its_middle() {
        let text = ["for ", "/srv/long/path/x.lock", ": held by pid 7 (a)"];
        assert_eq!(fit(&text, None), text.concat());
        assert_eq!(fit(&text, Some(45)), text.concat());
        assert_eq!(fit(&text, Some(36)), "for /srv/…x.lock: held by pid 7 (a)");
        assert_eq!(fit(&text, Some(25)), "for …: held by pid 7 (a)");
        assert_eq!(fit(&text, Some(11)), "for …: hel");
        assert_eq!(fit(&text, Some(0)), "");
    }

    #[test]
    fn a_wide_character_takes_two_columns() {
        assert_eq!(fit(&["", "日本語日本語", ""], Some(10)), "日本…本語");
        assert_eq!(fit(&["", "日本語日本語", ""], Some(13)), "日本語日本語");
    }
}
