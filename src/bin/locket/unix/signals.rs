//! The signals that somebody sends to locket and means for the command.
//!
//! They are blocked and then waited for, not handled: so the actions that the caller has set, an
//! ignored SIGHUP of nohup(1) for instance, stay as they are and reach the command.

use std::fs::File;
use std::io;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{getpgrp, tcgetpgrp};

use super::child::Child;

/// What ends a process that does not expect it, and is sent to processes by their number.
const PASSED_ON: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
];

/// Signals that are kept pending.
#[derive(Debug)]
pub(super) struct Signals {
    held_back: SigSet,
    before: SigSet,
}

impl Signals {
    pub(super) fn hold_back() -> io::Result<Self> {
        let held_back = SigSet::from_iter(PASSED_ON);
        let before = held_back.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok(Self { held_back, before })
    }

    /// The mask as the caller gave it.
    pub(super) fn before(&self) -> SigSet {
        self.before
    }

    /// The thread comes first: once there is a child, nothing may fail.
    pub(super) fn pass_on_later(&self) -> io::Result<PassingOn> {
        let (sender, receiver) = channel();
        let signals = self.held_back;
        thread::Builder::new().spawn(move || {
            if let Ok(child) = receiver.recv() {
                pass_on(signals, &child);
            }
        })?;
        Ok(PassingOn(sender))
    }
}

/// A thread, which inherits the mask, and waits to be told for whom the signals are.
#[derive(Debug)]
pub(super) struct PassingOn(Sender<Child>);

impl PassingOn {
    pub(super) fn to(self, child: &Child) {
        // The thread lives until it has heard this.
        let _ = self.0.send(child.clone());
    }
}

fn pass_on(signals: SigSet, child: &Child) {
    while let Ok(signal) = signals.wait() {
        if !is_of_terminal(signal) {
            child.signal(signal);
        }
    }
}

/// The terminal sends these to everyone in its foreground, the command included. Two would be
/// one too many: to many programs the second Ctrl-C says "at once".
fn is_of_terminal(signal: Signal) -> bool {
    let by_key = matches!(signal, Signal::SIGINT | Signal::SIGQUIT);
    by_key && File::open("/dev/tty").is_ok_and(|tty| tcgetpgrp(tty) == Ok(getpgrp()))
}
