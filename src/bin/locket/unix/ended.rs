//! How the command ended, and ending in the same way.

use std::ffi::c_int;
use std::process;

use rustix::process::{Resource, Rlimit, WaitStatus, setrlimit};

use super::os;

/// How the command ended.
pub(super) struct Ended {
    pub(super) end: End,
    /// The signals that were sent to locket meanwhile, a bit for each.
    pub(super) came: u64,
}

impl Ended {
    /// Ends this process as the command ended, or returns the status to exit with.
    pub(super) fn in_turn(&self) -> i32 {
        match self.end {
            End::Exit(code) => code,
            End::Signal(number) => end_by(number),
        }
    }

    /// As flock(1), which ends by no signal but one that was sent to it, from a terminal for instance. (A shell tells of
    /// a process that a signal has ended.)
    pub(super) fn as_flock(&self) -> i32 {
        match self.end {
            End::Signal(number) if self.came & bit(number) == 0 => 128 + number,
            _ => self.in_turn(),
        }
    }
}

/// The bit of a signal in a set of them.
pub(super) fn bit(number: c_int) -> u64 {
    u32::try_from(number).ok().and_then(|number| 1_u64.checked_shl(number)).unwrap_or_default()
}

/// Ends this process by the signal, as a shell expects it: after a Ctrl-C its loops end only if their command was
/// ended by SIGINT. Returns the status that says the same, for the first process of a container, which no signal of
/// its own ends.
fn end_by(number: c_int) -> i32 {
    if process::id() != 1 {
        dump_no_core();
        os::suffer(number);
    }
    128 + number
}

/// From now on no signal writes a core of this process: neither to a file nor to a program (core(5)).
fn dump_no_core() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_dumpable(false);
}

#[derive(Clone, Copy)]
pub(super) enum End {
    Exit(i32),
    Signal(c_int),
}

pub(super) fn end_of_status(status: WaitStatus) -> End {
    match (status.terminating_signal(), status.exit_status()) {
        (Some(number), _) => End::Signal(number),
        (None, code) => End::Exit(code.unwrap_or_default()),
    }
}
