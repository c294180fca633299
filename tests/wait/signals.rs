//! Signal calls of a host program: actions, masks, pending signals, and sending.
#![allow(unsafe_code)]

use std::mem;
use std::ops::RangeInclusive;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{c_int, c_long};

/// The action of a signal: its handler and the flags that the tests use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Action {
    pub(crate) function: usize,
    pub(crate) flags: c_int,
}

impl Action {
    pub(crate) const DEFAULT: Self = Self { function: libc::SIG_DFL, flags: 0 };
    pub(crate) const IGNORE: Self = Self { function: libc::SIG_IGN, flags: 0 };

    pub(crate) fn of_host(flags: c_int) -> Self {
        Self { function: count as extern "C" fn(c_int) as usize, flags }
    }

    pub(crate) fn restarts(self) -> bool {
        self.flags & libc::SA_RESTART != 0
    }
}

/// How many signals the host's handler has received.
pub(crate) static COUNTED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn count(_: c_int) {
    COUNTED.fetch_add(1, Ordering::Relaxed);
}

pub(crate) fn action(signal: c_int) -> Action {
    change(signal, None)
}

pub(crate) fn set_action(signal: c_int, action: Action) {
    change(signal, Some(action));
}

fn change(signal: c_int, new: Option<Action>) -> Action {
    // SAFETY: an action of all zeros is valid. The handler is one of the two constants, a function of this crate that
    // only uses atomics, or the handler that was installed before.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        let mut old: libc::sigaction = mem::zeroed();
        let new = new.map_or(ptr::null(), |new| {
            action.sa_sigaction = new.function;
            action.sa_flags = new.flags;
            &raw const action
        });
        assert_eq!(libc::sigaction(signal, new, &raw mut old), 0, "signal {signal}");
        // On some architectures the C library sets a flag of its own (`SA_RESTORER`). It is masked out.
        let known = libc::SA_RESTART | libc::SA_ONSTACK | libc::SA_SIGINFO | libc::SA_NODEFER;
        Action { function: old.sa_sigaction, flags: old.sa_flags & known }
    }
}

pub(crate) fn real_time() -> RangeInclusive<c_int> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// Returns the real-time signals that have an action, lowest first.
pub(crate) fn claimed() -> Vec<c_int> {
    real_time().filter(|&signal| action(signal) != Action::DEFAULT).collect()
}

pub(crate) fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// Returns all 64 bits of this thread's signal mask. It uses the system call, because the C library hides some bits.
pub(crate) fn mask() -> u64 {
    procmask(None)
}

pub(crate) fn set_mask(mask: u64) {
    procmask(Some(mask));
}

fn procmask(new: Option<u64>) -> u64 {
    let mut old = 0_u64;
    let new = new.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the kernel reads and writes the eight bytes that are passed.
    let answer = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, &raw mut old, 8_usize)
    };
    assert_eq!(answer, 0, "rt_sigprocmask");
    old
}

/// Returns the signals that are pending for this thread or for the process.
pub(crate) fn pending() -> u64 {
    let mut set = 0_u64;
    // SAFETY: the kernel writes the eight bytes that are passed.
    let answer = unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, 8_usize) };
    assert_eq!(answer, 0, "rt_sigpending");
    set
}

/// Returns the kernel's id of this thread.
pub(crate) fn tid() -> c_int {
    // SAFETY: the call has no arguments.
    let tid: c_long = unsafe { libc::syscall(libc::SYS_gettid) };
    tid.try_into().expect("a thread's id is an int")
}

/// Sends a signal to one thread of this process.
pub(crate) fn send(tid: c_int, signal: c_int) {
    // SAFETY: the test has set an action for the signal.
    unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), tid, signal) };
}

/// Sends a signal to a process.
pub(crate) fn kill(pid: u32, signal: c_int) {
    let pid = pid.try_into().expect("a process's id is an int");
    // SAFETY: the test has started the process.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "kill {pid}");
}

/// A signal handler that holds its thread up until the test lets it go on.
pub(crate) mod stall {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::{Action, c_int, set_action};

    pub(crate) static HELD_UP: AtomicBool = AtomicBool::new(false);
    pub(crate) static GO_ON: AtomicBool = AtomicBool::new(true);

    extern "C" fn hold_up(_: c_int) {
        HELD_UP.store(true, Ordering::SeqCst);
        while !GO_ON.load(Ordering::SeqCst) {
            std::hint::spin_loop();
        }
    }

    pub(crate) fn prepare(signal: c_int) {
        HELD_UP.store(false, Ordering::SeqCst);
        GO_ON.store(false, Ordering::SeqCst);
        let function = hold_up as extern "C" fn(c_int) as usize;
        set_action(signal, Action { function, flags: 0 });
    }
}
