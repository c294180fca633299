//! The canary: a child process of locket in the process group and the control group of locket and the command. It is
//! named after the canary of a coal mine: it is exposed to the same signals as the command, and shows which have arrived. It
//! does two things.
//!
//! - It keeps a copy of the lock's descriptor until the command has ended, in case locket is killed.
//! - It answers whether it has received a signal that locket has received. If it has, the signal was sent to the group, and
//!   the command has received it already. If not, the signal was sent to locket alone, and locket passes it on. No field of a
//!   signal tells the difference: `si_code` is the same for a process and a group (sigaction(2)), and a terminal that hangs
//!   up signals the session leader alone.
//!
//! It blocks all signals. Its name is not that of locket, so `pkill locket` does not match it. Its command line has the words
//! of the command, so `pkill -f` with one of them matches it, as it matches locket and the command.

use std::ffi::{CStr, c_int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use libc::pid_t;
use nix::unistd::{Pid, getpgid};
use rustix::process::{WaitOptions, waitpid};

use crate::processes;
use crate::unix::command::bit;
use crate::unix::os::{self, Received, Signals};
use crate::unix::seen_signals::{SeenSignal, SeenSignals};

/// The time in microseconds between the moments at which the canary and locket receive a signal that was sent to both: a
/// sender that goes over the processes of a control group takes some time.
pub(super) const SKEW_MAX: u64 = 20_000;

/// The time in milliseconds after which locket checks whether the canary is stopped.
const FIRST_TIMEOUT: c_int = 20;

/// The further time in milliseconds after which a canary that does not answer is kept from running, by a debugger or in a
/// frozen control group (cgroups(7)).
const SECOND_TIMEOUT: c_int = 1000;

/// The signals with which a terminal stops processes.
pub(super) const STOPPING: [c_int; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// The canary, as locket has it.
#[derive(Debug)]
pub(super) struct Canary {
    pid: pid_t,
    channel: UnixStream,
    /// Whether the answer to the last question is outstanding. There is one question at a time, so the channel of a canary
    /// that is kept from running never fills up.
    is_answer_pending: bool,
    /// The stop signals that the canary had received when it was continued, a bit for each. A SIGCONT discards pending stop
    /// signals (signal(7)).
    discarded: u64,
}

/// The canary's answer about a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Received,
    NotReceived,
    /// The canary is kept from running.
    Silent,
    /// The canary was killed.
    Gone,
}

/// What the canary needs.
pub(super) struct Task<'a> {
    pub(super) lock: BorrowedFd<'a>,
    pub(super) command: pid_t,
    /// A descriptor that becomes readable when the command has ended, if the system has one (`pidfd_open(2)`).
    pub(super) end_of_command: Option<OwnedFd>,
    /// The words of the command that are in locket's command line, each with a NUL at its end.
    pub(super) words: &'a [u8],
}

impl Canary {
    /// Starts the canary. The caller has blocked all signals.
    pub(super) fn start(task: &Task<'_>) -> io::Result<Self> {
        let (channel, canary_channel) = UnixStream::pair()?;
        let mut seen = SeenSignals::new();
        let pid = os::fork(|| canary_main(canary_channel.as_raw_fd(), task, &mut seen))?;
        Ok(Self { pid, channel, is_answer_pending: false, discarded: 0 })
    }

    pub(super) fn pid(&self) -> pid_t {
        self.pid
    }

    /// Kills the canary, and waits until its copy of the lock's descriptor is closed.
    pub(super) fn kill(self) {
        os::kill(self.pid, libc::SIGKILL);
        let Some(pid) = rustix::process::Pid::from_raw(self.pid) else { return };
        let _ = rustix::io::retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
    }

    /// Asks whether the canary has received the signal too, at this time (microseconds) or later. The canary forgets the
    /// signal.
    ///
    /// A canary that is stopped (by SIGSTOP: it blocks all other signals) is continued. A canary that is kept from running in
    /// another way is waited for once, for a second.
    pub(super) fn ask(&mut self, signal: &Received, since: u64) -> Answer {
        if self.is_answer_pending {
            // The answer to a question whose wait was given up.
            let late = self.receive_answer(signal, &[0]);
            if matches!(late, Answer::Silent | Answer::Gone) {
                return late;
            }
        }
        let Received { number, code, sender, value, .. } = *signal;
        let question = to_bytes(&SeenSignal { number, code, sender, value, at: since });
        if !os::write(self.channel.as_raw_fd(), &question) {
            return Answer::Gone;
        }
        self.is_answer_pending = true;
        let answer = self.receive_answer(signal, &[FIRST_TIMEOUT, SECOND_TIMEOUT]);
        let was_discarded = self.discarded & bit(number) != 0;
        self.discarded &= !bit(number);
        if was_discarded { Answer::Received } else { answer }
    }

    /// Waits for an answer for each of these times, in milliseconds, and continues a stopped canary between them.
    fn receive_answer(&mut self, signal: &Received, timeouts: &[c_int]) -> Answer {
        let channel = self.channel.as_raw_fd();
        for &milliseconds in timeouts {
            if os::wait_readable([channel], milliseconds) == [true] {
                let mut answer = [0];
                if !os::read(channel, &mut answer) {
                    return Answer::Gone;
                }
                self.is_answer_pending = false;
                return if answer == [0] { Answer::NotReceived } else { Answer::Received };
            }
            self.continue_if_stopped(signal);
        }
        Answer::Silent
    }

    /// Continues the canary if it is stopped, and notes the stop signals that this discards. A stop signal counts as received
    /// by the canary only if locket has received it too.
    fn continue_if_stopped(&mut self, asked_about: &Received) {
        let pid = self.pid.unsigned_abs();
        if !processes::is_stopped(pid) {
            return;
        }
        let (in_canary, in_locket) = (processes::pending(pid), Signals::pending());
        for number in STOPPING {
            let is_received = number == asked_about.number || in_locket.contains(number);
            if is_received && in_canary & bit(number) != 0 {
                self.discarded |= bit(number);
            }
        }
        os::kill(self.pid, libc::SIGCONT);
    }
}

/// The size of a question: a signal, and since when it may have been received.
///
/// | bytes | field |
/// |---|---|
/// | 0-3, 4-7, 8-11 | `number`, `code`, `sender` |
/// | 12-19, 20-27 | `value`, `at` |
const QUESTION_SIZE: usize = 28;

fn to_bytes(signal: &SeenSignal) -> [u8; QUESTION_SIZE] {
    let mut bytes = [0; QUESTION_SIZE];
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

fn from_bytes(bytes: &[u8; QUESTION_SIZE]) -> SeenSignal {
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

/// The canary process: system calls only.
fn canary_main(channel: RawFd, task: &Task<'_>, seen: &mut SeenSignals) -> c_int {
    let end = task.end_of_command.as_ref().map_or(-1, AsRawFd::as_raw_fd);
    // The standard streams are closed too: a reader of locket's output would wait for the canary's end.
    close_all_except(&[channel, end, task.lock.as_raw_fd()]);
    set_command_line(c"canary", task.words);
    // The file system of the working directory can be unmounted.
    let _ = rustix::process::chdir(c"/");
    let signals = Signals::all();
    let signal_fd = os::signal_descriptor(signals);
    loop {
        let [_, is_asked] = os::wait_readable([signal_fd, channel], -1);
        collect(signals, seen);
        if !is_asked {
            continue;
        }
        let mut question = [0; QUESTION_SIZE];
        if !os::read(channel, &mut question) {
            break;
        }
        // A signal that was sent before the question was asked is pending by now.
        collect(signals, seen);
        let is_received = seen.remove(&from_bytes(&question));
        if !os::write(channel, &[is_received.into()]) {
            break;
        }
    }
    // locket was killed: it kills the canary before it ends in any other way.
    wait_for_end(task.command, end);
    libc::EXIT_SUCCESS
}

fn close_all_except(kept: &[RawFd]) {
    let mut first: RawFd = 0;
    loop {
        let next = kept.iter().copied().filter(|&it| it >= first).min();
        os::close_between(first, next.map_or(RawFd::MAX, |it| it - 1));
        let Some(next) = next else { return };
        first = next + 1;
    }
}

fn wait_for_end(command: pid_t, end: RawFd) {
    const CHECK_EVERY: c_int = 50; // Milliseconds.
    if end >= 0 {
        while os::wait_readable([end], -1) == [false] {}
        return;
    }
    // Before Linux 5.3, and on other systems, there is no such descriptor.
    while getpgid(Some(Pid::from_raw(command))).is_ok() {
        os::wait_readable([-1], CHECK_EVERY);
    }
}

/// Moves the pending signals to the list of those that locket may ask about.
fn collect(signals: Signals, seen: &mut SeenSignals) {
    while let Some(Received { number, code, sender, value, .. }) = signals.try_wait() {
        seen.add(SeenSignal { number, code, sender, value, at: os::now() });
    }
}

/// Gives the process a name, and a command line that begins with the name and ends with these words. Each word has a NUL at
/// its end. System calls only.
#[cfg(target_os = "linux")]
fn set_command_line(name: &CStr, words: &[u8]) {
    let _ = nix::sys::prctl::set_name(name);
    if let Some(area) = argument_area() {
        os::overwrite_arguments(&area, name.to_bytes_with_nul(), words);
    }
}

#[cfg(not(target_os = "linux"))]
fn set_command_line(_name: &CStr, _words: &[u8]) {}

/// Returns the addresses of this process's command line: `arg_start` and `arg_end` of `proc_pid_stat(5)`.
#[cfg(target_os = "linux")]
fn argument_area() -> Option<std::ops::Range<usize>> {
    use rustix::fs::{Mode, OFlags};

    const START: usize = 48;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = rustix::fs::open(c"/proc/self/stat", flags, Mode::empty()).ok()?;
    let mut buffer = [0; 1024];
    let count = rustix::io::read(&file, &mut buffer).ok()?;
    let stat = buffer.get(..count)?;
    // The third field follows the name, which is in parentheses and may contain any character.
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 2;
    let mut words = stat.get(after_name..)?.split(|&byte| byte == b' ').skip(START - 3);
    let mut number = || std::str::from_utf8(words.next()?).ok()?.parse::<usize>().ok();
    let area = number()?..number()?;
    (area.start > 0 && area.start < area.end).then_some(area)
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
