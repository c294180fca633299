//! L15, by means of the canary: a signal reaches the command once,
//! - each signal of a burst of real-time signals, as many as the system queues;
//! - while the canary is stopped, or is kept from running in another way.

#![allow(unsafe_code)]

use std::ptr;

use rustix::process::{Resource, getrlimit};

use crate::running::pending;
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
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", counter.canary));
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
