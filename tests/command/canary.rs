//! L15, by means of the canary: a signal reaches the command once,
//! - each signal of a burst of real-time signals, as many as the system queues;
//! - while the canary is stopped, or is kept from running in another way.

#![allow(unsafe_code)]

use std::ptr;

use rustix::process::{Resource, getrlimit};

use crate::running::pending;
use crate::signals::{Counter, KILLED, LAST, QUEUED, all_signals, kill, kill_group, queue};
use crate::support::{Scratch, skip, until, until_stopped};

/// Far more than a list of fixed length would hold.
const BURST: usize = 5000;

/// The real-time signal of the bursts.
const NUMBER: i32 = 40;

fn may_wait(check: &str) -> bool {
    // The signals pending for locket, the command and the canary, and those of the user's other processes.
    let enough = u64::try_from(4 * BURST).expect("it is no large number");
    let limit = getrlimit(Resource::Sigpending).current;
    let is_enough = limit.is_none_or(|limit| limit >= enough);
    if !is_enough {
        skip(check, &format!("pending signals: {limit:?} are fewer than {enough}"));
    }
    is_enough
}

/// Starts a command and stops its locket, so that the signals that are sent now are pending together.
fn behind_stopped_locket(scratch: &Scratch) -> Counter {
    let counter = Counter::start(&scratch.lock_path(), &[], &[]);
    kill(counter.run.pid(), libc::SIGSTOP);
    until_stopped(counter.run.pid());
    counter
}

/// Checks that the command receives the burst, then SIGCONT, which continues locket, then the signals that were sent to
/// locket alone, and no signal twice.
fn assert_received(counter: &mut Counter, burst: &[(i32, i32, usize)], alone: &[usize]) {
    for &signal in burst {
        assert_eq!(counter.next("of a burst"), signal);
    }
    queue(counter.run.pid(), LAST, 0);
    kill(counter.run.pid(), libc::SIGCONT);
    assert_eq!(counter.next("after the burst").0, libc::SIGCONT);
    for &value in alone {
        assert_eq!(counter.next("to locket alone"), (NUMBER, QUEUED, value));
    }
    assert_eq!(counter.next("a signal came twice").0, LAST);
    counter.run.hang_up();
    assert_eq!(counter.run.wait().code(), Some(0));
}

/// Sends a signal with this value to locket, the canary and the command.
fn queue_to_each(counter: &Counter, value: usize) {
    for process in [counter.run.pid(), counter.canary, counter.command] {
        queue(process, NUMBER, value);
    }
}

#[test]
fn l15_a_burst_of_values_to_each_process() {
    if !may_wait("l15_a_burst_of_values_to_each_process") {
        return;
    }
    let scratch = Scratch::new();
    let mut counter = behind_stopped_locket(&scratch);
    (1..=BURST).for_each(|value| queue_to_each(&counter, value));
    let burst: Vec<_> = (1..=BURST).map(|value| (NUMBER, QUEUED, value)).collect();
    assert_received(&mut counter, &burst, &[]);
}

#[test]
fn l15_a_burst_to_the_group() {
    if !may_wait("l15_a_burst_to_the_group") {
        return;
    }
    let scratch = Scratch::new();
    let mut counter = behind_stopped_locket(&scratch);
    (0..BURST).for_each(|_| kill_group(counter.run.pid(), NUMBER));
    assert_received(&mut counter, &vec![(NUMBER, KILLED, 0); BURST], &[]);
}

/// Some signals are sent to locket alone. They are not mistaken for those that all processes get.
#[test]
fn l15_a_burst_to_the_group_and_to_locket() {
    if !may_wait("l15_a_burst_to_the_group_and_to_locket") {
        return;
    }
    let scratch = Scratch::new();
    let mut counter = behind_stopped_locket(&scratch);
    let mut alone = vec![];
    for value in 1..=BURST {
        queue_to_each(&counter, value);
        if value % 1000 == 0 {
            queue(counter.run.pid(), NUMBER, BURST + value);
            alone.push(BURST + value);
        }
    }
    let burst: Vec<_> = (1..=BURST).map(|value| (NUMBER, QUEUED, value)).collect();
    assert_received(&mut counter, &burst, &alone);
}

/// locket continues the canary when it needs it.
#[test]
fn l15_sent_while_the_canary_is_stopped() {
    let scratch = Scratch::new();
    let mut counter = Counter::start(&scratch.lock_path(), &[], &[]);
    for number in all_signals() {
        for (to, send) in [("locket", kill as fn(u32, i32)), ("the group", kill_group)] {
            kill(counter.canary, libc::SIGSTOP);
            until_stopped(counter.canary);
            send(counter.run.pid(), number);
            assert_eq!(counter.next("beside a stopped canary").0, number);
            // locket has handled it, so the next one is not taken for the second signal of timeout(1).
            until("locket has handled it", || pending(counter.run.pid()) == 0);
            queue(counter.run.pid(), LAST, 0);
            assert_eq!(
                counter.next("a signal came twice").0,
                LAST,
                "{number}, to {to}: it came twice"
            );
        }
    }
    counter.run.hang_up();
    assert_eq!(counter.run.wait().code(), Some(0));
}

/// The signals would fill the channel to the canary, if locket asked about each of them. The first is delayed by a second.
#[test]
fn l15_sent_while_the_canary_is_traced() {
    const CHECK: &str = "l15_sent_while_the_canary_is_traced";
    let scratch = Scratch::new();
    let mut counter = Counter::start(&scratch.lock_path(), &[], &[]);
    let Some(traced) = Traced::stop(counter.canary) else {
        return skip(CHECK, "ptrace: this process may not trace");
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
    until("the canary is idle", || is_asleep(counter.canary));
    for number in all_signals() {
        kill_group(counter.run.pid(), number);
        assert_eq!(counter.next("with an answer").0, number);
        queue(counter.run.pid(), LAST, 0);
        assert_eq!(counter.next("a signal came twice").0, LAST);
    }
    counter.run.hang_up();
    assert_eq!(counter.run.wait().code(), Some(0));
}

fn is_asleep(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"));
    stat.is_ok_and(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S')))
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
