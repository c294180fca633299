//! `fork`, `exec` and signals with their senders and values, which neither std nor rustix wraps. All unsafe
//! code of the command stands here and in `os/`.
//!
//! What runs between `fork` and `exec`, or in the canary, may only make system calls: another thread of the parent
//! may have held any lock, the allocator's among them, at the moment of the fork (signal-safety(7)). The functions
//! that say "after a fork" keep to that.
#![allow(unsafe_code)]

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod entry;

mod descriptors;

use std::ffi::{CString, c_char, c_int};
use std::io;
use std::mem::MaybeUninit;
#[cfg(target_os = "linux")]
use std::ops::Range;
use std::os::fd::RawFd;
use std::ptr;

use libc::{pid_t, sigset_t};

pub(super) use descriptors::{
    close, close_between, duplicate_as, duplicate_for_exec, inherited, move_away, open, read,
    read_some, wait_readable, write,
};

/// A set of signals.
#[derive(Clone, Copy)]
pub(super) struct Signals(sigset_t);

impl Signals {
    pub(super) fn all() -> Self {
        Self::made_by(|set| {
            // SAFETY: the call fills the set that it is given.
            unsafe { libc::sigfillset(set) };
        })
    }

    pub(super) fn one(number: c_int) -> Self {
        Self::made_by(|set| {
            // SAFETY: the first call makes the set empty, the second changes it. A number that is no signal's is
            // refused, and the set stays empty.
            unsafe {
                libc::sigemptyset(set);
                libc::sigaddset(set, number);
            }
        })
    }

    /// The blocked signals that have been sent to this process or thread. May be called after a fork.
    pub(super) fn pending() -> Self {
        Self::made_by(|set| {
            // SAFETY: the set is empty if the call fails, and otherwise as the call left it.
            unsafe {
                libc::sigemptyset(set);
                libc::sigpending(set);
            }
        })
    }

    fn made_by(make: impl FnOnce(*mut sigset_t)) -> Self {
        let mut set = MaybeUninit::zeroed();
        make(set.as_mut_ptr());
        // SAFETY: a set is plain memory, which was zeroed before it was filled.
        Self(unsafe { set.assume_init() })
    }

    pub(super) fn contains(self, number: c_int) -> bool {
        // SAFETY: the call reads the set.
        unsafe { libc::sigismember(&raw const self.0, number) == 1 }
    }

    /// Blocks them in this thread, and returns what was blocked before.
    pub(super) fn block(self) -> Self {
        self.change_mask(libc::SIG_BLOCK)
    }

    /// Unblocks them in this thread. May be called after a fork.
    pub(super) fn unblock(self) {
        self.change_mask(libc::SIG_UNBLOCK);
    }

    /// Blocks these in this thread, and no others. May be called after a fork.
    pub(super) fn set_mask(self) {
        self.change_mask(libc::SIG_SETMASK);
    }

    /// It cannot fail: the way is one of the three, and the sets are there (`pthread_sigmask(3)`).
    fn change_mask(self, how: c_int) -> Self {
        Self::made_by(|before| {
            // SAFETY: the call reads one set and fills the other.
            unsafe { libc::pthread_sigmask(how, &raw const self.0, before) };
        })
    }
}

/// A signal that was taken instead of delivered.
#[derive(Clone, Copy)]
pub(super) struct Received {
    pub(super) number: c_int,
    /// How it was sent: more than zero by the kernel, otherwise by a process (`si_code`).
    pub(super) code: c_int,
    /// The process that sent it, if one did.
    pub(super) sender: pid_t,
    /// The value that was sent with it.
    pub(super) value: u64,
    #[cfg(target_os = "linux")]
    info: libc::siginfo_t,
}

impl Received {
    pub(super) fn is_by_kernel(&self) -> bool {
        self.code > 0
    }
}

#[cfg(target_os = "linux")]
impl Signals {
    /// Waits for one of them, which is blocked. `None` if the process was stopped and continued meanwhile.
    pub(super) fn wait(self) -> Option<Received> {
        let mut info = MaybeUninit::zeroed();
        // SAFETY: the call reads the set and fills `info`.
        let number = unsafe { libc::sigwaitinfo(&raw const self.0, info.as_mut_ptr()) };
        // SAFETY: a `siginfo_t` is plain memory, which was zeroed before it was filled.
        (number > 0).then(|| unsafe { Received::of(info.assume_init()) })
    }

    /// Takes one of them that has been sent already. May be called after a fork.
    pub(super) fn take(self) -> Option<Received> {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let mut info = MaybeUninit::zeroed();
        // SAFETY: the call reads the set and the time, and fills `info`.
        let number =
            unsafe { libc::sigtimedwait(&raw const self.0, info.as_mut_ptr(), &raw const at_once) };
        // SAFETY: as in `wait`.
        (number > 0).then(|| unsafe { Received::of(info.assume_init()) })
    }
}

#[cfg(target_os = "linux")]
impl Received {
    fn of(info: libc::siginfo_t) -> Self {
        // SAFETY: both fields are plain numbers in the zeroed or filled union, meaningful or not.
        let (sender, value) = unsafe { (info.si_pid(), info.si_value().sival_ptr.addr() as u64) };
        // The other members of the union have no sender.
        let sender = if info.si_code > 0 { 0 } else { sender };
        Self { number: info.si_signo, code: info.si_code, sender, value, info }
    }

    /// Sends it to another process, with its value and in the name of its sender if the kernel allows that.
    pub(super) fn send_to(&self, process: pid_t) {
        // As the kernel's own and `kill`'s it may not be passed off (rt_sigqueueinfo(2)).
        if self.code < 0 && self.code != libc::SI_TKILL {
            let info = &raw const self.info;
            // SAFETY: the call reads `info`.
            let sent =
                unsafe { libc::syscall(libc::SYS_rt_sigqueueinfo, process, self.number, info) };
            if sent == 0 {
                return;
            }
        }
        kill(process, self.number);
    }
}

/// Neither sender nor value is known: macOS has `sigwait` only.
#[cfg(not(target_os = "linux"))]
impl Signals {
    pub(super) fn wait(self) -> Option<Received> {
        let mut number = 0;
        // SAFETY: the call reads the set and fills the number.
        let refused = unsafe { libc::sigwait(&raw const self.0, &raw mut number) };
        (refused == 0).then_some(Received { number, code: 0, sender: 0, value: 0 })
    }

    pub(super) fn take(self) -> Option<Received> {
        let pending = Self::pending();
        let number = (1..32).find(|&it| self.contains(it) && pending.contains(it))?;
        Self::one(number).wait()
    }
}

#[cfg(not(target_os = "linux"))]
impl Received {
    pub(super) fn send_to(&self, process: pid_t) {
        kill(process, self.number);
    }
}

/// Sends a signal to a process that may be gone, or another user's. May be called after a fork.
pub(super) fn kill(process: pid_t, number: c_int) {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(process, number) };
}

/// What a signal does to the process.
pub(super) struct Action(libc::sigaction);

/// Gives a signal its default action, and returns the one that it had. May be called after a fork.
pub(super) fn reset(number: c_int) -> Option<Action> {
    let mut before = MaybeUninit::zeroed();
    let mut default = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: zeroed, an action has no flags, an empty mask, and `SIG_DFL`, which is zero everywhere; the call
    // reads it, and fills `before` if it succeeds.
    unsafe {
        (*default.as_mut_ptr()).sa_sigaction = libc::SIG_DFL;
        let refused = libc::sigaction(number, default.as_ptr(), before.as_mut_ptr());
        (refused == 0).then(|| Action(before.assume_init()))
    }
}

/// Gives a signal a handler that does nothing, so that it interrupts system calls (no `SA_RESTART`), and returns the
/// action that it had.
#[cfg(target_os = "linux")]
pub(super) fn handle_by_nothing(number: c_int) -> Option<Action> {
    extern "C" fn nothing(_: c_int) {}

    let mut before = MaybeUninit::zeroed();
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: zeroed, an action has no flags and an empty mask; the call reads it, and fills `before` if it succeeds. The
    // handler touches nothing.
    unsafe {
        (*action.as_mut_ptr()).sa_sigaction = nothing as extern "C" fn(c_int) as usize;
        let refused = libc::sigaction(number, action.as_ptr(), before.as_mut_ptr());
        (refused == 0).then(|| Action(before.assume_init()))
    }
}

/// Would the signal do what the system has it do?
pub(super) fn has_default_action(number: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the call changes nothing, and fills `action` if it succeeds; it is zeroed if not.
    let action = unsafe {
        libc::sigaction(number, ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_DFL
}

pub(super) fn restore(number: c_int, action: &Action) {
    // SAFETY: the action is one that the process had.
    unsafe { libc::sigaction(number, &raw const action.0, ptr::null_mut()) };
}

/// Sends this thread a signal with its default action, which stops or ends the process. Returns when it is
/// continued, or if the signal does nothing.
pub(super) fn suffer(number: c_int) {
    let before = reset(number);
    Signals::one(number).unblock();
    // SAFETY: no memory is involved.
    unsafe { libc::raise(number) };
    Signals::one(number).block();
    if let Some(before) = before {
        restore(number, &before);
    }
}

/// Makes a child, which runs a function that only makes system calls and exits with its answer. Returns the child's
/// process id.
pub(super) fn fork(child: impl FnOnce() -> c_int) -> io::Result<pid_t> {
    // SAFETY: the callers pass functions that keep to what may be called after a fork.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let _end = EndOnPanic;
            exit(child())
        }
        pid => Ok(pid),
    }
}

/// A child that went on by unwinding would be a second parent.
struct EndOnPanic;

impl Drop for EndOnPanic {
    fn drop(&mut self) {
        exit(libc::EXIT_FAILURE);
    }
}

/// Ends the process, and nothing else: no handlers, no buffers.
fn exit(code: c_int) -> ! {
    // SAFETY: no memory is involved.
    unsafe { libc::_exit(code) }
}

/// The words of a command, as `exec` takes them.
pub(super) struct Words {
    /// What the pointers point to.
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Words {
    /// At least one.
    pub(super) fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|it| it.as_ptr()).chain([ptr::null()]).collect();
        Self { _strings: strings, pointers }
    }

    /// Becomes the command, which is searched for in `PATH`. Returns the error if that cannot be done. May be called
    /// after a fork: where the C library's `execvp` allocates at all, it does so on the stack.
    pub(super) fn exec(&self) -> c_int {
        // SAFETY: the pointers are to strings that live as long as `self`, and end with a null.
        unsafe { libc::execvp(self.pointers[0], self.pointers.as_ptr()) };
        last_error()
    }
}

/// The number of the last call's error. May be called after a fork.
pub(super) fn last_error() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or_default()
}

/// Ends this process when the thread that made it ends. May be called after a fork.
pub(super) fn die_with_parent() {
    #[cfg(target_os = "linux")]
    // SAFETY: no memory is involved.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
    };
}

/// Takes note of the end of a child that was killed, for which some milliseconds are waited: one that the system cannot
/// end yet is left to it.
pub(super) fn reap_if_ended(child: pid_t) {
    for pause in [0, 100, 500, 2_000, 10_000] {
        std::thread::sleep(std::time::Duration::from_micros(pause));
        // SAFETY: no memory is involved.
        if unsafe { libc::waitpid(child, ptr::null_mut(), libc::WNOHANG) } != 0 {
            return;
        }
    }
}

/// The width of a terminal, if it has one.
pub(super) fn columns(terminal: RawFd) -> Option<u16> {
    let mut size = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: the call fills `size` if it succeeds, and it is plain memory.
    let (answer, size) =
        unsafe { (libc::ioctl(terminal, libc::TIOCGWINSZ, size.as_mut_ptr()), size.assume_init()) };
    (answer == 0 && size.ws_col > 0).then_some(size.ws_col)
}

/// Microseconds of the monotonic clock, which all processes share. May be called after a fork.
pub(super) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills `time`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1000
}

/// Overwrites the process's command line, which lies where the kernel says, with a beginning, zeros and an end. What
/// has no room is left out. May be called after a fork, in the child alone.
#[cfg(target_os = "linux")]
pub(super) fn overwrite_arguments(area: &Range<usize>, begin: &[u8], end: &[u8]) {
    let begin = begin.get(..area.len()).unwrap_or(begin);
    let end = if begin.len() + end.len() <= area.len() { end } else { &[] };
    let start = ptr::with_exposed_provenance_mut::<u8>(area.start);
    // SAFETY: the arguments lie on the stack of the first thread; this process has no other thread, and nothing reads
    // them any more. The beginning and the end are within them, and do not overlap.
    unsafe {
        start.write_bytes(0, area.len());
        start.copy_from_nonoverlapping(begin.as_ptr(), begin.len());
        start.add(area.len() - end.len()).copy_from_nonoverlapping(end.as_ptr(), end.len());
    }
}

/// A descriptor that can be read when one of the signals has been sent. Negative if there is none to be had. May be
/// called after a fork.
#[cfg(target_os = "linux")]
pub(super) fn signals_as_descriptor(signals: Signals) -> RawFd {
    // SAFETY: the call reads the set.
    unsafe { libc::signalfd(-1, &raw const signals.0, libc::SFD_CLOEXEC) }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn signals_as_descriptor(_signals: Signals) -> RawFd {
    -1
}
