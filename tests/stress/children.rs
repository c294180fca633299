//! Children of `fork(2)`, born in the middle of what their parent's threads are doing (L11).
//!
//! A child inherits every descriptor, and of the threads the one that forked. What another thread
//! held at that moment it cannot let go of: so it never waits without a timeout, and if its parent
//! is killed, what the parent held may stay held as long as the child lives.
#![allow(unsafe_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::abort;

use locket_model::Kill;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::clock;

/// How a child's life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Exits,
    /// By its parent, wherever it is then.
    IsKilled,
}

/// As its parent knows it.
pub(crate) struct Child {
    process: u32,
    pid: Pid,
    fate: Fate,
}

pub(crate) enum End {
    Exited,
    Killed(Kill),
    Otherwise(WaitStatus),
}

/// The processes that a round starts have smaller numbers.
const FIRST: u32 = 1 << 10;

/// A number for the `nth` child of a thread, counted from 1, that nobody else has.
pub(crate) fn number(parent: u32, thread: u32, nth: u32) -> u32 {
    assert!(parent < FIRST && thread < 8 && nth < 1 << 19, "no number: {parent} {thread} {nth}");
    (nth << 3 | thread) << 10 | parent
}

/// `None` of a process that the round started.
pub(crate) fn parent_of(process: u32) -> Option<u32> {
    (process >= FIRST).then_some(process % FIRST)
}

/// `None` in the child, which has to [`live`] now.
pub(crate) fn bear(process: u32, fate: Fate) -> Option<Child> {
    // SAFETY: the child goes on in the image that it inherits, whose allocator survives a fork. It
    // takes no lock that another thread may have had: its files and its numbers are its own, the
    // lock is what is put to the test, and it leaves without cleaning up.
    match unsafe { fork() }.expect("there should be room for a child") {
        ForkResult::Parent { child: pid } => Some(Child { process, pid, fate }),
        ForkResult::Child => None,
    }
}

/// The life of a child, from which nobody returns.
pub(crate) fn live(life: impl FnOnce()) -> ! {
    if catch_unwind(AssertUnwindSafe(life)).is_err() {
        abort();
    }
    // SAFETY: it only ends the process. Whatever else is done at an exit is for the parent to do.
    unsafe { libc::_exit(0) }
}

impl Child {
    /// How it ended, if it has, or if that is due.
    pub(crate) fn end(&self) -> Option<End> {
        let after = clock::now();
        let flag = match self.fate {
            Fate::Exits => Some(WaitPidFlag::WNOHANG),
            Fate::IsKilled => {
                kill(self.pid, Signal::SIGKILL).expect("nobody has buried the child yet");
                None
            }
        };
        match waitpid(self.pid, flag).expect("nobody has buried the child yet") {
            WaitStatus::StillAlive => None,
            WaitStatus::Exited(_, 0) => Some(End::Exited),
            WaitStatus::Signaled(_, Signal::SIGKILL, _) if self.fate == Fate::IsKilled => {
                let Self { process, .. } = *self;
                Some(End::Killed(Kill { process, after, before: clock::now() }))
            }
            status => Some(End::Otherwise(status)),
        }
    }
}

#[test]
fn numbers_are_given_once() {
    let mut numbers = std::collections::BTreeSet::new();
    for (parent, thread, nth) in [(1, 0, 1), (1, 0, 2), (1, 1, 1), (2, 0, 1), (1023, 7, 524_287)] {
        let number = number(parent, thread, nth);
        assert!(numbers.insert(number));
        assert_eq!(parent_of(number), Some(parent));
        assert_eq!(parent_of(parent), None);
    }
}
