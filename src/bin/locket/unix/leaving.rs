//! Ctrl-C during a wait: the line on the terminal is erased before the signal ends this process.
//!
//! The signals are blocked and waited for by a thread, not handled: their actions stay as the caller
//! has set them, and reach the command.

use std::io;
use std::os::unix::thread::JoinHandleExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use nix::sys::pthread::{Pthread, pthread_kill};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, raise};

use super::live::LiveLine;

/// What people and systems end a waiting process with.
const ENDING: [Signal; 4] = [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM];

/// What tells the thread that the wait is over: a signal that nobody sends to a process that has not
/// asked for it, and that no system ignores by default.
const OVER: Signal = Signal::SIGVTALRM;

/// While it lives, who ends this process leaves no line behind. It goes back to the thread that made
/// it, whose mask it restores.
pub(crate) struct Leaving {
    line: Arc<LiveLine>,
    thread: Option<Tidying>,
}

struct Tidying {
    thread: JoinHandle<()>,
    is_over: Arc<AtomicBool>,
    before: SigSet,
}

impl Leaving {
    pub(crate) fn tidy(line: Arc<LiveLine>) -> Self {
        // Without a thread the line stays when the process is ended, and that is all.
        let thread = Tidying::begin(&line).ok();
        Self { line, thread }
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.line.erase();
        if let Some(tidying) = self.thread.take() {
            tidying.end();
        }
    }
}

impl Tidying {
    fn begin(line: &Arc<LiveLine>) -> io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let signals = ENDING.into_iter().chain([OVER]).collect::<SigSet>();
        let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let thread = thread::Builder::new().spawn({
            let (line, is_over) = (Arc::clone(line), Arc::clone(&is_over));
            move || tidy(signals, &line, &is_over)
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
    fn end(self) {
        self.is_over.store(true, Ordering::Release);
        if pthread_kill(self.thread.as_pthread_t() as Pthread, OVER).is_ok() {
            let _ = self.thread.join();
        }
        let _ = self.before.thread_set_mask();
    }
}

fn tidy(signals: SigSet, line: &LiveLine, is_over: &AtomicBool) {
    while let Ok(signal) = signals.wait() {
        if signal == OVER && is_over.load(Ordering::Acquire) {
            return;
        }
        line.erase_and(|| take(signal));
    }
}

/// Does what the signal would have done. If the caller ignores it, that is nothing, and the wait goes
/// on.
fn take(signal: Signal) {
    let signals = SigSet::from(signal);
    if signals.thread_unblock().is_ok() {
        let _ = raise(signal);
        let _ = signals.thread_block();
    }
}
