//! Locks of open file descriptions by fcntl(2) (`F_OFD_SETLK`), which are independent of those of flock(2).

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::signal::{SigEvent, SigSet, SigevNotify, SigmaskHow, Signal};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;

use crate::flock::args::{Operation, Range};
use crate::unix::{self, SignalAction};

/// Returns whether the operation was done; if not, another process holds a conflicting lock. A wait sleeps in the kernel's
/// queue until a signal at the deadline interrupts it.
pub(super) fn operate(
    fd: impl AsFd,
    operation: Operation,
    range: Range,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let lock = request(operation, range);
    let attempt = || complete(&fd, || FcntlArg::F_OFD_SETLK(&lock));
    let is_done = attempt()?;
    if is_done || timeout == Some(Duration::ZERO) {
        return Ok(is_done);
    }
    let Some(deadline) = timeout.and_then(|timeout| Instant::now().checked_add(timeout)) else {
        return Ok(complete(&fd, || FcntlArg::F_OFD_SETLKW(&lock))?);
    };
    let _timer = InterruptTimer::start(deadline.saturating_duration_since(Instant::now()))?;
    loop {
        match fcntl(&fd, FcntlArg::F_OFD_SETLKW(&lock)) {
            Ok(_) => return Ok(true),
            Err(Errno::EINTR) if Instant::now() < deadline => {}
            // The last attempt is made at the deadline or after it (L3).
            Err(Errno::EINTR) => return Ok(attempt()?),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Makes the call, again if a signal interrupts it. Returns whether the lock was granted.
fn complete<'a>(fd: &impl AsFd, argument: impl Fn() -> FcntlArg<'a>) -> nix::Result<bool> {
    loop {
        match fcntl(fd, argument()) {
            Ok(_) => return Ok(true),
            Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

fn request(operation: Operation, range: Range) -> libc::flock {
    let kind = match operation {
        Operation::Exclusive => libc::F_WRLCK,
        Operation::Shared => libc::F_RDLCK,
        Operation::Unlock => libc::F_UNLCK,
    };
    #[allow(clippy::cast_possible_truncation, reason = "types vary by platform; both are small")]
    let (kind, whence) = (kind as libc::c_short, libc::SEEK_SET as libc::c_short);
    // `l_pid` must be zero (`F_OFD_SETLK` in fcntl(2)).
    libc::flock {
        l_type: kind,
        l_whence: whence,
        l_start: range.start,
        l_len: range.length,
        l_pid: 0,
    }
}

/// The signal of flock(1)'s own timer. It is sent to the process, which has no other thread yet that could receive it.
const SIGNAL: Signal = Signal::SIGALRM;

/// The timer may fire before the call sleeps, so it fires repeatedly: not so often that a debugger handles nothing else.
const REPEAT: Duration = Duration::from_millis(1);

/// A timer that interrupts the system calls of this thread from the deadline on, until it is dropped.
struct InterruptTimer {
    timer: Option<Timer>,
    action: SignalAction,
    mask: SigSet,
}

impl InterruptTimer {
    fn start(remaining: Duration) -> io::Result<Self> {
        let action = unix::set_empty_handler(SIGNAL as i32).ok_or_else(io::Error::last_os_error)?;
        let mask = SigSet::from(SIGNAL).thread_swap_mask(SigmaskHow::SIG_UNBLOCK)?;
        let mut this = Self { timer: None, action, mask };
        let event = SigEvent::new(SigevNotify::SigevSignal { signal: SIGNAL, si_value: 0 });
        let mut timer = Timer::new(ClockId::CLOCK_MONOTONIC, event)?;
        // A time of zero disarms a timer (`timer_settime(2)`).
        let first =
            remaining.max(Duration::from_nanos(1)).min(Duration::from_secs(i32::MAX as u64));
        let schedule = Expiration::IntervalDelayed(first.into(), REPEAT.into());
        timer.set(schedule, TimerSetTimeFlags::empty())?;
        this.timer = Some(timer);
        Ok(this)
    }
}

impl Drop for InterruptTimer {
    fn drop(&mut self) {
        // No signal is sent from here on, and none is pending, since it is not blocked.
        self.timer = None;
        let _ = self.mask.thread_set_mask();
        unix::restore_action(SIGNAL as i32, &self.action);
    }
}
