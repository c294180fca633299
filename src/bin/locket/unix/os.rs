//! `fork`, `exec` and signals with their senders and values, which neither std nor rustix wraps. All unsafe code of the
//! command is in this file and in `os/`.
//!
//! Code between `fork` and `exec`, and in the canary, may make system calls only: another thread of the parent may have held
//! a mutex, that of the allocator for instance, at the moment of the fork (signal-safety(7)). A function whose documentation
//! says "Legal after a fork" keeps to that.
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
    borrow_inherited, close, close_between, duplicate_as, duplicate_for_exec, move_descriptor,
    open, read, read_once, wait_readable, write,
};

/// A set of signals.
#[derive(Clone, Copy)]
pub(super) struct Signals(sigset_t);

impl Signals {
    pub(super) fn all() -> Self {
        Self::filled_by(|set| {
            // SAFETY: the call fills the set that it is given.
            unsafe { libc::sigfillset(set) };
        })
    }

    pub(super) fn one(number: c_int) -> Self {
        Self::filled_by(|set| {
            // SAFETY: the first call empties the set, the second changes it. It fails for a number that is not that of a
            // signal, and the set stays empty.
            unsafe {
                libc::sigemptyset(set);
                libc::sigaddset(set, number);
            }
        })
    }

    /// Returns the pending signals of this process and thread. Legal after a fork.
    pub(super) fn pending() -> Self {
        Self::filled_by(|set| {
            // SAFETY: the set is empty if the call fails, and otherwise as the call left it.
            unsafe {
                libc::sigemptyset(set);
                libc::sigpending(set);
            }
        })
    }

    fn filled_by(fill: impl FnOnce(*mut sigset_t)) -> Self {
        let mut set = MaybeUninit::zeroed();
        fill(set.as_mut_ptr());
        // SAFETY: a set is plain memory, which was zeroed before it was filled.
        Self(unsafe { set.assume_init() })
    }

    pub(super) fn contains(self, number: c_int) -> bool {
        // SAFETY: the call reads the set.
        unsafe { libc::sigismember(&raw const self.0, number) == 1 }
    }

    /// Blocks these signals in this thread, and returns the mask from before.
    pub(super) fn block(self) -> Self {
        self.change_mask(libc::SIG_BLOCK)
    }

    /// Unblocks these signals in this thread. Legal after a fork.
    pub(super) fn unblock(self) {
        self.change_mask(libc::SIG_UNBLOCK);
    }

    /// Blocks exactly these signals in this thread. Legal after a fork.
    pub(super) fn set_mask(self) {
        self.change_mask(libc::SIG_SETMASK);
    }

    /// Cannot fail: `how` is valid, and so are the pointers (`pthread_sigmask(3)`).
    fn change_mask(self, how: c_int) -> Self {
        Self::filled_by(|before| {
            // SAFETY: the call reads one set and fills the other.
            unsafe { libc::pthread_sigmask(how, &raw const self.0, before) };
        })
    }
}

/// A signal that was accepted instead of delivered.
#[derive(Clone, Copy)]
pub(super) struct Received {
    pub(super) number: c_int,
    /// How it was sent, `si_code`: greater than zero by the kernel, otherwise by a process.
    pub(super) code: c_int,
    /// The process that sent it; zero if the kernel did.
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
    /// Waits for one of these signals, which are blocked. Returns `None` if the process was stopped and continued meanwhile.
    pub(super) fn wait(self) -> Option<Received> {
        let mut info = MaybeUninit::zeroed();
        // SAFETY: the call reads the set and fills `info`.
        let number = unsafe { libc::sigwaitinfo(&raw const self.0, info.as_mut_ptr()) };
        // SAFETY: a `siginfo_t` is plain memory, which was zeroed before it was filled.
        (number > 0).then(|| unsafe { Received::of(info.assume_init()) })
    }

    /// Accepts one of these signals if it is pending. Legal after a fork.
    pub(super) fn try_wait(self) -> Option<Received> {
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let mut info = MaybeUninit::zeroed();
        // SAFETY: the call reads the set and the time, and fills `info`.
        let number =
            unsafe { libc::sigtimedwait(&raw const self.0, info.as_mut_ptr(), &raw const zero) };
        // SAFETY: as in `wait`.
        (number > 0).then(|| unsafe { Received::of(info.assume_init()) })
    }
}

#[cfg(target_os = "linux")]
impl Received {
    fn of(info: libc::siginfo_t) -> Self {
        // SAFETY: both fields are plain numbers in a union that is zeroed or filled; any value is valid.
        let (sender, value) = unsafe { (info.si_pid(), info.si_value().sival_ptr.addr() as u64) };
        // A signal of the kernel has no sender: another member of the union is set.
        let sender = if info.si_code > 0 { 0 } else { sender };
        Self { number: info.si_signo, code: info.si_code, sender, value, info }
    }

    /// Sends the signal to another process, with its value and its sender if the kernel allows that.
    pub(super) fn send_to(&self, process: pid_t) {
        // A process cannot pretend that the kernel or kill(2) sent a signal (rt_sigqueueinfo(2)).
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

/// The sender and the value are not known: macOS has `sigwait` only.
#[cfg(not(target_os = "linux"))]
impl Signals {
    pub(super) fn wait(self) -> Option<Received> {
        let mut number = 0;
        // SAFETY: the call reads the set and fills the number.
        let error = unsafe { libc::sigwait(&raw const self.0, &raw mut number) };
        (error == 0).then_some(Received { number, code: 0, sender: 0, value: 0 })
    }

    pub(super) fn try_wait(self) -> Option<Received> {
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

/// Sends a signal to a process. An error is ignored: the process may have exited, or belong to another user. Legal after a
/// fork.
pub(super) fn kill(process: pid_t, number: c_int) {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(process, number) };
}

/// The action of a signal.
pub(crate) struct SignalAction(libc::sigaction);

/// Sets the default action of a signal, and returns the action from before. Legal after a fork.
pub(super) fn reset_action(number: c_int) -> Option<SignalAction> {
    let mut before = MaybeUninit::zeroed();
    let mut default = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: zeroed, an action has no flags, an empty mask, and `SIG_DFL`, which is zero everywhere; the call
    // reads it, and fills `before` if it succeeds.
    unsafe {
        (*default.as_mut_ptr()).sa_sigaction = libc::SIG_DFL;
        let error = libc::sigaction(number, default.as_ptr(), before.as_mut_ptr());
        (error == 0).then(|| SignalAction(before.assume_init()))
    }
}

/// Sets a handler that does nothing, so that the signal interrupts system calls (no `SA_RESTART`), and returns the action from
/// before.
#[cfg(target_os = "linux")]
pub(crate) fn set_empty_handler(number: c_int) -> Option<SignalAction> {
    extern "C" fn nothing(_: c_int) {}

    let mut before = MaybeUninit::zeroed();
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: zeroed, an action has no flags and an empty mask; the call reads it, and fills `before` if it succeeds. The
    // handler touches nothing.
    unsafe {
        (*action.as_mut_ptr()).sa_sigaction = nothing as extern "C" fn(c_int) as usize;
        let error = libc::sigaction(number, action.as_ptr(), before.as_mut_ptr());
        (error == 0).then(|| SignalAction(before.assume_init()))
    }
}

/// Returns whether the signal has its default action.
pub(super) fn has_default_action(number: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: the call changes nothing, and fills `action` if it succeeds; it is zeroed if not.
    let action = unsafe {
        libc::sigaction(number, ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_DFL
}

/// Sets an action that the signal had before.
pub(crate) fn restore_action(number: c_int, action: &SignalAction) {
    // SAFETY: the action was valid in this process before.
    unsafe { libc::sigaction(number, &raw const action.0, ptr::null_mut()) };
}

/// Raises a signal with its default action, which stops or ends the process. Returns when the process is continued, or if the
/// signal does nothing.
pub(super) fn raise_default(number: c_int) {
    let before = reset_action(number);
    Signals::one(number).unblock();
    // SAFETY: no memory is involved.
    unsafe { libc::raise(number) };
    Signals::one(number).block();
    if let Some(before) = before {
        restore_action(number, &before);
    }
}

/// Forks a child that runs a function, which makes system calls only, and exits with its result. Returns the child's process
/// id.
pub(super) fn fork(child: impl FnOnce() -> c_int) -> io::Result<pid_t> {
    // SAFETY: the callers pass functions that call only functions that are legal after a fork.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let _exit = ExitOnPanic;
            exit(child())
        }
        pid => Ok(pid),
    }
}

/// Exits when it is dropped by a panic: a child that unwinds would go on as a second parent.
struct ExitOnPanic;

impl Drop for ExitOnPanic {
    fn drop(&mut self) {
        exit(libc::EXIT_FAILURE);
    }
}

/// Exits without running handlers or writing buffers.
fn exit(code: c_int) -> ! {
    // SAFETY: no memory is involved.
    unsafe { libc::_exit(code) }
}

/// The words of a command, in the form that `exec` needs.
pub(super) struct Words {
    /// The strings that the pointers point to.
    _strings: Vec<CString>,
    pointers: Vec<*const c_char>,
}

impl Words {
    /// Takes at least one word.
    pub(super) fn new(strings: Vec<CString>) -> Self {
        let pointers = strings.iter().map(|it| it.as_ptr()).chain([ptr::null()]).collect();
        Self { _strings: strings, pointers }
    }

    /// Becomes the command, which is searched for in `PATH`. Returns the error number if that fails. Legal after a fork: if
    /// the C library's `execvp` allocates, it does so on the stack.
    pub(super) fn exec(&self) -> c_int {
        // SAFETY: the pointers are to strings that live as long as `self`, and end with a null.
        unsafe { libc::execvp(self.pointers[0], self.pointers.as_ptr()) };
        last_error()
    }
}

/// Returns the error number of the last system call. Legal after a fork.
pub(super) fn last_error() -> c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or_default()
}

/// Has this process killed when the thread that forked it ends (`PR_SET_PDEATHSIG` in prctl(2)). Legal after a fork.
pub(super) fn die_with_parent() {
    #[cfg(target_os = "linux")]
    // SAFETY: no memory is involved.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)
    };
}

/// Reaps a child that was killed. Waits some milliseconds for its end: a child that is stuck in the kernel is left behind.
pub(super) fn reap_if_ended(child: pid_t) {
    for pause in [0, 100, 500, 2_000, 10_000] {
        std::thread::sleep(std::time::Duration::from_micros(pause));
        // SAFETY: no memory is involved.
        if unsafe { libc::waitpid(child, ptr::null_mut(), libc::WNOHANG) } != 0 {
            return;
        }
    }
}

/// Returns the width of a terminal. `None` if the descriptor is not a terminal, or the width is not known.
pub(super) fn columns(terminal: RawFd) -> Option<u16> {
    let mut size = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: the call fills `size` if it succeeds, and it is plain memory.
    let (answer, size) =
        unsafe { (libc::ioctl(terminal, libc::TIOCGWINSZ, size.as_mut_ptr()), size.assume_init()) };
    (answer == 0 && size.ws_col > 0).then_some(size.ws_col)
}

/// Returns the microseconds of the monotonic clock, which is the same for all processes. Legal after a fork.
pub(super) fn now() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills `time`.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1000
}

/// Overwrites the command line of this process, at these addresses, with a beginning, zeros and an end. Parts that do not fit
/// are left out. Legal after a fork, in the child only.
#[cfg(target_os = "linux")]
pub(super) fn overwrite_arguments(area: &Range<usize>, begin: &[u8], end: &[u8]) {
    let begin = begin.get(..area.len()).unwrap_or(begin);
    let end = if begin.len() + end.len() <= area.len() { end } else { &[] };
    let start = ptr::with_exposed_provenance_mut::<u8>(area.start);
    // SAFETY: the arguments are on the stack of the first thread; this process has no other thread, and nothing reads them any
    // more. The beginning and the end are within them, and do not overlap.
    unsafe {
        start.write_bytes(0, area.len());
        start.copy_from_nonoverlapping(begin.as_ptr(), begin.len());
        start.add(area.len() - end.len()).copy_from_nonoverlapping(end.as_ptr(), end.len());
    }
}

/// Returns a descriptor that is readable while one of the signals is pending; negative if there is none (signalfd(2)). Legal
/// after a fork.
#[cfg(target_os = "linux")]
pub(super) fn signal_descriptor(signals: Signals) -> RawFd {
    // SAFETY: the call reads the set.
    unsafe { libc::signalfd(-1, &raw const signals.0, libc::SFD_CLOEXEC) }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn signal_descriptor(_signals: Signals) -> RawFd {
    -1
}
