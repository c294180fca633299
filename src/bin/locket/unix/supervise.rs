//! Supervises the command: locket holds the lock until the command has ended, passes signals on to it, stops with it, and ends
//! as the command ended.
//!
//! All signals are blocked and accepted one by one. So the actions that the caller has set, an ignored SIGHUP of nohup(1) for
//! instance, stay as they are and are inherited by the command, and no signal but SIGKILL ends locket before the command.
//! locket, the canary and the command stay in the caller's process group: a group of their own would be in the background of
//! the terminal.

use std::ffi::{OsStr, OsString, c_int};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::process;
use std::time::{Duration, Instant};

use libc::pid_t;
use nix::unistd::{Pid, getpgid, getpgrp, getpid, getsid};
use rustix::process::{WaitOptions, wait};

use crate::platform::{Hold, Inheritance, Program};
use crate::processes;
use crate::unix::canary::{Answer, Canary, SKEW_MAX, STOPPING, Task};
use crate::unix::command::{Command, End, Ended, Passing, Prepared, bit, end_of_status};
use crate::unix::os::{self, Received, Signals};
use crate::unix::seen_signals::FIRST_QUEUED;

/// The time for which the canary is asked again about a signal that another process sent.
const ASK_FOR: Duration = Duration::from_micros(SKEW_MAX);

/// The time for which the canary is asked again about a signal of the kernel, which signals a group without a pause.
const ASK_FOR_KERNEL_SIGNAL: Duration = Duration::from_millis(2);

/// The time in microseconds within which a pending signal is accepted, also on a busy machine.
const ACCEPTED_WITHIN: u64 = 500_000;

/// Runs the command under the lock, and returns how it ended. `warn` gets the message if the canary cannot be started.
///
/// # Errors
///
/// The reason why the command was not started. The lock is released then.
pub(super) fn run(
    hold: Hold,
    program: Program<'_>,
    arguments: &[OsString],
    inheritance: Inheritance,
    warn: fn(&str),
) -> io::Result<Ended> {
    let prepared = Prepared::new(arguments)?;
    // If the caller ignores SIGCHLD, the kernel does not keep the status of a child (wait(2)).
    os::reset_action(libc::SIGCHLD);
    let mask = Signals::all().block();

    let words = words_in_command_line(program);
    if let Hold::File(guard) = &hold {
        // Otherwise children close their copies in fork.
        guard.inherit_on_fork();
    }
    let started = Command::start(&prepared, mask, passing(&hold, inheritance));
    let command = started.inspect_err(|_| mask.set_mask())?;
    let task = Task {
        lock: hold.as_fd(),
        command: command.pid(),
        end_of_command: end_descriptor(command.pid()),
        words: &words,
    };
    let canary =
        Canary::start(&task).inspect_err(|error| warn(&missing_canary_message(error))).ok();
    let mut supervisor = Supervisor {
        command: command.pid(),
        canary,
        idle_since: os::now(),
        is_asked_to_stop: false,
        stopped_by: None,
        ended: None,
        received: 0,
    };
    supervisor.pass_on_early_signals(&command);
    command.open_gate();
    let end = supervisor.wait_for_end();
    supervisor.kill_canary();

    match inheritance {
        // Closed by the end of this process, and not unlocked: a process that the command left running may hold the lock.
        Inheritance::Inherited | Inheritance::As(_) => hold.leak(),
        Inheritance::NotInherited => drop(hold),
    }
    match command.exec_error() {
        Some(error) => Err(error),
        None => Ok(Ended { end, received: supervisor.received }),
    }
}

fn passing(hold: &Hold, inheritance: Inheritance) -> Passing<'_> {
    match (inheritance, hold) {
        (Inheritance::Inherited, Hold::Inherited(_)) => Passing::Unchanged,
        (Inheritance::NotInherited, Hold::Inherited(fd)) => Passing::Close(fd.as_raw_fd()),
        (Inheritance::Inherited, hold) => Passing::Copy(hold.as_fd()),
        (Inheritance::NotInherited, _) => Passing::Unchanged,
        (Inheritance::As(number), hold) => Passing::As(hold.as_fd(), number),
    }
}

/// Returns the words of the command that are in locket's command line, each with a NUL at its end. The shell that runs a
/// string is not.
fn words_in_command_line(program: Program<'_>) -> Vec<u8> {
    let with_nul = |word: &OsStr| [word.as_bytes(), b"\0"].concat();
    match program {
        Program::Arguments(words) => words.iter().flat_map(|it| with_nul(it)).collect(),
        Program::Shell(string) => with_nul(string),
    }
}

fn missing_canary_message(error: &io::Error) -> String {
    format!(
        "cannot start the canary: {error}: if locket is killed, a lock that is not inherited is free; \
         a signal to the whole group may reach the command twice"
    )
}

/// Returns a descriptor that becomes readable when the process has ended, if the system has one (`pidfd_open(2)`).
#[cfg(target_os = "linux")]
fn end_descriptor(process: pid_t) -> Option<std::os::fd::OwnedFd> {
    let process = rustix::process::Pid::from_raw(process)?;
    rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn end_descriptor(_process: pid_t) -> Option<std::os::fd::OwnedFd> {
    None
}

struct Supervisor {
    command: pid_t,
    canary: Option<Canary>,
    /// The moment at which no signal was pending (microseconds).
    idle_since: u64,
    /// Whether the command has been asked to stop, by Ctrl-Z for instance.
    is_asked_to_stop: bool,
    /// The signal that stopped the command, if it is stopped.
    stopped_by: Option<c_int>,
    ended: Option<End>,
    /// The signals that locket has received, a bit for each.
    received: u64,
}

impl Supervisor {
    /// Passes on the signals that were received before the canary was started. The child at the gate answers about them.
    fn pass_on_early_signals(&mut self, command: &Command) {
        while let Some(signal) = Signals::all().try_wait() {
            if is_own(&signal) {
                continue;
            }
            let start = Instant::now();
            let mut has_received = command.has_received(signal.number);
            while !has_received && start.elapsed() < ask_for(&signal) {
                pause();
                has_received = command.has_received(signal.number);
            }
            if !has_received {
                signal.send_to(self.command);
            }
            self.record(&signal);
            if let Some(canary) = &mut self.canary {
                canary.ask(&signal, 0); // Makes the canary forget the signal.
            }
        }
        self.idle_since = os::now();
    }

    fn wait_for_end(&mut self) -> End {
        loop {
            self.reap();
            if let Some(end) = self.ended {
                return end;
            }
            self.stop_with_command();
            if let Some((signal, since)) = self.next_signal() {
                self.pass_on(&signal, since);
            }
        }
    }

    /// Waits for a signal. Returns it with the earliest moment at which it may have been sent.
    fn next_signal(&mut self) -> Option<(Received, u64)> {
        if let Some(signal) = Signals::all().try_wait() {
            return Some((signal, self.idle_since));
        }
        self.idle_since = os::now();
        let signal = Signals::all().wait()?; // None: this process was stopped for some time.
        Some((signal, self.idle_since.max(os::now().saturating_sub(ACCEPTED_WITHIN))))
    }

    /// Sends the signal to the command, unless the command has received it already.
    fn pass_on(&mut self, signal: &Received, since: u64) {
        if is_own(signal) {
            return;
        }
        // A command that has left the group does not receive the signals of the group.
        let has_left = getpgid(Some(Pid::from_raw(self.command))) != Ok(getpgrp());
        if !has_left && self.has_command_received(signal, since) {
            self.pass_on_second(signal, since);
        } else if !is_discarded(signal) {
            signal.send_to(self.command);
        }
        self.record(signal);
    }

    /// Accepts a second pending signal of the same number. If it is the same signal, it was sent to locket as well as to the
    /// group, as timeout(1) does, and the command has received it. If not, it is passed on. Each real-time signal is a signal
    /// of its own.
    fn pass_on_second(&mut self, signal: &Received, since: u64) {
        if signal.number >= FIRST_QUEUED {
            return;
        }
        if let Some(second) = Signals::one(signal.number).try_wait() {
            if (second.code, second.sender, second.value)
                != (signal.code, signal.sender, signal.value)
            {
                self.pass_on(&second, since);
            }
        }
    }

    fn has_command_received(&mut self, signal: &Received, since: u64) -> bool {
        let start = Instant::now();
        while let Some(canary) = &mut self.canary {
            match canary.ask(signal, since.saturating_sub(SKEW_MAX)) {
                Answer::Received => return true,
                Answer::NotReceived if start.elapsed() < ask_for(signal) => pause(),
                Answer::NotReceived | Answer::Silent => return false,
                Answer::Gone => self.canary = None,
            }
        }
        is_sent_to_group(signal, self.command)
    }

    fn record(&mut self, signal: &Received) {
        self.received |= bit(signal.number);
        match signal.number {
            number if STOPPING.contains(&number) => self.is_asked_to_stop = true,
            libc::SIGCONT => self.is_asked_to_stop = false,
            _ => {}
        }
    }

    /// Reaps the children that have ended, and notes whether the command is stopped. As the first process of a container
    /// locket inherits other children too.
    fn reap(&mut self) {
        let options = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
        while let Ok(Some((pid, status))) = wait(options) {
            let pid = pid.as_raw_pid();
            if pid == self.command {
                if status.stopped() || status.continued() {
                    self.stopped_by = status.stopping_signal();
                } else {
                    self.ended = Some(end_of_status(status));
                    return;
                }
            } else if self.canary.as_ref().is_some_and(|canary| canary.pid() == pid) {
                let has_ended = !status.stopped() && !status.continued();
                self.canary = self.canary.take().filter(|_| !has_ended);
            }
        }
    }

    /// Stops this process if the command was stopped, so that the shell sees a stopped job. A command that was asked to stop
    /// may clean up first and then stop itself by SIGSTOP. A command that was not asked, and is stopped by SIGSTOP, does not
    /// stop locket.
    fn stop_with_command(&mut self) {
        let by_terminal = match self.stopped_by {
            Some(number) if STOPPING.contains(&number) => number,
            Some(libc::SIGSTOP) if self.is_asked_to_stop => libc::SIGTSTP,
            _ => return,
        };
        self.stopped_by = None;
        self.is_asked_to_stop = false;
        // This process may have received the stop signal too. It would be stopped a second time.
        for number in STOPPING {
            while let Some(signal) = Signals::one(number).try_wait() {
                if let Some(canary) = &mut self.canary {
                    canary.ask(&signal, 0);
                }
            }
        }
        os::raise_default(by_terminal);
    }

    /// Ends the canary, which has a copy of the lock's descriptor, before the lock is released.
    fn kill_canary(&mut self) {
        if let Some(canary) = self.canary.take() {
            canary.kill();
        }
    }
}

/// Returns whether a later signal has discarded this one: a stop signal discards a pending SIGCONT, and SIGCONT pending stop
/// signals (signal(7)). So the canary may never have received it, and the later signal decides the state of the command.
fn is_discarded(signal: &Received) -> bool {
    let later = Signals::pending();
    match signal.number {
        libc::SIGCONT => STOPPING.iter().any(|&number| later.contains(number)),
        number => STOPPING.contains(&number) && later.contains(libc::SIGCONT),
    }
}

/// Returns the time for which the canary is asked again about a signal that it has not received.
fn ask_for(signal: &Received) -> Duration {
    if signal.is_by_kernel() { ASK_FOR_KERNEL_SIGNAL } else { ASK_FOR }
}

fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

/// Returns whether the signal concerns this process alone: the end of a child, its own write to a pipe without a reader, its
/// own limits.
fn is_own(signal: &Received) -> bool {
    match signal.number {
        libc::SIGCHLD | libc::SIGXCPU | libc::SIGXFSZ if signal.is_by_kernel() => true,
        libc::SIGPIPE | libc::SIGXFSZ => {
            signal.is_by_kernel() || u32::try_from(signal.sender) == Ok(process::id())
        }
        _ => false,
    }
}

/// The signals that the kernel sends to the group in the foreground, or to a group that a terminal stops or hangs up.
const GROUP_SIGNALS: [c_int; 7] = [
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGCONT,
    libc::SIGWINCH,
];

/// Guesses, without a canary, whether a signal was sent to the whole group: yes for a signal of the terminal, of the command
/// or of its descendants, no for a signal of another process. If the guess is wrong, the command receives the signal twice.
fn is_sent_to_group(signal: &Received, command: pid_t) -> bool {
    if !signal.is_by_kernel() {
        let [sender, command] = [signal.sender, command].map(pid_t::unsigned_abs);
        return processes::descends_from(sender, command);
    }
    match signal.number {
        // A terminal that hangs up signals the session leader alone.
        libc::SIGHUP => getsid(None) != Ok(getpid()),
        number => GROUP_SIGNALS.contains(&number),
    }
}
