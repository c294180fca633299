//! The canary: a child of locket's that stands beside the command, in the same process group and the same control
//! group, and does two things.
//!
//! - It keeps a copy of the lock's descriptor until the command has ended, in case locket is killed.
//! - It tells whether a signal that locket got was sent to others too. What comes to the canary as well was sent to
//!   the group, so the command has it already; what does not was sent to locket alone, and is to be passed on. No
//!   field of a signal tells that: `si_code` is the same for a process and a group, and a terminal that hangs up
//!   signals the first process of the session alone.
//!
//! It blocks all signals, has its own name, so that `pkill locket` misses it, and keeps the words of the command in
//! its command line, so that `pkill -f` of one of them hits it as it hits locket and the command.

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use libc::pid_t;
use nix::unistd::{Pid, getpgid};
use rustix::process::{WaitOptions, waitpid};

use super::super::other;
use super::disguise;
use super::ended::bit;
use super::os::{self, Received, Signals};
use super::seen::{Seen, SeenSignal};

/// How much earlier than locket the canary may have got a signal that was sent to both, and how much later: a walk
/// over the processes of a control group takes some time. In microseconds.
pub(super) const APART: u64 = 20_000;

/// How long an answer may take before the canary is looked at, which may be stopped. In milliseconds.
const PROMPT: c_int = 20;

/// A canary that says nothing for so long is kept from running: by a debugger, or a frozen control group (cgroups(7)). In
/// milliseconds.
const SILENCE: c_int = 1000;

/// What a terminal stops processes with.
pub(super) const STOPPING: [c_int; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// locket's end.
#[derive(Debug)]
pub(super) struct Canary {
    pid: pid_t,
    channel: UnixStream,
    /// The answer to the last question has not come. There is one question at a time, so a canary that is kept from
    /// running never has the channel full.
    owes_answer: bool,
    /// What stops processes and had come to it when it was continued, which discarded that (signal(7)): a bit for each.
    discarded: u64,
}

/// What the canary says of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    HasIt,
    HasItNot,
    /// It is kept from running.
    Silent,
    /// It was killed.
    Gone,
}

/// What the canary watches over.
pub(super) struct Charge<'a> {
    pub(super) lock: BorrowedFd<'a>,
    pub(super) command: pid_t,
    /// A descriptor that can be read when the command has ended, where the system has such a thing.
    pub(super) end_of_command: Option<OwnedFd>,
    /// The command's words, as far as locket has them in its command line; each with a NUL at its end.
    pub(super) words: &'a [u8],
}

impl Canary {
    /// All signals are blocked already.
    pub(super) fn start(charge: &Charge<'_>) -> io::Result<Self> {
        let (ours, channel) = UnixStream::pair()?;
        let mut seen = Seen::new();
        let pid = os::fork(|| stand_beside(channel.as_raw_fd(), charge, &mut seen))?;
        Ok(Self { pid, channel: ours, owes_answer: false, discarded: 0 })
    }

    pub(super) fn pid(&self) -> pid_t {
        self.pid
    }

    /// Ends it, and waits until its copy of the lock's descriptor is closed.
    pub(super) fn kill(self) {
        os::kill(self.pid, libc::SIGKILL);
        let Some(pid) = rustix::process::Pid::from_raw(self.pid) else { return };
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
    }

    /// Asks whether it got the signal too, at this time (microseconds) or later. It forgets the signal.
    ///
    /// A canary that was stopped (by SIGSTOP: it blocks all others) is continued. One that is kept from running in another
    /// way is waited for once, for a second.
    pub(super) fn ask(&mut self, signal: &Received, since: u64) -> Witness {
        if self.owes_answer {
            // To a question that was given up.
            let missed = self.answer(signal, &[0]);
            if matches!(missed, Witness::Silent | Witness::Gone) {
                return missed;
            }
        }
        let Received { number, code, sender, value, .. } = *signal;
        let question = to_bytes(&SeenSignal { number, code, sender, value, at: since });
        if !os::write(self.channel.as_raw_fd(), &question) {
            return Witness::Gone;
        }
        self.owes_answer = true;
        let answer = self.answer(signal, &[PROMPT, SILENCE]);
        let was_discarded = self.discarded & bit(number) != 0;
        self.discarded &= !bit(number);
        if was_discarded { Witness::HasIt } else { answer }
    }

    /// Waits for so many milliseconds, and then for so many more.
    fn answer(&mut self, signal: &Received, patience: &[c_int]) -> Witness {
        let channel = self.channel.as_raw_fd();
        for &milliseconds in patience {
            if os::wait_readable([channel], milliseconds) == [true] {
                let mut answer = [0];
                if !os::read(channel, &mut answer) {
                    return Witness::Gone;
                }
                self.owes_answer = false;
                return if answer == [0] { Witness::HasItNot } else { Witness::HasIt };
            }
            self.go_on_if_stopped(signal);
        }
        Witness::Silent
    }

    fn go_on_if_stopped(&mut self, asked_about: &Received) {
        let pid = self.pid.unsigned_abs();
        if !other::is_stopped(pid) {
            return;
        }
        let (has_it, here) = (other::pending(pid), Signals::pending());
        for number in STOPPING {
            let came = number == asked_about.number || here.contains(number);
            if came && has_it & bit(number) != 0 {
                self.discarded |= bit(number);
            }
        }
        os::kill(self.pid, libc::SIGCONT);
    }
}

/// A question: a signal, at this time or later.
const QUESTION: usize = 28;

fn to_bytes(signal: &SeenSignal) -> [u8; QUESTION] {
    let mut bytes = [0; QUESTION];
    let (small, large) = bytes.split_at_mut(12);
    for (bytes, number) in
        small.chunks_exact_mut(4).zip([signal.number, signal.code, signal.sender])
    {
        bytes.copy_from_slice(&number.to_ne_bytes());
    }
    for (bytes, number) in large.chunks_exact_mut(8).zip([signal.value, signal.at]) {
        bytes.copy_from_slice(&number.to_ne_bytes());
    }
    bytes
}

fn from_bytes(bytes: &[u8; QUESTION]) -> SeenSignal {
    let small = |at| c_int::from_ne_bytes(copied(bytes, at));
    let large = |at| u64::from_ne_bytes(copied(bytes, at));
    SeenSignal {
        number: small(0),
        code: small(4),
        sender: small(8),
        value: large(12),
        at: large(20),
    }
}

fn copied<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut copied = [0; N];
    copied.copy_from_slice(&bytes[at..at + N]);
    copied
}

/// What the canary does, in a process of its own: system calls alone.
fn stand_beside(channel: RawFd, charge: &Charge<'_>, seen: &mut Seen) -> c_int {
    let end = charge.end_of_command.as_ref().map_or(-1, AsRawFd::as_raw_fd);
    // The standard streams among the others: what reads locket's output would wait for the canary too.
    close_all_but(&[channel, end, charge.lock.as_raw_fd()]);
    disguise::put_on(c"canary", charge.words);
    // A file system is not kept busy.
    let _ = rustix::process::chdir(c"/");
    let signals = Signals::all();
    let sent = os::signals_as_descriptor(signals);
    loop {
        let [_, asked] = os::wait_readable([sent, channel], -1);
        take_all(signals, seen);
        if !asked {
            continue;
        }
        let mut question = [0; QUESTION];
        if !os::read(channel, &mut question) {
            break;
        }
        // What was sent before the question was asked has come by now.
        take_all(signals, seen);
        let has_it = seen.forget(&from_bytes(&question));
        if !os::write(channel, &[has_it.into()]) {
            break;
        }
    }
    // locket is gone: it was killed, for it kills the canary before it ends.
    wait_for_end(charge.command, end);
    libc::EXIT_SUCCESS
}

fn close_all_but(kept: &[RawFd]) {
    let mut first: RawFd = 0;
    loop {
        let next = kept.iter().copied().filter(|&it| it >= first).min();
        os::close_between(first, next.map_or(RawFd::MAX, |it| it - 1));
        let Some(next) = next else { return };
        first = next + 1;
    }
}

fn wait_for_end(command: pid_t, end: RawFd) {
    const LOOK_EVERY: c_int = 50; // Milliseconds.
    if end >= 0 {
        while os::wait_readable([end], -1) == [false] {}
        return;
    }
    // Before Linux 5.3, and elsewhere.
    while getpgid(Some(Pid::from_raw(command))).is_ok() {
        os::wait_readable([-1], LOOK_EVERY);
    }
}

fn take_all(signals: Signals, seen: &mut Seen) {
    while let Some(Received { number, code, sender, value, .. }) = signals.take() {
        seen.add(SeenSignal { number, code, sender, value, at: os::now() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_arrives_as_it_was_sent() {
        let signal =
            SeenSignal { number: 34, code: -1, sender: 42, value: u64::MAX - 1, at: 1 << 40 };
        let arrived = from_bytes(&to_bytes(&signal));
        assert_eq!((arrived.number, arrived.code, arrived.sender), (34, -1, 42));
        assert_eq!((arrived.value, arrived.at), (u64::MAX - 1, 1 << 40));
    }
}
