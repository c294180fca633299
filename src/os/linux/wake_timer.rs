//! Wakes a thread that is blocked in `flock`, at its deadline.
//!
//! Only a signal interrupts `flock` (signal(7)). So a kernel timer (`timer_create(2)`) sends this thread one real-time
//! signal at the deadline. Its handler does nothing and is installed without `SA_RESTART`:
//! `flock` returns `EINTR`. Between waits there is neither timer nor signal, and
//! during a wait a signal is sent only if the deadline passes or the observer cancels the wait.

use std::hint;
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use libc::{c_int, sigaction, sigset_t};

/// The interval of the timer after the deadline. It may fire before `flock` blocks, which would then not be woken, or
/// together with a signal of the host that makes the kernel restart `flock`. So it fires again, and soon: such a wait
/// ends late by about this long. Much longer than the handling of a signal takes under a debugger: with 50 microseconds
/// a thread under strace(1) handled one signal after another and made no progress.
const REPEAT: Duration = Duration::from_millis(1);

/// Interrupts this thread again and again, from the end of the given time until it is dropped.
///
/// The fields are dropped in their order: first the timer, then the
/// mask. A signal on its way is delivered before the deletion of the timer returns, while it is not blocked. If it
/// were blocked first, it would stay pending and reach a `sigwait` or signalfd of the host.
pub(crate) struct WakeTimer {
    timer: Arc<Timer>,
    _unblocked: Unblocked,
}

/// Fires the timer at once, from any thread. It shares the timer, and must be dropped before the `WakeTimer`.
pub(crate) struct TimerRef(Arc<Timer>);

impl WakeTimer {
    /// Arms a timer. Returns `None` if the process has no signal or no timer to spare: the caller must poll.
    pub(crate) fn set(remaining: Duration) -> Option<Self> {
        let signal = claim_signal()?;
        let unblocked = Unblocked::new(signal)?;
        let timer = Arc::new(Timer::new(signal)?);
        timer.start(remaining).then_some(Self { timer, _unblocked: unblocked })
    }

    pub(crate) fn reference(&self) -> TimerRef {
        TimerRef(Arc::clone(&self.timer))
    }
}

impl TimerRef {
    pub(crate) fn fire(&self) {
        self.0.start(Duration::ZERO);
    }
}

/// A timer that sends a signal to the thread that created it.
struct Timer(libc::timer_t);

// SAFETY: a timer is the process's: any thread may set it. (Where its number is a pointer, that
// is for the C library to know.)
unsafe impl Sync for Timer {}
// SAFETY: as above.
unsafe impl Send for Timer {}

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
            let result =
                libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, timer.as_mut_ptr());
            (result == 0).then(|| Self(timer.assume_init()))
        }
    }

    fn start(&self, remaining: Duration) -> bool {
        self.set(remaining.max(Duration::from_nanos(1)))
    }

    /// Sets the time of the first signal; zero disarms the timer.
    fn set(&self, remaining: Duration) -> bool {
        let schedule =
            libc::itimerspec { it_value: timespec(remaining), it_interval: timespec(REPEAT) };
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

/// Unblocks the signal in this thread until it is dropped.
struct Unblocked {
    signal: c_int,
    /// Whether the thread blocked it before.
    was_blocked: bool,
    /// Not `Send`: it restores the mask of the thread that created it.
    _this_thread: PhantomData<*const ()>,
}

impl Unblocked {
    fn new(signal: c_int) -> Option<Self> {
        let before = change_mask(libc::SIG_UNBLOCK, &only(signal))?;
        let was_blocked = contains(&before, signal);
        Some(Self { signal, was_blocked, _this_thread: PhantomData })
    }
}

impl Drop for Unblocked {
    fn drop(&mut self) {
        // Only the bit that was changed: the C library hides some signals of its own from the mask that it returns.
        if self.was_blocked {
            change_mask(libc::SIG_BLOCK, &only(self.signal));
        }
    }
}

/// Changes this thread's mask, and returns the old one.
fn change_mask(how: c_int, signals: &sigset_t) -> Option<sigset_t> {
    // SAFETY: all zeroes are a valid set; the call writes as much of it as the kernel knows.
    unsafe {
        let mut before = mem::zeroed();
        (libc::pthread_sigmask(how, signals, &raw mut before) == 0).then_some(before)
    }
}

fn none() -> sigset_t {
    // SAFETY: all zeroes are the empty set on Linux, and a valid one everywhere.
    unsafe { mem::zeroed() }
}

fn only(signal: c_int) -> sigset_t {
    let mut set = none();
    // SAFETY: the set is initialized.
    unsafe { libc::sigaddset(&raw mut set, signal) };
    set
}

fn contains(set: &sigset_t, signal: c_int) -> bool {
    // SAFETY: the set is initialized.
    unsafe { libc::sigismember(set, signal) == 1 }
}

/// The library's signal; zero before the first claim.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// The handler. Its address identifies the library's handler, so it must be unique: the compiler may merge
/// functions with the same body, and empty functions are common. (`black_box` keeps the body; the compiler would remove a
/// store that is never read.)
#[inline(never)]
extern "C" fn do_nothing(_: c_int) {
    hint::black_box(&SIGNAL);
}

/// Returns a real-time signal with the library's handler: the present one, or the first from the top that is not in
/// use. The host may have taken the signal away, so this is checked before each wait: the default action
/// of a real-time signal is to terminate the process (signal(7)).
fn claim_signal() -> Option<c_int> {
    let ours = SIGNAL.load(Ordering::Relaxed);
    if ours != 0 && claim(ours) {
        return Some(ours);
    }
    // A signal can be in use without a handler: blocked, and read with `sigwait` or from a
    // signalfd. So blocked signals come last. (The mask of a thread that blocks all of them tells nothing.)
    let mask = change_mask(libc::SIG_BLOCK, &none())?;
    let all = (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev();
    let (open, blocked): (Vec<_>, Vec<_>) = all.partition(|&signal| !contains(&mask, signal));
    let signal = open.into_iter().chain(blocked).find(|&signal| claim(signal))?;
    SIGNAL.store(signal, Ordering::Relaxed);
    Some(signal)
}

/// Installs the library's handler, unless the host uses the signal. Returns whether the handler is installed.
fn claim(signal: c_int) -> bool {
    match disposition(signal, None) {
        Some(action) if is_ours(&action) && !restarts(&action) => true,
        // The host has called `siginterrupt(3)`.
        Some(action) if is_ours(&action) => install(signal),
        Some(action) if is_default(&action) => install(signal),
        _ => false,
    }
}

fn install(signal: c_int) -> bool {
    match disposition(signal, Some(&our_action())) {
        Some(old) if is_default(&old) || is_ours(&old) => true,
        Some(theirs) => {
            // Another thread of the host was faster: its handler goes back.
            disposition(signal, Some(&theirs));
            false
        }
        None => false,
    }
}

/// Sets a signal's action if a new one is given, and returns the old one.
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
    // Without `SA_RESTART`, so that it interrupts `flock`. On the alternate signal stack if there is one, as programs
    // with small stacks expect (sigaltstack(2)).
    action.sa_flags = libc::SA_ONSTACK;
    action
}

fn our_handler() -> usize {
    do_nothing as extern "C" fn(c_int) as usize
}

fn is_ours(action: &sigaction) -> bool {
    action.sa_sigaction == our_handler()
}

fn restarts(action: &sigaction) -> bool {
    action.sa_flags & libc::SA_RESTART != 0
}

fn is_default(action: &sigaction) -> bool {
    action.sa_sigaction == libc::SIG_DFL
}

/// Converts a duration. A wait that is too long for a 32-bit clock wakes up in between, and continues.
#[allow(clippy::useless_conversion, reason = "types vary by platform")]
fn timespec(duration: Duration) -> libc::timespec {
    // SAFETY: all zeroes are a valid timespec. (It has padding on some platforms.)
    let mut time = unsafe { mem::zeroed::<libc::timespec>() };
    time.tv_sec = i32::try_from(duration.as_secs()).unwrap_or(i32::MAX).into();
    time.tv_nsec = i32::try_from(duration.subsec_nanos()).unwrap_or(i32::MAX).into();
    time
}
