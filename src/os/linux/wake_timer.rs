//! Waking a thread that is blocked in `flock`, at its deadline.
//!
//! Only a signal interrupts `flock`. So a timer of the kernel's sends this thread one real-time
//! signal at the deadline, whose handler does nothing and does not ask for the call to be
//! restarted: `flock` returns `EINTR`. Between the waits there is neither timer nor signal, and
//! during a wait there is a signal only if its deadline passes, or its observer puts an end to it.

use std::hint;
use std::marker::PhantomData;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use libc::{c_int, sigaction, sigset_t};

/// The timer may fire before `flock` blocks, and then nobody would wake it; or together with a
/// signal of the host's that has the kernel start `flock` over. So it goes on firing, and soon: how
/// late a wait may end depends on it.
const REPEAT: Duration = Duration::from_micros(50);

/// While it lives, this thread is interrupted from the end of the given time on, again and again.
///
/// The order of the fields is the order in which they are dropped: first the timer, then the
/// mask. A signal that is still on its way is delivered before the timer's deletion returns, while
/// it may be. Were it blocked first, it would stay pending and turn up in the host's `sigwait` or
/// signalfd.
pub(crate) struct WakeTimer {
    timer: Arc<Timer>,
    _unblocked: Unblocked,
}

/// Rings the alarm at once, from whatever thread. It keeps the timer: it must be dropped before the alarm.
pub(crate) struct TimerRef(Arc<Timer>);

impl WakeTimer {
    /// `None` if no signal or no timer can be had: the caller must do without.
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

/// A timer that sends a signal to the thread that made it.
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
            let to_lock_error =
                libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, timer.as_mut_ptr());
            (to_lock_error == 0).then(|| Self(timer.assume_init()))
        }
    }

    fn start(&self, remaining: Duration) -> bool {
        self.set(remaining.max(Duration::from_nanos(1)))
    }

    /// Zero stops it.
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

/// While it lives, this thread takes the signal.
struct Unblocked {
    signal: c_int,
    /// Did the thread block it before?
    was_blocked: bool,
    /// It goes back into the mask that it came from.
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
        // Only the bit that was changed: the C library hides some of the others, and would not
        // give them back.
        if self.was_blocked {
            change_mask(libc::SIG_BLOCK, &only(self.signal));
        }
    }
}

/// Changes this thread's mask, and tells what it was.
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

/// The signal that is ours; zero before the first claim.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

/// Its address tells what is ours, so it must have one, and one of its own: the compiler may merge
/// functions that do the same, and that do nothing are many. (A store would not do: nobody reads
/// it, and out it goes.)
#[inline(never)]
extern "C" fn do_nothing(_: c_int) {
    hint::black_box(&SIGNAL);
}

/// A real-time signal with our handler: the one we have, or the first from the top that nobody
/// uses. The host may have taken ours away, so this is asked before each wait: the default action
/// of a signal without a handler is death.
fn claim_signal() -> Option<c_int> {
    let ours = SIGNAL.load(Ordering::Relaxed);
    if ours != 0 && claim(ours) {
        return Some(ours);
    }
    // A signal can be in use without an action: blocked, and read with `sigwait` or from a
    // signalfd. Those come last. (A thread that blocks all of them tells nothing.)
    let mask = change_mask(libc::SIG_BLOCK, &none())?;
    let all = (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev();
    let (open, blocked): (Vec<_>, Vec<_>) = all.partition(|&signal| !contains(&mask, signal));
    let signal = open.into_iter().chain(blocked).find(|&signal| claim(signal))?;
    SIGNAL.store(signal, Ordering::Relaxed);
    Some(signal)
}

/// Puts our handler on a signal, unless somebody else has a use for it.
fn claim(signal: c_int) -> bool {
    match disposition(signal, None) {
        Some(action) if is_ours(&action) && !restarts(&action) => true,
        // `siginterrupt` has been here.
        Some(action) if is_ours(&action) => install(signal),
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

fn restarts(action: &sigaction) -> bool {
    action.sa_flags & libc::SA_RESTART != 0
}

fn is_default(action: &sigaction) -> bool {
    action.sa_sigaction == libc::SIG_DFL
}

/// A wait that is too long for the smallest machine's clock wakes up in between, and goes on.
#[allow(clippy::useless_conversion, reason = "types vary by platform")]
fn timespec(duration: Duration) -> libc::timespec {
    // SAFETY: all zeroes are a valid timespec. (It has padding on some platforms.)
    let mut time = unsafe { mem::zeroed::<libc::timespec>() };
    time.tv_sec = i32::try_from(duration.as_secs()).unwrap_or(i32::MAX).into();
    time.tv_nsec = i32::try_from(duration.subsec_nanos()).unwrap_or(i32::MAX).into();
    time
}
