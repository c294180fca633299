//! The host's side of signals: what a program may do with them beside the library.
#![allow(unsafe_code)]

use std::mem;
use std::ops::RangeInclusive;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{c_int, c_long};

/// What a signal does, as far as a host can tell or wants to say.
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

/// How many signals the host's function has had.
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
    // SAFETY: all zeroes are a valid action; the functions are the two constants, one of this
    // crate's that only touch atomics, or one that was there before.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        let mut old: libc::sigaction = mem::zeroed();
        let new = new.map_or(ptr::null(), |new| {
            action.sa_sigaction = new.function;
            action.sa_flags = new.flags;
            &raw const action
        });
        assert_eq!(libc::sigaction(signal, new, &raw mut old), 0, "signal {signal}");
        // The C library's own flag, on some machines, is no business of ours.
        let known = libc::SA_RESTART | libc::SA_ONSTACK | libc::SA_SIGINFO | libc::SA_NODEFER;
        Action { function: old.sa_sigaction, flags: old.sa_flags & known }
    }
}

pub(crate) fn real_time() -> RangeInclusive<c_int> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// The real-time signals that do something, lowest first.
pub(crate) fn claimed() -> Vec<c_int> {
    real_time().filter(|&signal| action(signal) != Action::DEFAULT).collect()
}

pub(crate) fn take_all_real_time_signals() {
    real_time().for_each(|signal| set_action(signal, Action::of_host(libc::SA_RESTART)));
}

/// No timer can be made: each one needs a signal that can be queued.
pub(crate) fn allow_no_queued_signals() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is initialized.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_SIGPENDING, &raw const none) }, 0);
    let mut timer = mem::MaybeUninit::uninit();
    // SAFETY: without an event, the timer's signal is the default one; the timer is not used.
    let made =
        unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, ptr::null_mut(), timer.as_mut_ptr()) };
    assert_ne!(made, 0, "there are timers all the same");
}

pub(crate) fn bit(signal: c_int) -> u64 {
    1 << (signal - 1)
}

/// All 64 bits of this thread's mask, past the C library, which hides some.
pub(crate) fn mask() -> u64 {
    procmask(None)
}

pub(crate) fn set_mask(mask: u64) {
    procmask(Some(mask));
}

fn procmask(new: Option<u64>) -> u64 {
    let mut old = 0_u64;
    let new = new.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the kernel reads and writes the eight bytes that it is told of.
    let answer = unsafe {
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, &raw mut old, 8_usize)
    };
    assert_eq!(answer, 0, "rt_sigprocmask");
    old
}

/// The signals that wait for this thread, or for any of the process.
pub(crate) fn pending() -> u64 {
    let mut set = 0_u64;
    // SAFETY: the kernel writes the eight bytes that it is told of.
    let answer = unsafe { libc::syscall(libc::SYS_rt_sigpending, &raw mut set, 8_usize) };
    assert_eq!(answer, 0, "rt_sigpending");
    set
}

/// This thread, as the kernel calls it.
pub(crate) fn tid() -> c_int {
    // SAFETY: it has no arguments.
    let tid: c_long = unsafe { libc::syscall(libc::SYS_gettid) };
    tid.try_into().expect("a thread's id is an int")
}

/// To one thread of this process.
pub(crate) fn send(tid: c_int, signal: c_int) {
    // SAFETY: a signal that the test has an action for.
    unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), tid, signal) };
}

/// To a process.
pub(crate) fn kill(pid: u32, signal: c_int) {
    let pid = pid.try_into().expect("a process's id is an int");
    // SAFETY: it concerns a process that the test has started.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0, "kill {pid}");
}

/// Takes a blocked signal that waits for this thread or its process, if there is one.
pub(crate) fn take_pending(signals: u64) -> Option<c_int> {
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel reads the eight bytes that it is told of, and is not asked for more than
    // the number.
    let signal = unsafe {
        let none = ptr::null_mut::<libc::siginfo_t>();
        libc::syscall(libc::SYS_rt_sigtimedwait, &raw const signals, none, &raw const now, 8_usize)
    };
    c_int::try_from(signal).ok().filter(|&signal| signal > 0)
}

/// A descriptor from which this thread reads its signals.
pub(crate) struct SignalFd(std::os::fd::OwnedFd);

impl SignalFd {
    pub(crate) fn of(signals: u64) -> Self {
        use std::os::fd::FromRawFd;
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        // SAFETY: the kernel reads the eight bytes that it is told of; the descriptor is ours.
        unsafe {
            let fd = libc::syscall(libc::SYS_signalfd4, -1, &raw const signals, 8_usize, flags);
            assert!(fd >= 0, "signalfd");
            Self(std::os::fd::OwnedFd::from_raw_fd(fd.try_into().expect("it is an int")))
        }
    }

    /// The next signal that waits to be read.
    pub(crate) fn read(&self) -> Option<u32> {
        use std::os::fd::AsRawFd;
        // SAFETY: all zeroes are a valid value, as large as the kernel is told.
        unsafe {
            let mut info: libc::signalfd_siginfo = mem::zeroed();
            let size = mem::size_of_val(&info);
            let read = libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size);
            (read > 0).then_some(info.ssi_signo)
        }
    }
}

/// Takes time until it may go on: a signal's action that holds its thread up.
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
