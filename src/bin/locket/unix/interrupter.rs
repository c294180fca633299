//! A signal that interrupts a system call of this thread at a deadline. For the calls that the library does not make.

use std::io;
use std::time::Duration;

use nix::sys::signal::{SigEvent, SigSet, SigevNotify, Signal};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;

use super::os::{self, Action};

/// What flock(1) uses. It is the process's: no other thread of this one is there yet to take it.
const SIGNAL: Signal = Signal::SIGALRM;

/// The timer may fire before the call sleeps, and so goes on firing.
const REPEAT: Duration = Duration::from_micros(100);

/// While it lives, system calls of this thread are interrupted from the deadline on, again and again.
pub(crate) struct Interrupter {
    timer: Option<Timer>,
    action: Action,
    mask: SigSet,
}

impl Interrupter {
    pub(crate) fn start(remaining: Duration) -> io::Result<Self> {
        let action = os::handle_by_nothing(SIGNAL as i32).ok_or_else(io::Error::last_os_error)?;
        let mask =
            SigSet::from(SIGNAL).thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_UNBLOCK)?;
        let mut this = Self { timer: None, action, mask };
        let event = SigEvent::new(SigevNotify::SigevSignal { signal: SIGNAL, si_value: 0 });
        let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, event)?;
        // Zero would stop it.
        let first =
            remaining.max(Duration::from_nanos(1)).min(Duration::from_secs(i32::MAX as u64));
        let schedule = Expiration::IntervalDelayed(first.into(), REPEAT.into());
        timer.set(schedule, TimerSetTimeFlags::empty())?;
        this.timer = Some(timer);
        Ok(this)
    }
}

impl Drop for Interrupter {
    fn drop(&mut self) {
        // No signal comes from here on; one that has come was delivered, since it is not blocked.
        self.timer = None;
        let _ = self.mask.thread_set_mask();
        os::restore(SIGNAL as i32, &self.action);
    }
}
