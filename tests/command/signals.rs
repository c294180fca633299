//! L15: a signal reaches the command once,
//! - sent to locket alone, to its process group by another process or by the command, to each process of the control group
//!   in any order, or as timeout(1) sends it: to locket, and then to the group;
//! - for each signal, and with the values of real-time signals;
//! - also to a command in a session of its own;
//! - at any moment, from the start on.
//!
//! An ignored signal stays ignored. Without the canary, locket assumes that a signal of the terminal or of the command has
//! reached the command, and passes all others on.

#![allow(unsafe_code)]

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::lock_file::{LOCKET, LockFile, is_free};
use crate::running::{Running, children, pending, start};
use crate::support::until;

const PEER: &str = env!("CARGO_BIN_EXE_locket-peer");

/// The number of trials of each way to send a signal.
const TRIALS: usize = if cfg!(feature = "stress") { 500 } else { 60 };

/// `SI_USER` and `SI_QUEUE`: the signal was sent by kill(2), or by sigqueue(3) with a value.
pub(crate) const KILLED: i32 = 0;
pub(crate) const QUEUED: i32 = -1;

/// A real-time signal that is sent last.
pub(crate) const LAST: i32 = 60;

/// Returns every signal that can be caught, but SIGCHLD, which each process gets about its own children; and some of the
/// real-time signals. (The C library reserves 32 and 33.)
pub(crate) fn all_signals() -> impl Iterator<Item = i32> + Clone {
    let uncaught = [libc::SIGKILL, libc::SIGSTOP, libc::SIGCHLD];
    (1..=31).filter(move |it| !uncaught.contains(it)).chain([35, 40, 50])
}

/// A command under locket that prints the signals that it gets.
pub(crate) struct Counter {
    pub(crate) run: Running,
    pub(crate) command: u32,
    pub(crate) canary: u32,
    _lock: LockFile,
}

impl Counter {
    #[track_caller]
    pub(crate) fn start(options: &[&str], launcher: &[&str]) -> Self {
        let lock = LockFile::new();
        let run = start(options, &lock, &[launcher, &[PEER, "signals"]].concat());
        let ready = run.line();
        let command = ready.strip_prefix("ready ").and_then(|it| it.parse().ok());
        let command = command.unwrap_or_else(|| panic!("unexpected line {ready:?}"));
        let canary = children(run.pid()).into_iter().find(|&child| child != command);
        let canary = canary.expect("the canary starts before the command");
        Self { run, command, canary, _lock: lock }
    }

    /// Returns the next signal that the command prints: its number, how it was sent, its value.
    #[track_caller]
    pub(crate) fn next(&self, what: &str) -> (i32, i32, usize) {
        let line = self.run.line();
        let parsed = || {
            let mut words = line.split(' ');
            let (number, how) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
            Some((number, how, words.next()?.parse().ok()?))
        };
        parsed().unwrap_or_else(|| panic!("{what}: unexpected line {line:?}"))
    }

    /// Ends the command. It got no other signal.
    #[track_caller]
    pub(crate) fn end(mut self) {
        self.run.hang_up();
        assert_eq!(self.run.wait().code(), Some(0));
        assert_eq!(self.run.rest(), [""; 0]);
    }

    fn each(&self) -> [u32; 3] {
        [self.run.pid(), self.canary, self.command]
    }

    /// Sends signals in this way, one after another. Each arrives, and none twice.
    #[track_caller]
    fn check(
        mut self,
        signals: impl Iterator<Item = i32> + Clone,
        what: &str,
        send: impl Fn(&mut Self, i32),
    ) {
        // On a busy machine the sending can take longer than the promise covers. Then a signal may come twice.
        let mut slow = vec![];
        for number in signals.cycle().take(TRIALS) {
            let start = Instant::now();
            send(&mut self, number);
            let is_slow = start.elapsed() > Duration::from_millis(10);
            assert_eq!(self.next_but(&mut slow, number, what), number, "{what}");
            slow.extend(is_slow.then_some(number));
        }
        // locket handles the last signal after all others.
        queue(self.run.pid(), LAST, 0);
        assert_eq!(self.next_but(&mut slow, LAST, what), LAST, "{what}: a signal came twice");
        self.run.hang_up();
        assert_eq!(self.run.wait().code(), Some(0));
    }

    /// Returns the next signal. Skips the second copy of one that was sent slowly.
    #[track_caller]
    fn next_but(&self, slow: &mut Vec<i32>, expected: i32, what: &str) -> i32 {
        loop {
            let received = self.next(what).0;
            match slow.iter().position(|&number| received != expected && number == received) {
                Some(at) => slow.remove(at),
                None => return received,
            };
        }
    }
}

pub(crate) fn kill(process: u32, number: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::kill(process.try_into().expect("a process id fits into i32"), number) };
}

pub(crate) fn kill_group(group: u32, number: i32) {
    // SAFETY: no memory is involved.
    unsafe { libc::killpg(group.try_into().expect("a process id fits into i32"), number) };
}

pub(crate) fn queue(process: u32, number: i32, value: usize) {
    let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(value) };
    let process = process.try_into().expect("a process id fits into i32");
    // SAFETY: the value is passed on and never used as a pointer.
    assert_eq!(unsafe { libc::sigqueue(process, number, value) }, 0, "signal {number}");
}

#[track_caller]
fn check(what: &str, options: &[&str], send: impl Fn(&mut Counter, i32)) {
    Counter::start(options, &[]).check(all_signals(), what, send);
}

#[test]
fn l15_sent_to_locket() {
    check("kill(locket)", &[], |it, number| kill(it.run.pid(), number));
    check("kill(locket), -o", &["-o"], |it, number| kill(it.run.pid(), number));
}

#[test]
fn l15_sent_to_the_group() {
    check("kill(-group)", &[], |it, number| kill_group(it.run.pid(), number));
    check("kill(-group), -o", &["-o"], |it, number| kill_group(it.run.pid(), number));
    check("kill(0) by the command", &[], |it, number| it.run.tell(&format!("group {number}")));
}

#[test]
fn l15_sent_to_each_process() {
    check("each, locket first", &[], |it, number| {
        it.each().into_iter().for_each(|process| kill(process, number));
    });
    check("each, locket last", &[], |it, number| {
        it.each().into_iter().rev().for_each(|process| kill(process, number));
    });
    check("each, after a while", &[], |it, number| {
        for process in [it.run.pid(), it.command, it.canary] {
            kill(process, number);
            thread::sleep(Duration::from_millis(2));
        }
    });
}

/// Two copies of a real-time signal would be two signals, so only standard signals are sent.
#[test]
fn l15_sent_as_timeout_does() {
    let standard = all_signals().filter(|&number| number < 32);
    Counter::start(&[], &[]).check(standard, "kill(locket), kill(-group)", |it, number| {
        kill(it.run.pid(), number);
        kill_group(it.run.pid(), number);
    });
}

#[test]
fn l15_sent_with_a_value() {
    let counter = Counter::start(&[], &[]);
    for (value, number) in all_signals().cycle().take(TRIALS).enumerate() {
        queue(counter.run.pid(), number, value);
        assert_eq!(counter.next("sigqueue(locket)"), (number, QUEUED, value));
    }
    // The kernel queues each copy of a real-time signal, and delivers them in order (signal(7)).
    for value in 1..=20 {
        queue(counter.run.pid(), 40, value);
    }
    for value in 1..=20 {
        assert_eq!(counter.next("sigqueue(locket)"), (40, QUEUED, value));
    }
    counter.end();
}

/// Some signals go to the group and some to locket alone, at the same time. None is mistaken for another.
#[test]
fn l15_sent_with_values_to_locket_and_to_each() {
    let counter = Counter::start(&[], &[]);
    for round in 0..TRIALS / 10 {
        let value = round * 10;
        for process in counter.each() {
            queue(process, 45, value + 1);
        }
        queue(counter.run.pid(), 45, value + 2);
        kill(counter.run.pid(), 45);
        let mut received = [(); 3].map(|()| counter.next("to locket and to each"));
        received.sort_unstable();
        assert_eq!(received, [(45, QUEUED, value + 1), (45, QUEUED, value + 2), (45, KILLED, 0)]);
    }
    counter.end();
}

/// A signal to the group does not reach the command, so locket passes it on.
#[test]
fn l15_sent_to_a_command_in_a_session_of_its_own() {
    needs!("setsid --version");
    let check = |what: &str, send: fn(u32, i32)| {
        let counter = Counter::start(&[], &["setsid"]);
        counter.check(all_signals(), what, |it, number| send(it.run.pid(), number));
    };
    check("setsid, kill(locket)", kill);
    check("setsid, kill(-group)", kill_group);
}

/// A signal that was sent to the canary alone is not mistaken for one that is sent to locket later.
#[test]
fn l15_sent_to_the_canary_alone_before() {
    let counter = Counter::start(&[], &[]);
    for number in [libc::SIGTERM, 40] {
        kill(counter.canary, number);
        until("the canary has handled it", || pending(counter.canary) == 0);
        // Signals to all processes arrive within a shorter time.
        thread::sleep(Duration::from_millis(600));
        kill(counter.run.pid(), number);
        assert_eq!(counter.next("after the canary").0, number);
    }
}

/// After the canary was killed, signals are passed on nevertheless.
#[test]
fn l15_sent_when_the_canary_was_killed() {
    let counter = Counter::start(&[], &[]);
    kill(counter.canary, libc::SIGKILL);
    until("the canary is reaped", || children(counter.run.pid()) == [counter.command]);
    for number in all_signals() {
        kill(counter.run.pid(), number);
        assert_eq!(counter.next("without a canary").0, number);
    }
}

/// A signal is sent to locket alone while the whole group is stopped.
#[test]
fn l15_sent_to_a_stopped_group() {
    let counter = Counter::start(&[], &[]);
    kill_group(counter.run.pid(), libc::SIGSTOP);
    kill(counter.run.pid(), libc::SIGTERM);
    kill(counter.run.pid(), libc::SIGCONT);
    let mut received = [counter.next("stopped").0, counter.next("stopped").0];
    received.sort_unstable();
    assert_eq!(received, [libc::SIGTERM, libc::SIGCONT]);
}

/// The signal is sent at a random moment: before the command begins, while it begins, or after.
#[test]
fn l15_sent_while_the_command_begins() {
    let lock = LockFile::new();
    for turn in 0..TRIALS * 2 {
        let mut run = start(&[], &lock, &[PEER, "signals"]);
        thread::sleep(Duration::from_micros(50 * (turn as u64 / 2 % 80)));
        match turn % 2 {
            0 => kill(run.pid(), libc::SIGTERM),
            _ => kill_group(run.pid(), libc::SIGTERM),
        }
        let mut received = vec![];
        while let Some(line) = run.maybe_line() {
            if line.starts_with("15 ") {
                kill(run.pid(), libc::SIGUSR1);
            } else if line.starts_with("10 ") {
                run.hang_up();
            }
            received.push(line);
        }
        let status = run.wait();
        match &received[..] {
            // The signal ended locket before the command began, or the command before it could block the signal.
            [] => assert_eq!(status.signal(), Some(libc::SIGTERM), "{turn}: {status}"),
            [ready, term, usr1] => {
                assert!(ready.starts_with("ready "), "{turn}: {received:?}");
                assert!(term.starts_with("15 ") && usr1.starts_with("10 "), "{turn}: {received:?}");
                assert_eq!(status.code(), Some(0), "{turn}");
            }
            _ => panic!("{turn}: {received:?}"),
        }
        assert!(is_free(&lock));
    }
}

/// Before there is a canary, the pending signals of the command show whether it got the signal. The caller blocks a real-time
/// signal, and the kernel queues each copy of it, so a second copy would be seen.
#[test]
fn l15_sent_before_the_canary_is_there() {
    needs!("strace -qq true", "env --block-signal=40 true");
    let lock = LockFile::new();
    let script = r#"exec strace -f -qq -o /dev/null -e trace=clone,fork -e signal=none \
        -e inject=clone,fork:delay_enter=300000:when=2 env --block-signal=40 "$0" run "$@""#;
    for sent_to_both in [true, false].repeat(10) {
        let run = Running::sh(script, &[&lock, PEER, "signals"]);
        // strace has short-lived children of its own at first.
        let is_locket = |child: &u32| {
            let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            name == "locket-command\n"
        };
        let find = || children(run.pid()).into_iter().find(is_locket);
        until("locket has started", || find().is_some());
        let locket = find().expect("it was found");
        until("the command waits for its start", || !children(locket).is_empty());
        let command = children(locket)[0];
        kill(locket, 40);
        if sent_to_both {
            kill(command, 40);
        }
        // On a busy machine the canary may have been started already. Then this was no trial.
        let in_time = children(locket) == [command];
        assert!(run.line().starts_with("ready "));
        assert!(run.line().starts_with("40 "));
        queue(locket, LAST, 0);
        let next = run.line();
        assert!(next.starts_with(&LAST.to_string()) || !in_time, "twice: {next}");
        assert_eq!(run.end(), Some(0));
    }
}

#[test]
fn an_ignored_signal_stays_ignored() {
    needs!("env --ignore-signal=HUP true");
    let lock = LockFile::new();
    let mut command = Command::new("env");
    command.args(["--ignore-signal=HUP", LOCKET, "run", &lock, "sh", "-c", "echo; read _; exit 4"]);
    let run = Running::start(&mut command);
    run.line();
    kill(run.pid(), libc::SIGHUP);
    kill_group(run.pid(), libc::SIGHUP);
    // It has been handled when a later signal arrives.
    thread::sleep(Duration::from_millis(100));
    assert_eq!(run.end(), Some(4));
}
