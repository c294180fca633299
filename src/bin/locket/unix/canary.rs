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

use super::disguise;
use super::os::{self, Received, Signals};

/// How much earlier than locket the canary may have got a signal that was sent to both, and how much later: a walk
/// over the processes of a control group takes some time. In microseconds.
pub(super) const APART: u64 = 20_000;

/// A canary that says nothing for so long is stopped, as the whole group was. In milliseconds.
const SILENCE: c_int = 1000;

/// locket's end.
#[derive(Debug)]
pub(super) struct Canary {
    pid: pid_t,
    channel: UnixStream,
    serial: c_int,
}

/// What the canary says of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness {
    HasIt,
    HasItNot,
    /// It is stopped.
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
        let pid = os::fork(|| stand_beside(channel.as_raw_fd(), charge))?;
        Ok(Self { pid, channel: ours, serial: 0 })
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
    pub(super) fn ask(&mut self, signal: &Received, since: u64) -> Witness {
        self.serial = self.serial.wrapping_add(1);
        let question = Question {
            serial: self.serial,
            number: signal.number,
            code: signal.code,
            sender: signal.sender,
            value: signal.value,
            since,
        };
        let channel = self.channel.as_raw_fd();
        if !os::write(channel, &question.to_bytes()) {
            return Witness::Gone;
        }
        loop {
            let mut answer = [0; Answer::SIZE];
            match os::wait_readable([channel], SILENCE) {
                [false] => return Witness::Silent,
                [true] if !os::read(channel, &mut answer) => return Witness::Gone,
                [true] => {}
            }
            match Answer::from_bytes(answer) {
                // To a question that was given up.
                Answer { serial, .. } if serial != self.serial => {}
                Answer { has_it: true, .. } => return Witness::HasIt,
                Answer { has_it: false, .. } => return Witness::HasItNot,
            }
        }
    }
}

struct Question {
    serial: c_int,
    number: c_int,
    code: c_int,
    sender: pid_t,
    value: u64,
    since: u64,
}

impl Question {
    const SIZE: usize = 32;

    fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        let (small, large) = bytes.split_at_mut(16);
        let numbers = [self.serial, self.number, self.code, self.sender];
        for (bytes, number) in small.chunks_exact_mut(4).zip(numbers) {
            bytes.copy_from_slice(&number.to_ne_bytes());
        }
        for (bytes, number) in large.chunks_exact_mut(8).zip([self.value, self.since]) {
            bytes.copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let small = |at| c_int::from_ne_bytes(copied(&bytes, at));
        let large = |at| u64::from_ne_bytes(copied(&bytes, at));
        Self {
            serial: small(0),
            number: small(4),
            code: small(8),
            sender: small(12),
            value: large(16),
            since: large(24),
        }
    }
}

struct Answer {
    serial: c_int,
    has_it: bool,
}

impl Answer {
    const SIZE: usize = 8;

    fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [self.has_it.into(); Self::SIZE];
        bytes[..4].copy_from_slice(&self.serial.to_ne_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self { serial: c_int::from_ne_bytes(copied(&bytes, 0)), has_it: bytes[4] != 0 }
    }
}

fn copied<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut copied = [0; N];
    copied.copy_from_slice(&bytes[at..at + N]);
    copied
}

/// What the canary does, in a process of its own: system calls alone.
fn stand_beside(channel: RawFd, charge: &Charge<'_>) -> c_int {
    let end = charge.end_of_command.as_ref().map_or(-1, AsRawFd::as_raw_fd);
    // The standard streams among the others: what reads locket's output would wait for the canary too.
    close_all_but(&[channel, end, charge.lock.as_raw_fd()]);
    disguise::put_on(c"canary", charge.words);
    // A file system is not kept busy.
    let _ = rustix::process::chdir(c"/");
    let signals = Signals::all();
    let sent = os::signals_as_descriptor(signals);
    let mut seen = Seen::new();
    loop {
        let [_, asked] = os::wait_readable([sent, channel], -1);
        seen.take_all(signals);
        if !asked {
            continue;
        }
        let mut question = [0; Question::SIZE];
        if !os::read(channel, &mut question) {
            break;
        }
        let question = Question::from_bytes(question);
        // What was sent before the question was asked has come by now.
        seen.take_all(signals);
        let answer = Answer { serial: question.serial, has_it: seen.forget(&question) };
        if !os::write(channel, &answer.to_bytes()) {
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

/// The latest signals that came to the canary, each with the time. As locket may be busy with others, those of one
/// number have their room; the real-time signals, of which many may wait, have theirs.
struct Seen {
    standard: [Latest<4>; Seen::STANDARD],
    queued: Latest<256>,
}

/// The latest of some signals, in no order.
#[derive(Clone, Copy)]
struct Latest<const N: usize> {
    signals: [Option<SeenSignal>; N],
    next: usize,
}

#[derive(Clone, Copy)]
struct SeenSignal {
    number: c_int,
    code: c_int,
    sender: pid_t,
    value: u64,
    at: u64,
}

impl Seen {
    const STANDARD: usize = 32;

    fn new() -> Self {
        Self { standard: [Latest::NONE; Self::STANDARD], queued: Latest::NONE }
    }

    fn take_all(&mut self, signals: Signals) {
        while let Some(Received { number, code, sender, value, .. }) = signals.take() {
            self.add(SeenSignal { number, code, sender, value, at: os::now() });
        }
    }

    fn add(&mut self, signal: SeenSignal) {
        match self.standard(signal.number) {
            Some(latest) => latest.add(signal),
            None => self.queued.add(signal),
        }
    }

    fn forget(&mut self, question: &Question) -> bool {
        match self.standard(question.number) {
            Some(latest) => latest.forget(question),
            None => self.queued.forget(question),
        }
    }

    fn standard(&mut self, number: c_int) -> Option<&mut Latest<4>> {
        self.standard.get_mut(usize::try_from(number).ok()?)
    }
}

impl<const N: usize> Latest<N> {
    const NONE: Self = Self { signals: [None; N], next: 0 };

    fn add(&mut self, signal: SeenSignal) {
        self.signals[self.next] = Some(signal);
        self.next = (self.next + 1) % N;
    }

    /// Was there such a signal, then or later? Now there is one less. What was sent to several processes at once is
    /// the same for all of them: its sender, how it was sent, and its value.
    fn forget(&mut self, question: &Question) -> bool {
        let same = |it: &SeenSignal| {
            it.number == question.number
                && (it.code, it.sender, it.value)
                    == (question.code, question.sender, question.value)
                && it.at >= question.since
        };
        let found = self.signals.iter_mut().find(|it| it.as_ref().is_some_and(same));
        found.and_then(Option::take).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(number: c_int, value: u64, since: u64) -> Question {
        Question { serial: 7, number, code: -1, sender: 42, value, since }
    }

    #[test]
    fn questions_and_answers_arrive_as_they_were_sent() {
        let question = Question::from_bytes(question(34, u64::MAX - 1, 1 << 40).to_bytes());
        assert_eq!((question.serial, question.number, question.code), (7, 34, -1));
        assert_eq!((question.sender, question.value, question.since), (42, u64::MAX - 1, 1 << 40));
        for has_it in [false, true] {
            let answer = Answer::from_bytes(Answer { serial: c_int::MAX, has_it }.to_bytes());
            assert_eq!((answer.serial, answer.has_it), (c_int::MAX, has_it));
        }
    }

    fn seen(number: c_int, value: u64, at: u64) -> SeenSignal {
        SeenSignal { number, code: -1, sender: 42, value, at }
    }

    #[test]
    fn a_signal_has_an_age() {
        let mut signals = Seen::new();
        signals.add(seen(15, 0, 1000));
        assert!(!signals.forget(&question(2, 0, 0)));
        assert!(!signals.forget(&question(15, 0, 1001)), "it is too old");
        assert!(signals.forget(&question(15, 0, 1000)));
        assert!(!signals.forget(&question(15, 0, 1000)), "it was one");
    }

    #[test]
    fn signals_are_counted_by_their_values_and_senders() {
        let mut signals = Seen::new();
        for value in [1, 1, 2] {
            signals.add(seen(40, value, 1000));
        }
        let answers = [1, 1, 1, 2, 3].map(|value| signals.forget(&question(40, value, 1000)));
        assert_eq!(answers, [true, true, false, true, false]);
        signals.add(SeenSignal { sender: 43, ..seen(15, 0, 1000) });
        assert!(!signals.forget(&question(15, 0, 1000)), "another process sent it");
    }

    #[test]
    fn the_latest_are_kept() {
        let mut signals = Seen::new();
        for value in 0..300 {
            signals.add(seen(40, value, 1000));
            signals.add(seen(15, value, 1000));
        }
        let answers = [43, 44, 299].map(|value| signals.forget(&question(40, value, 0)));
        assert_eq!(answers, [false, true, true]);
        let answers = [295, 296, 299].map(|value| signals.forget(&question(15, value, 0)));
        assert_eq!(answers, [false, true, true]);
    }
}
