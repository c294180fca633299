//! Waking a thread that is blocked in `flock`, at its deadline.
//!
//! Only a signal interrupts `flock`. So a timer of the kernel's sends this thread one real-time
//! signal at the deadline, whose handler does nothing and does not ask for the call to be
//! restarted: `flock` returns `EINTR`. Between the waits there is neither timer nor signal, and
//! during a wait there is a signal only if its deadline passes.

use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use libc::{c_int, sigaction, sigset_t};

/// The timer may fire before `flock` blocks, and then nobody would wake it: so it goes on firing.
const REPEAT: Duration = Duration::from_millis(1);

/// While it lives, this thread is interrupted from the end of the given time on, again and again.
///
/// The order of the fields is the order in which they are dropped: first the timer, then the
/// mask. A signal that is still on its way is delivered before the timer's deletion returns, while
/// it may be. Were it blocked first, it would stay pending and turn up in the host's `sigwait` or
/// signalfd.
pub(super) struct Alarm {
    _timer: Timer,
    _unblocked: Unblocked,
}

impl Alarm {
    /// `None` if no signal or no timer can be had: the caller must do without.
    pub(super) fn set(remaining: Duration) -> Option<Self> {
        let signal = claim_signal()?;
        let unblocked = Unblocked::new(signal)?;
        let timer = Timer::new(signal)?;
        timer.start(remaining).then_some(Self { _timer: timer, _unblocked: unblocked })
    }
}

/// A timer that sends a signal to the thread that made it.
struct Timer(libc::timer_t);

impl Timer {
    fn new(signal: c_int) -> Option<Self> {
        // SAFETY: all zeroes are a valid sigevent.
        let mut event = unsafe { mem::zeroed::<libc::sigevent>() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        // SAFETY: gettid has no arguments and cannot fail. (The C library's own came late to
        // glibc.)
        let thread = unsafe { libc::syscall(libc::SYS_gettid) };
        event.sigev_notify_thread_id = thread.try_into().ok()?;
        let mut timer = MaybeUninit::uninit();
        // SAFETY: `event` is initialized, and `timer` is written if the call succeeds.
        unsafe {
            let refused =
                libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, timer.as_mut_ptr());
            (refused == 0).then(|| Self(timer.assume_init()))
        }
    }

    fn start(&self, remaining: Duration) -> bool {
        let schedule = libc::itimerspec {
            it_value: timespec(remaining.max(Duration::from_nanos(1))), // Zero would disarm it.
            it_interval: timespec(REPEAT),
        };
        // SAFETY: the timer is ours, `schedule` is initialized, and no old value is asked for.
        unsafe { libc::timer_settime(self.0, 0, &raw const schedule, ptr::null_mut()) == 0 }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer is ours and is deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// While it lives, this thread takes the signal.
struct Unblocked {
    signal: c_int,
    /// The thread's mask before.
    mask: sigset_t,
    /// It goes back into the mask that it came from.
    _this_thread: PhantomData<*const ()>,
}

impl Unblocked {
    fn new(signal: c_int) -> Option<Self> {
        let mut set = MaybeUninit::uninit();
        let mut mask = MaybeUninit::uninit();
        // SAFETY: `sigemptyset` initializes `set`, and `pthread_sigmask` does `mask` if it succeeds.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            libc::sigaddset(set.as_mut_ptr(), signal);
            let refused = libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), mask.as_mut_ptr());
            (refused == 0).then(|| Self {
                signal,
                mask: mask.assume_init(),
                _this_thread: PhantomData,
            })
        }
    }
}

impl Drop for Unblocked {
    fn drop(&mut self) {
        // SAFETY: the mask is initialized; no old value is asked for.
        unsafe {
            // Most threads block no signal of ours: then there is nothing to put back, and the
            // waiter is a system call sooner at its work.
            if libc::sigismember(&raw const self.mask, self.signal) == 1 {
                libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.mask, ptr::null_mut());
            }
        }
    }
}

/// The signal that is ours; zero before the first claim.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

extern "C" fn do_nothing(_: c_int) {}

/// A real-time signal with our handler: the one we have, or the first from the top that nobody
/// uses. The host may have taken ours away, so this is asked before each wait: the default action
/// of a signal without a handler is death.
fn claim_signal() -> Option<c_int> {
    let ours = SIGNAL.load(Ordering::Relaxed);
    if ours != 0 && claim(ours) {
        return Some(ours);
    }
    let signal = (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev().find(|&signal| claim(signal))?;
    SIGNAL.store(signal, Ordering::Relaxed);
    Some(signal)
}

/// Puts our handler on a signal, unless somebody else has a use for it.
fn claim(signal: c_int) -> bool {
    match disposition(signal, None) {
        Some(action) if is_ours(&action) => true,
        Some(action) if is_default(&action) => install(signal),
        _ => false,
    }
}

fn install(signal: c_int) -> bool {
    match disposition(signal, Some(&our_action())) {
        Some(old) if is_default(&old) || is_ours(&old) => true,
        Some(theirs) => {
            // Another thread of the host's was faster: it is theirs again.
            disposition(signal, Some(&theirs));
            false
        }
        None => false,
    }
}

/// Sets a signal's action if there is a new one, and tells what it was.
fn disposition(signal: c_int, new: Option<&sigaction>) -> Option<sigaction> {
    let mut old = MaybeUninit::<sigaction>::uninit();
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `new` is null or a valid action, whose handler is `do_nothing` or was the host's
    // a moment ago; `old` is written if the call succeeds.
    unsafe { (libc::sigaction(signal, new, old.as_mut_ptr()) == 0).then(|| old.assume_init()) }
}

fn our_action() -> sigaction {
    // SAFETY: all zeroes are a valid action: default, no flags, nothing masked.
    let mut action = unsafe { mem::zeroed::<sigaction>() };
    action.sa_sigaction = our_handler();
    // No `SA_RESTART`: interrupting is the point. On the signal stack if there is one, as programs
    // with small stacks expect.
    action.sa_flags = libc::SA_ONSTACK;
    action
}

fn our_handler() -> usize {
    do_nothing as extern "C" fn(c_int) as usize
}

fn is_ours(action: &sigaction) -> bool {
    action.sa_sigaction == our_handler()
}

fn is_default(action: &sigaction) -> bool {
    action.sa_sigaction == libc::SIG_DFL
}

fn timespec(duration: Duration) -> libc::timespec {
    // SAFETY: all zeroes are a valid timespec. (It has padding on some platforms.)
    let mut time = unsafe { mem::zeroed::<libc::timespec>() };
    time.tv_sec = duration.as_secs().try_into().unwrap_or(libc::time_t::MAX);
    time.tv_nsec = duration.subsec_nanos().into();
    time
}
