//! locket stays beside the command: it holds the lock until the command has ended, stands in for the command
//! towards the process that started locket, and ends as the command ended.
//!
//! All signals are blocked and then taken one by one. So the actions that the caller has set, an ignored SIGHUP of
//! nohup(1) for instance, stay as they are and reach the command, and nothing but KILL ends locket before the
//! command. locket, the canary and the command stay in the caller's process group: a group of their own would be
//! in the background of the terminal.

use std::ffi::{OsStr, OsString, c_int};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::process;
use std::time::{Duration, Instant};

use libc::pid_t;
use nix::unistd::{Pid, getpgid, getpgrp, getpid, getsid};
use rustix::process::{WaitOptions, wait};

use super::super::hold::Hold;
use super::super::other;
use super::super::program::{Inheritance, Program};
use super::super::voice::say;
use super::canary::{APART, Canary, Charge, STOPPING, Witness};
use super::command::{Command, Passing, Prepared};
use super::ended::{End, Ended, bit, end_of_status};
use super::os::{self, Received, Signals};
use super::seen::FIRST_QUEUED;

/// How much time a signal may take from one process to the other of those that it was sent to.
const PATIENCE: Duration = Duration::from_micros(APART);

/// The kernel signals a group in one go.
const PATIENCE_WITH_KERNEL: Duration = Duration::from_millis(2);

/// A signal that was blocked is taken after this time at the latest, on a machine that is busy. In microseconds.
const TAKEN_WITHIN: u64 = 500_000;

/// Runs the command under the lock, and returns how it ended.
///
/// # Errors
///
/// Why it was not started. The lock is given up then.
pub(super) fn run(
    hold: Hold,
    program: Program<'_>,
    arguments: &[OsString],
    inheritance: Inheritance,
) -> io::Result<Ended> {
    let prepared = Prepared::new(arguments)?;
    // If the caller ignores it, the system keeps no status of a child.
    os::reset(libc::SIGCHLD);
    let mask = Signals::all().block();

    let words = words_in_command_line(program);
    if let Hold::File(guard) = &hold {
        // Children would close their copies when they are born.
        guard.inherit_on_fork();
    }
    let started = Command::start(&prepared, mask, passing(&hold, inheritance));
    let command = started.inspect_err(|_| mask.set_mask())?;
    let charge = Charge {
        lock: hold.as_fd(),
        command: command.pid(),
        end_of_command: end_of(command.pid()),
        words: &words,
    };
    let canary = Canary::start(&charge).map_err(say_missed).ok();
    let mut supervisor = Supervisor {
        command: command.pid(),
        canary,
        resting_since: os::now(),
        may_stop: false,
        stopped_by: None,
        ended: None,
        came: 0,
    };
    supervisor.pass_on_early_signals(&command);
    command.may_go();
    let end = supervisor.wait_for_end();
    supervisor.dismiss_canary();

    match inheritance {
        // Closed, not unlocked, at the end of this process: what the command left running may hold the lock still.
        Inheritance::Inherited | Inheritance::As(_) => hold.leave(),
        Inheritance::KeptBack => drop(hold),
    }
    match command.error() {
        Some(error) => Err(error),
        None => Ok(Ended { end, came: supervisor.came }),
    }
}

fn passing(hold: &Hold, inheritance: Inheritance) -> Passing<'_> {
    match (inheritance, hold) {
        (Inheritance::Inherited, Hold::Inherited(_)) => Passing::AsItIs,
        (Inheritance::KeptBack, Hold::Inherited(fd)) => Passing::Close(fd.as_raw_fd()),
        (Inheritance::Inherited, hold) => Passing::Copy(hold.as_fd()),
        (Inheritance::KeptBack, _) => Passing::AsItIs,
        (Inheritance::As(number), hold) => Passing::As(hold.as_fd(), number),
    }
}

/// Each with a NUL at its end. The shell of a string is not in locket's command line.
fn words_in_command_line(program: Program<'_>) -> Vec<u8> {
    let with_nul = |word: &OsStr| [word.as_bytes(), b"\0"].concat();
    match program {
        Program::Arguments(words) => words.iter().flat_map(|it| with_nul(it)).collect(),
        Program::Shell(string) => with_nul(string),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "as an error is passed on")]
fn say_missed(error: io::Error) {
    say(format_args!(
        "cannot start the canary: {error}: if locket is killed, a lock that is not inherited is free; \
         a signal to the whole group may reach the command twice"
    ));
}

/// A descriptor that can be read when the process has ended, where the system has such a thing.
#[cfg(target_os = "linux")]
fn end_of(process: pid_t) -> Option<std::os::fd::OwnedFd> {
    let process = rustix::process::Pid::from_raw(process)?;
    rustix::process::pidfd_open(process, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn end_of(_process: pid_t) -> Option<std::os::fd::OwnedFd> {
    None
}

struct Supervisor {
    command: pid_t,
    canary: Option<Canary>,
    /// Since when there was no signal to be taken (microseconds).
    resting_since: u64,
    /// The command has been asked to stop: by Ctrl-Z, for instance.
    may_stop: bool,
    /// By which signal it was stopped, if it is.
    stopped_by: Option<c_int>,
    ended: Option<End>,
    /// The signals that were sent to locket, a bit for each.
    came: u64,
}

impl Supervisor {
    /// Decides about the signals that came before the canary was there. The command is a witness itself.
    fn pass_on_early_signals(&mut self, command: &Command) {
        while let Some(signal) = Signals::all().take() {
            if is_own(&signal) {
                continue;
            }
            let start = Instant::now();
            let mut has_it = command.has_been_sent(signal.number);
            while !has_it && start.elapsed() < patience_for(&signal) {
                pause();
                has_it = command.has_been_sent(signal.number);
            }
            if !has_it {
                signal.send_to(self.command);
            }
            self.note(&signal);
            if let Some(canary) = &mut self.canary {
                canary.ask(&signal, 0); // It is dealt with.
            }
        }
        self.resting_since = os::now();
    }

    fn wait_for_end(&mut self) -> End {
        loop {
            self.reap();
            if let Some(end) = self.ended {
                return end;
            }
            self.stop_with_command();
            if let Some((signal, since)) = self.take() {
                self.pass_on(&signal, since);
            }
        }
    }

    /// Waits for a signal, and tells since when at the latest it may have been waiting to be taken.
    fn take(&mut self) -> Option<(Received, u64)> {
        if let Some(signal) = Signals::all().take() {
            return Some((signal, self.resting_since));
        }
        self.resting_since = os::now();
        let signal = Signals::all().wait()?; // None: this process was stopped for some time.
        Some((signal, self.resting_since.max(os::now().saturating_sub(TAKEN_WITHIN))))
    }

    /// Sends the signal to the command, unless it has been sent to it already.
    fn pass_on(&mut self, signal: &Received, since: u64) {
        if is_own(signal) {
            return;
        }
        // A command that has left the group gets nothing that the group gets.
        let has_left = getpgid(Some(Pid::from_raw(self.command))) != Ok(getpgrp());
        if !has_left && self.has_come_to_command(signal, since) {
            self.pass_on_second(signal, since);
        } else if !is_annulled(signal) {
            signal.send_to(self.command);
        }
        self.note(signal);
    }

    /// A second one that is the same was sent to locket as well as to the group (timeout(1)): the command has had it.
    /// One that is not the same is another. (Of a real-time signal each is another.)
    fn pass_on_second(&mut self, signal: &Received, since: u64) {
        if signal.number >= FIRST_QUEUED {
            return;
        }
        if let Some(second) = Signals::one(signal.number).take() {
            if (second.code, second.sender, second.value)
                != (signal.code, signal.sender, signal.value)
            {
                self.pass_on(&second, since);
            }
        }
    }

    fn has_come_to_command(&mut self, signal: &Received, since: u64) -> bool {
        let start = Instant::now();
        while let Some(canary) = &mut self.canary {
            match canary.ask(signal, since.saturating_sub(APART)) {
                Witness::HasIt => return true,
                Witness::HasItNot if start.elapsed() < patience_for(signal) => pause(),
                Witness::HasItNot | Witness::Silent => return false,
                Witness::Gone => self.canary = None,
            }
        }
        has_come_to_all(signal, self.command)
    }

    fn note(&mut self, signal: &Received) {
        self.came |= bit(signal.number);
        match signal.number {
            number if STOPPING.contains(&number) => self.may_stop = true,
            libc::SIGCONT => self.may_stop = false,
            _ => {}
        }
    }

    /// Looks what has become of the children. As the first process of a container locket has others, too.
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
                let is_gone = !status.stopped() && !status.continued();
                self.canary = self.canary.take().filter(|_| !is_gone);
            }
        }
    }

    /// Stops this process if the command was stopped, so that the shell sees a stopped job. A command that cleans up
    /// first may stop itself by SIGSTOP in the end; one that is stopped by SIGSTOP out of the blue is none of the
    /// shell's business.
    fn stop_with_command(&mut self) {
        let by_terminal = match self.stopped_by {
            Some(number) if STOPPING.contains(&number) => number,
            Some(libc::SIGSTOP) if self.may_stop => libc::SIGTSTP,
            _ => return,
        };
        self.stopped_by = None;
        self.may_stop = false;
        // What stopped the command may have come to this process too. It would stop it twice.
        for number in STOPPING {
            while let Some(signal) = Signals::one(number).take() {
                if let Some(canary) = &mut self.canary {
                    canary.ask(&signal, 0);
                }
            }
        }
        os::suffer(by_terminal);
    }

    /// Before the lock is given up: the canary has a copy of it.
    fn dismiss_canary(&mut self) {
        if let Some(canary) = self.canary.take() {
            canary.kill();
        }
    }
}

/// A signal that stops a process discards a SIGCONT that it has not taken yet, and the other way round (signal(7)).
/// So one may never have come to the canary, and the command is as the later one has it.
fn is_annulled(signal: &Received) -> bool {
    let later = Signals::pending();
    match signal.number {
        libc::SIGCONT => STOPPING.iter().any(|&number| later.contains(number)),
        number => STOPPING.contains(&number) && later.contains(libc::SIGCONT),
    }
}

fn patience_for(signal: &Received) -> Duration {
    if signal.is_by_kernel() { PATIENCE_WITH_KERNEL } else { PATIENCE }
}

fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

/// Is it about this process alone? The command's end; what this process runs into by itself: a pipe without a
/// reader, its limits.
fn is_own(signal: &Received) -> bool {
    match signal.number {
        libc::SIGCHLD | libc::SIGXCPU | libc::SIGXFSZ if signal.is_by_kernel() => true,
        libc::SIGPIPE | libc::SIGXFSZ => {
            signal.is_by_kernel() || u32::try_from(signal.sender) == Ok(process::id())
        }
        _ => false,
    }
}

/// What the kernel sends to the group in the foreground, or to one that a terminal stops or hangs up.
const OF_GROUPS: [c_int; 7] = [
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGCONT,
    libc::SIGWINCH,
];

/// A guess, without a canary: what the terminal and the command itself send, they send to all of the group; what
/// another process sends is taken to be meant for locket. If it was sent to the group, the command gets it twice.
fn has_come_to_all(signal: &Received, command: pid_t) -> bool {
    if !signal.is_by_kernel() {
        let [sender, command] = [signal.sender, command].map(pid_t::unsigned_abs);
        return other::descends_from(sender, command);
    }
    match signal.number {
        // A terminal that hangs up signals the first process of its session alone.
        libc::SIGHUP => getsid(None) != Ok(getpid()),
        number => OF_GROUPS.contains(&number),
    }
}
