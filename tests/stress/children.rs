//! Children of `fork(2)`, forked while the other threads of their parent use the lock (L11).
//!
//! A child inherits every descriptor, and of the threads only the one that called `fork`. It cannot release what another
//! thread held at that moment. So a child never waits without a timeout. If its parent is killed, the parent's holds can
//! last as long as the child.
#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::abort;

use locket_model::Kill;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::clock;

/// How a child ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildEnd {
    Exits,
    /// Killed by its parent, at any moment of its life.
    IsKilled,
}

/// A child, as its parent knows it.
pub(crate) struct Child {
    process: u32,
    pid: Pid,
    ending: ChildEnd,
}

pub(crate) enum End {
    Exited,
    Killed(Kill),
    Otherwise(WaitStatus),
}

/// The first number of a child. The processes that a round starts itself have smaller numbers.
const FIRST: u32 = 1 << 10;

/// Returns the number of the `nth` child (counted from 1) of a thread. No other process has this number.
pub(crate) fn number(parent: u32, thread: u32, nth: u32) -> u32 {
    assert!(parent < FIRST && thread < 8 && nth < 1 << 19, "no number: {parent} {thread} {nth}");
    (nth << 3 | thread) << 10 | parent
}

/// Returns the number of the parent, or `None` if the round itself started the process.
pub(crate) fn parent_of(process: u32) -> Option<u32> {
    (process >= FIRST).then_some(process % FIRST)
}

/// Forks. Returns `None` in the child, which must call [`run_in_child`] next.
pub(crate) fn fork_child(process: u32, ending: ChildEnd) -> Option<Child> {
    // SAFETY: the child goes on in the image that it inherits, and the allocator of the C library survives a fork. The
    // child takes no lock that another thread may have held: its log files and its numbers are its own, the lock file is
    // the subject of the test, and the child exits without running exit handlers.
    match unsafe { fork() }.expect("there should be room for a child") {
        ForkResult::Parent { child: pid } => Some(Child { process, pid, ending }),
        ForkResult::Child => None,
    }
}

/// Runs `script` in a child, and exits. Never returns.
pub(crate) fn run_in_child(script: impl FnOnce()) -> ! {
    if catch_unwind(AssertUnwindSafe(script)).is_err() {
        abort();
    }
    // SAFETY: `_exit` only ends the process. The exit handlers are left to the parent.
    unsafe { libc::_exit(0) }
}

impl Child {
    /// Returns how the child ended, or `None` if it still runs. Kills it first if that is how it has to end.
    pub(crate) fn end(&self) -> Option<End> {
        let after = clock::now();
        let flag = match self.ending {
            ChildEnd::Exits => Some(WaitPidFlag::WNOHANG),
            ChildEnd::IsKilled => {
                kill(self.pid, Signal::SIGKILL).expect("the child is not reaped yet");
                None
            }
        };
        match waitpid(self.pid, flag).expect("the child is not reaped yet") {
            WaitStatus::StillAlive => None,
            WaitStatus::Exited(_, 0) => Some(End::Exited),
            WaitStatus::Signaled(_, Signal::SIGKILL, _) if self.ending == ChildEnd::IsKilled => {
                let Self { process, .. } = *self;
                Some(End::Killed(Kill { process, after, before: clock::now() }))
            }
            status => Some(End::Otherwise(status)),
        }
    }
}
