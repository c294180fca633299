//! The system calls of a lock, counted with strace.
//!
//! - L2: a try makes one attempt and does not sleep.
//! - L4: a process that re-acquires in a loop yields to waiters from time to time.
//! - L13: every system call is counted.
#![cfg(target_os = "linux")]

use std::thread;
use std::time::Duration;

use crate::support::prelude::*;

/// A system call that the peer made between reading a request and answering it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Try,
    TryShared,
    Unlock,
    /// Asks which file the path names.
    StatPath,
    Open,
    /// Asks which file the descriptor belongs to.
    CheckDescriptor,
    /// Asks for the file system type of the descriptor.
    FileSystemType,
    Close,
    Yield,
    Other,
}

/// The shortest burst after which a process with short holds yields.
const BURST: Duration = Duration::from_millis(4);

/// What happens before the calls are counted.
#[derive(Default)]
struct Setup {
    /// Whether another process holds the lock.
    is_held: bool,
    requests: Vec<Request<&'static str>>,
}

/// Sends the setup and then the requests. Returns the calls that each request made.
fn calls_of(setup: &Setup, requests: &[Request<&str>]) -> Option<Vec<Vec<Call>>> {
    let turns = timed_calls_of(setup, requests)?;
    Some(turns.into_iter().map(|(_, calls)| calls).collect())
}

/// Like `calls_of`, and also returns how long each request took.
fn timed_calls_of(setup: &Setup, requests: &[Request<&str>]) -> Option<Vec<(Duration, Vec<Call>)>> {
    let (_scratch, path) = Scratch::with_path();
    std::fs::File::create(&path).expect("the test should own the directory");
    let mut strace = Strace::spawn(&[])?;
    strace.handle("a", &path, &[]);
    strace.handle("timed", &path, &[Timeout(600_000)]);
    strace.handle("readers", &path, &[Shared]);
    strace.handle("immediate", &path, &[Timeout(0)]);
    let mut holder = Peer::on(&path);
    if setup.is_held {
        holder.acquire("a");
    }
    for request in &setup.requests {
        strace.ok(request);
    }
    let mut times = vec![];
    for request in requests {
        let answer = strace.ask(request);
        assert!(answer.outcome.is_ok(), "{request:?}: {answer:?}");
        times.push(answer.took());
    }
    let turns = turns(&strace.end(), &path.to_string_lossy());
    Some(times.into_iter().zip(turns[turns.len() - requests.len()..].to_vec()).collect())
}

/// Splits a trace into turns. A turn is the calls between reading a request and writing its answer.
fn turns(trace: &Trace, path: &str) -> Vec<Vec<Call>> {
    let mut turns = vec![];
    let mut turn = None;
    for call in trace.calls() {
        if call.starts_with("read(0, ") {
            // The last read finds the end of the input and begins no turn.
            turn = Some(vec![]);
        } else if call.starts_with("write(1, ") {
            turns.extend(turn.take());
        } else if call.contains("F_GETFD") {
            // In a debug build std makes this call before it closes a descriptor.
        } else if cfg!(target_env = "musl") && is_for_memory(call) {
            // musl's allocator immediately returns the memory of the peer's command words.
        } else if let Some(turn) = &mut turn {
            let call = classify(call, path);
            // A yield makes two calls.
            if (turn.last(), call) != (Some(&Call::Yield), Call::Yield) {
                turn.push(call);
            }
        }
    }
    turns
}

fn is_for_memory(call: &str) -> bool {
    ["brk(", "mmap(", "munmap(", "madvise("].iter().any(|name| call.starts_with(name))
}

fn classify(call: &str, path: &str) -> Call {
    let (name, arguments) = call.split_once('(').unwrap_or((call, ""));
    match name {
        "flock" if arguments.contains("LOCK_EX|LOCK_NB") => Call::Try,
        "flock" if arguments.contains("LOCK_SH|LOCK_NB") => Call::TryShared,
        "flock" if arguments.contains("LOCK_UN") => Call::Unlock,
        "stat" | "newfstatat" | "statx" if arguments.contains(&format!("\"{path}\"")) => {
            Call::StatPath
        }
        "open" | "openat" if arguments.contains(&format!("\"{path}\"")) => Call::Open,
        "fstat" | "lseek" => Call::CheckDescriptor,
        "fstatfs" => Call::FileSystemType,
        "close" => Call::Close,
        "nanosleep" | "clock_nanosleep" => Call::Yield,
        // Before the sleep the library checks whether timer slack would prolong it.
        "prctl" if arguments.contains("PR_GET_TIMERSLACK") => Call::Yield,
        _ => Call::Other,
    }
}

#[test]
fn l4_an_acquisition_and_release_make_five_calls_and_sometimes_a_yield() {
    let cases = [
        ([Acquire("a"), Release("a")], Call::Try),
        ([Lock("a", "g"), DropGuard("g")], Call::Try),
        ([Lock("a", "g"), ReleaseGuard("g")], Call::Try),
        ([TryLock("a", "g"), DropGuard("g")], Call::Try),
        ([Acquire("timed"), Release("timed")], Call::Try),
        ([Lock("timed", "g"), DropGuard("g")], Call::Try),
        ([Acquire("readers"), Release("readers")], Call::TryShared),
        ([Acquire("immediate"), Release("a")], Call::Try),
    ];
    let requests = cases.each_ref().map(|(work, _)| repeat(1000, work.clone()));
    let warm_up = cases.each_ref().map(|(work, _)| repeat(2, work.clone()));
    let setup = Setup { requests: warm_up.into(), ..Setup::default() };
    let Some(turns) = timed_calls_of(&setup, &requests) else { return };
    let mut total_pauses = 0;
    for ((work, how), (took, calls)) in cases.into_iter().zip(turns) {
        let (pauses, calls): (Vec<_>, Vec<_>) =
            calls.into_iter().partition(|call| *call == Call::Yield);
        let pauses = pauses.len();
        total_pauses += pauses;
        // One more at the beginning, and one more if a single hold was long because the machine was busy.
        let most = took.as_micros() / BURST.as_micros() + 2;
        assert!(pauses as u128 <= most, "{work:?}: {pauses} pauses in {took:?}");
        let tries = matches!(work[0], TryLock(..) | Acquire("immediate"));
        assert!(pauses == 0 || !tries, "{work:?}: a try should not pause");
        assert_eq!(calls.len(), 5 * 1000, "{work:?}: {:?}...", &calls[..calls.len().min(20)]);
        // Before it locks and before it unlocks, the library checks that the number still is its descriptor. The host may
        // have closed it and opened another file under that number.
        let expected =
            [Call::CheckDescriptor, how, Call::StatPath, Call::CheckDescriptor, Call::Unlock];
        for five in calls.chunks(5) {
            assert_eq!(five, expected, "{work:?}");
        }
    }
    assert!(total_pauses > 0, "8000 turns under strace should be longer than one burst");
}

/// A process that has waited yields after a long hold: others wait too, and yielding costs little compared with the hold.
#[test]
fn l4_a_process_that_has_waited_yields_after_one_long_hold() {
    let Some(mut strace) = Strace::spawn(&[]) else { return };
    let (_scratch, path) = Scratch::with_path();
    strace.handle("a", &path, &[]);
    let mut holder = Peer::on(&path);
    // Several turns: a process yields only if it re-acquires immediately, and the scheduler may prevent that.
    for _ in 0..20 {
        holder.acquire("a");
        strace.start_waiting("wait", Acquire("a"), &path);
        holder.release("a");
        strace.wait_ok("wait");
        thread::sleep(Duration::from_millis(1));
        strace.repeat(1, [Release("a"), Acquire("a")]);
        strace.release("a");
    }
    assert_ne!(strace.end().count("PR_GET_TIMERSLACK"), 0);
}

#[test]
fn the_first_acquisition_opens_and_the_last_handle_closes() {
    // Another file is locked first, so that calls which a process makes only once are not counted.
    let requests = vec![
        Handle("warm", "/etc/passwd".into(), vec![]),
        repeat(2, [Acquire("warm"), Release("warm")]),
        DropHandle("warm"),
        DropHandle("timed"),
        DropHandle("readers"),
        DropHandle("immediate"),
    ];
    let setup = Setup { requests, ..Setup::default() };
    let requests = [Acquire("a"), Release("a"), Acquire("a"), Release("a"), DropHandle("a")];
    let Some(mut turns) = calls_of(&setup, &requests) else { return };
    // The peer may yield in the second acquisition.
    turns[2].retain(|call| *call != Call::Yield);
    let expected: [&[Call]; 5] = [
        &[
            Call::StatPath,
            Call::Open,
            Call::CheckDescriptor,
            Call::FileSystemType,
            Call::CheckDescriptor,
            Call::Try,
            Call::StatPath,
        ],
        &[Call::CheckDescriptor, Call::Unlock],
        &[Call::CheckDescriptor, Call::Try, Call::StatPath],
        &[Call::CheckDescriptor, Call::Unlock],
        &[Call::CheckDescriptor, Call::Close],
    ];
    assert_eq!(turns, expected);
}

#[test]
fn l2_a_try_of_a_held_lock_does_not_sleep() {
    let requests = [
        attempt(TryAcquire("a")),
        attempt(TryLock("timed", "g")),
        attempt(Acquire("immediate")),
        attempt(Lock("immediate", "g")),
        attempt(TryAcquire("readers")),
    ];
    let setup = Setup { is_held: true, requests: requests.to_vec() };
    let Some(turns) = calls_of(&setup, &requests) else { return };
    for (request, calls) in requests.into_iter().zip(turns) {
        let is_shared = request == attempt(TryAcquire("readers"));
        let how = if is_shared { Call::TryShared } else { Call::Try };
        assert_eq!(calls, [Call::CheckDescriptor, how, Call::StatPath], "{request:?}");
    }
}

#[test]
fn state_and_failed_release_make_no_calls() {
    let requests = [State("a"), attempt(Release("a")), HandleOf("other", "a", vec![Timeout(5)])];
    let setup = Setup { requests: requests.to_vec(), ..Setup::default() };
    let Some(turns) = calls_of(&setup, &requests) else { return };
    assert_eq!(turns, [[], [], []]);
}

/// Under valgrind the kernel's auxiliary vector refers to code that valgrind has replaced. A process that reads the vector
/// from the kernel and not from the C library crashes there. So the library must not read it from the kernel.
#[test]
fn programs_survive_in_valgrind() {
    let Some(mut strace) = Strace::spawn(&[]) else { return };
    let (_scratch, path) = Scratch::with_path();
    strace.handle("a", &path, &[]);
    strace.handle("timed", &path, &[Timeout(1000)]);
    strace.acquire("a");
    strace.refuses(Acquire("timed"));
    strace.status("a");
    let trace = strace.end();
    // An older strace knows `PR_GET_AUXV` by its number only.
    let ways = ["PR_GET_AUXV", "0x41555856", "/auxv"];
    let reads_vector = |call: &&str| ways.iter().any(|way| call.contains(way));
    assert_eq!(trace.calls().find(reads_vector), None);
    assert_ne!(trace.count("/proc/locks"), 0, "the trace should contain other reads");
}

/// The signal of a deadline is repeated so rarely that strace handles more than that signal in between. Every 50
/// microseconds a waiter made no progress: a timeout of 20 ms took up to 6 s.
#[test]
fn l3_the_signal_of_a_deadline_is_repeated_rarely() {
    let Some(mut strace) = Strace::spawn(&[]) else { return };
    let (_scratch, path) = Scratch::with_path();
    strace.handle("a", &path, &[Timeout(20)]);
    let mut holder = Peer::on(&path);
    holder.acquire("a");
    assert_eq!(strace.refuses(Acquire("a")).kind, TimedOut);
    let trace = strace.end();
    let timers: Vec<&str> =
        trace.calls().filter(|call| call.starts_with("timer_settime(")).collect();
    assert!(!timers.is_empty(), "the wait has no timer");
    for timer in timers {
        assert!(timer.contains("it_interval={tv_sec=0, tv_nsec=1000000}"), "{timer}");
    }
}

/// The checks above can fail: a wait is seen in the trace.
#[test]
fn a_wait_is_seen_in_the_trace() {
    let requests = [HandleOf("waiting", "a", vec![Timeout(20)]), attempt(Acquire("waiting"))];
    let setup = Setup { is_held: true, ..Setup::default() };
    let Some(turns) = calls_of(&setup, &requests) else { return };
    assert!(turns[1].contains(&Call::Other), "{turns:?}");
}
