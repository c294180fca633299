//! Ctrl-C during a wait: the line on the terminal is erased before the signal ends this process.
//!
//! The signals are blocked and waited for by a thread, not handled: their actions stay as the caller
//! has set them, and reach the command.

use std::io;
use std::os::unix::thread::JoinHandleExt;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use nix::sys::pthread::{Pthread, pthread_kill};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise};

use super::live::LiveLine;
use super::os;

/// What people and systems end a waiting process with.
const ENDING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

/// What tells the thread that the wait is over: a signal that nobody sends to a process that has not
/// asked for it, and that no system ignores by default.
const OVER: Signal = Signal::SIGVTALRM;

/// While it lives, a signal that ends this process leaves no line behind, and ends it although it is the first
/// process of a container. It goes back to the thread that made it, whose mask it restores.
pub(crate) struct Leaving {
    thread: JoinHandle<()>,
    is_over: Arc<AtomicBool>,
    before: SigSet,
}

impl Leaving {
    /// `None` if the signals do what they should without it. Without a thread for it the line stays when the process
    /// is ended, and that is all.
    pub(crate) fn tidy(line: Option<Arc<LiveLine>>) -> Option<Self> {
        if line.is_none() && process::id() != 1 {
            return None;
        }
        Self::begin(line).ok()
    }

    fn begin(line: Option<Arc<LiveLine>>) -> io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let signals = ENDING.into_iter().chain([OVER]).collect::<SigSet>();
        let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let thread = thread::Builder::new().spawn({
            let is_over = Arc::clone(&is_over);
            move || tidy(signals, line.as_deref(), &is_over)
        });
        match thread {
            Ok(thread) => Ok(Self { thread, is_over, before }),
            Err(error) => {
                before.thread_set_mask()?;
                Err(error)
            }
        }
    }

    /// A signal that has come since is taken when the mask is as it was.
    pub(crate) fn end(self) {
        self.is_over.store(true, Ordering::Release);
        if pthread_kill(self.thread.as_pthread_t() as Pthread, OVER).is_ok() {
            // It waits for signals, or for some milliseconds until the line is erased.
            let _ = self.thread.join();
        }
        let _ = self.before.thread_set_mask();
    }
}

fn tidy(signals: SigSet, line: Option<&LiveLine>, is_over: &AtomicBool) {
    while let Ok(signal) = signals.wait() {
        if signal == OVER && is_over.load(Ordering::Acquire) {
            return;
        }
        if let Some(line) = line {
            line.end();
        }
        take(signal);
        if let Some(line) = line {
            line.go_on();
        }
    }
}

/// Does what the signal would have done. If the caller ignores it, that is nothing, and the wait goes
/// on.
fn take(signal: Signal) {
    let number = signal as i32;
    if process::id() == 1 && os::has_default_action(number) {
        // The kernel discards it.
        process::exit(128 + number);
    }
    let signals = SigSet::from(signal);
    if signals.thread_unblock().is_ok() {
        let _ = raise(signal);
        let _ = signals.thread_block();
    }
}
