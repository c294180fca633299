//! L15, by means of the canary: a signal reaches the command once,
//! - each signal of a burst of real-time signals, as many as the system queues;
//! - while the canary is stopped, or is kept from running in another way.
//!
//! The canary is not named locket, and ends with the command. Both are reaped. The command runs without a canary too.

#![allow(unsafe_code)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::{fs, ptr};

use nix::sys::signal::Signal;
use rustix::process::{Resource, getrlimit};

use crate::lock_file::{LOCKET, LockFile, has, is_free};
use crate::running::{Running, children, is_there, pending, pid, start};
use crate::signals::{Counter, KILLED, LAST, QUEUED, all_signals, kill, kill_group, queue};
use crate::support::{skip, until, until_stopped};

/// Far more than a list of fixed length would hold.
const BURST: usize = 5000;

/// The real-time signal of the bursts.
const NUMBER: i32 = 40;

/// Sends a burst while locket is stopped, so that the signals are pending together. `send` sends the signals with one value,
/// and returns the one that it sent to locket alone. Checks that the command receives the burst, then SIGCONT, which
/// continues locket, then the signals that were sent to locket alone, and no signal twice.
#[track_caller]
fn burst(
    check: &str,
    send: impl Fn(&Counter, usize) -> Option<usize>,
    expect: impl Fn(usize) -> (i32, usize),
) {
    // The signals pending for locket, the command and the canary, and those of the user's other processes.
    let enough = u64::try_from(4 * BURST).expect("it is no large number");
    let limit = getrlimit(Resource::Sigpending).current;
    if limit.is_some_and(|limit| limit < enough) {
        return skip(check, &format!("pending signals: {limit:?} are fewer than {enough}"));
    }
    let counter = Counter::start(&[], &[]);
    kill(counter.run.pid(), libc::SIGSTOP);
    until_stopped(counter.run.pid());
    let alone: Vec<usize> = (1..=BURST).filter_map(|value| send(&counter, value)).collect();
    for value in 1..=BURST {
        let (how, value) = expect(value);
        assert_eq!(counter.next("of a burst"), (NUMBER, how, value));
    }
    queue(counter.run.pid(), LAST, 0);
    kill(counter.run.pid(), libc::SIGCONT);
    assert_eq!(counter.next("after the burst").0, libc::SIGCONT);
    for value in alone {
        assert_eq!(counter.next("to locket alone"), (NUMBER, QUEUED, value));
    }
    assert_eq!(counter.next("a signal came twice").0, LAST);
    counter.end();
}

/// Some signals are sent to locket alone. They are not mistaken for those that all processes get.
#[test]
fn l15_a_burst_of_values_to_each_process_and_to_locket() {
    let send = |counter: &Counter, value| {
        for process in [counter.run.pid(), counter.canary, counter.command] {
            queue(process, NUMBER, value);
        }
        let alone = (value % 1000 == 0).then_some(BURST + value);
        alone.inspect(|&value| queue(counter.run.pid(), NUMBER, value))
    };
    burst("l15_a_burst_of_values_to_each_process_and_to_locket", send, |value| (QUEUED, value));
}

#[test]
fn l15_a_burst_to_the_group() {
    let send = |counter: &Counter, _| {
        kill_group(counter.run.pid(), NUMBER);
        None
    };
    burst("l15_a_burst_to_the_group", send, |_| (KILLED, 0));
}

/// locket continues the canary when it needs it.
#[test]
fn l15_sent_while_the_canary_is_stopped() {
    let counter = Counter::start(&[], &[]);
    for number in all_signals() {
        for (to, send) in [("locket", kill as fn(u32, i32)), ("the group", kill_group)] {
            kill(counter.canary, libc::SIGSTOP);
            until_stopped(counter.canary);
            send(counter.run.pid(), number);
            assert_eq!(counter.next("beside a stopped canary").0, number);
            // locket has handled it, so the next one is not taken for the second signal of timeout(1).
            until("locket has handled it", || pending(counter.run.pid()) == 0);
            queue(counter.run.pid(), LAST, 0);
            assert_eq!(counter.next("last").0, LAST, "{number}, to {to}: it came twice");
        }
    }
    counter.end();
}

/// The signals would fill the channel to the canary, if locket asked about each of them. The first is delayed by a second.
#[test]
fn l15_sent_while_the_canary_is_traced() {
    let counter = Counter::start(&[], &[]);
    let Some(traced) = Traced::stop(counter.canary) else {
        let check = "l15_sent_while_the_canary_is_traced";
        return skip(check, "ptrace: this process may not trace");
    };
    for value in 1..=BURST {
        queue(counter.run.pid(), NUMBER, value);
        if value % 100 == 0 {
            until("locket has handled them", || pending(counter.run.pid()) == 0);
        }
    }
    for value in 1..=BURST {
        assert_eq!(counter.next("without an answer"), (NUMBER, QUEUED, value));
    }
    drop(traced);
    until("the canary is idle", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", counter.canary));
        stat.is_ok_and(|stat| stat.contains(") S "))
    });
    for number in all_signals() {
        kill_group(counter.run.pid(), number);
        assert_eq!(counter.next("with an answer").0, number);
        queue(counter.run.pid(), LAST, 0);
        assert_eq!(counter.next("a signal came twice").0, LAST);
    }
    counter.end();
}

/// A process that is stopped by ptrace(2). No signal continues it.
struct Traced(libc::pid_t);

impl Traced {
    fn stop(process: u32) -> Option<Self> {
        let process: libc::pid_t = process.try_into().expect("a process id fits into i32");
        let none = ptr::null_mut::<libc::c_void>();
        // SAFETY: the requests use no memory of this process.
        unsafe {
            if libc::ptrace(libc::PTRACE_SEIZE, process, none, none) != 0 {
                return None;
            }
            assert_eq!(libc::ptrace(libc::PTRACE_INTERRUPT, process, none, none), 0);
            assert_eq!(libc::waitpid(process, ptr::null_mut(), libc::__WALL), process);
        }
        Some(Self(process))
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        let none = ptr::null_mut::<libc::c_void>();
        // SAFETY: the request uses no memory of this process.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, none, none) };
    }
}

/// Returns the command and the canary of a locket whose command prints its process id.
#[track_caller]
fn canary(run: &Running) -> (u32, u32) {
    let command: u32 = run.line().parse().expect("it is a number");
    let canary = children(run.pid()).into_iter().find(|&child| child != command);
    (command, canary.expect("there is a canary"))
}

#[test]
fn the_canary_is_not_called_locket() {
    let lock = LockFile::new();
    let run = start(&[], &lock, &["sh", "-c", "echo $$; read _; :", "some words"]);
    let (command, canary_id) = canary(&run);
    let read = |process: u32, what: &str| {
        let text = fs::read(format!("/proc/{process}/{what}")).expect("it should exist");
        let text = String::from_utf8_lossy(&text).into_owned();
        text.trim_end().split('\0').filter(|it| !it.is_empty()).collect::<Vec<_>>().join(" ")
    };
    until("the canary has its name", || read(canary_id, "comm") == "canary");
    until("the canary has its command line", || {
        let words = read(canary_id, "cmdline");
        words.starts_with("canary ") && words.ends_with("some words") && !words.contains("locket")
    });
    until("the canary has closed other descriptors", || {
        fs::read_dir(format!("/proc/{canary_id}/fd")).expect("it should exist").count() <= 4
    });
    let directory = fs::read_link(format!("/proc/{canary_id}/cwd")).expect("it should exist");
    assert_eq!(directory, Path::new("/"));
    if has("the_canary_is_not_called_locket", "pgrep --version") {
        let found = |arguments: &[&str]| {
            let group = run.pid().to_string();
            let output = Command::new("pgrep").args(["-g", &group]).args(arguments).output();
            let text = String::from_utf8_lossy(&output.expect("it should run").stdout).into_owned();
            let found = text.lines().map(|line| line.parse::<u32>().expect("it is a number"));
            found.collect::<BTreeSet<_>>()
        };
        assert_eq!(found(&["locket"]), [run.pid()].into());
        assert_eq!(found(&["-f", "locket-command run"]), [run.pid()].into());
        // A pattern that finds locket and the command finds the canary too.
        assert_eq!(found(&["-f", "some words"]), [run.pid(), command, canary_id].into());
    }
    run.end();
    assert!(!is_there(canary_id));

    // The canary's command line has the string of `-c`, wherever that stands in locket's, and not the shell.
    let mut command = Command::new(LOCKET);
    command.args(["run", &lock, "-c", "echo $$; read some_word; :", "-w", "1h"]);
    let run = Running::start(command.env("SHELL", "/bin/sh"));
    let (_, canary) = canary(&run);
    until("the canary has its command line", || {
        read(canary, "cmdline") == "canary echo $$; read some_word; :"
    });
}

/// If no process can be created for the canary, the command runs nevertheless.
#[test]
fn without_a_canary_the_command_runs() {
    needs!("strace -qq true");
    let lock = LockFile::new();
    let mut command = Command::new("strace");
    // strace stops threads at each signal, so it traces only the calls that matter.
    command.args(["-qq", "-o", "/dev/null", "-e", "trace=clone,fork", "-e", "signal=none"]);
    command.args(["-e", "inject=clone,fork:error=EAGAIN:when=2+", LOCKET, "run", "-o", &lock]);
    let listen = "trap 'echo term; exit 3' TERM; echo $$; while :; do sleep 0.01; done";
    command.args(["sh", "-c", listen]);
    let mut run = Running::start(&mut command);
    let command: u32 = run.line().parse().expect("it is a number");
    let locket = children(run.pid())[0];
    assert_eq!(children(locket), [command]);
    assert!(!is_free(&lock));
    // A signal of another process is passed on.
    nix::sys::signal::kill(pid(locket), Signal::SIGTERM).expect("it should exist");
    assert_eq!(run.line(), "term");
    assert_eq!(run.wait().code(), Some(3));
    assert!(is_free(&lock));
}

/// The first process of a container need not reap the orphans that become its children.
#[test]
fn the_command_and_the_canary_are_reaped() {
    needs!("strace -qq true");
    let lock = LockFile::new();
    let options = ["-e", "trace=wait4", "-e", "signal=none"];
    let (run, log) = lock.strace(&options, &["run", &lock, "true"]);
    run.code(0);
    let reaped = |how: &str| log.lines().filter(|line| line.contains(how)).count();
    assert_eq!((reaped("WIFEXITED(s)"), reaped("WTERMSIG(s) == SIGKILL")), (1, 1), "{log}");
}
