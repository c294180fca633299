//! What a lock costs, in system calls: strace counts them.
//!
//! - L2: one attempt, no sleep.
//! - L4: who takes the lock again and again lets others have it now and then.
//! - L13: no call is left out of the account, whatever it does.
#![cfg(target_os = "linux")]

use std::thread;
use std::time::Duration;

use crate::support::{Peer, Scratch, Strace, Trace};

/// What the peer did between reading a command and answering it: every call it made, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Try,
    TryShared,
    Unlock,
    /// Which file does the path name?
    Look,
    Open,
    /// Which file is this descriptor's, and on which kind of file system is it?
    Know,
    KnowKind,
    Close,
    GiveWay,
    Other,
}

/// So long does a process have the lock before it gives way, at least, if its holds are short.
const TENURE: Duration = Duration::from_millis(4);

/// Runs the commands after the setup, and tells the calls that each of them made.
fn calls_of(check: &str, setup: &[&str], commands: &[&str]) -> Option<Vec<Vec<Call>>> {
    let turns = timed_calls_of(check, setup, commands)?;
    Some(turns.into_iter().map(|(_, calls)| calls).collect())
}

/// The same, with how long each took.
fn timed_calls_of(
    check: &str,
    setup: &[&str],
    commands: &[&str],
) -> Option<Vec<(Duration, Vec<Call>)>> {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    std::fs::File::create(&path).expect("the directory is ours");
    let mut strace = Strace::spawn(check, &[])?;
    strace.peer.handle("a", &path, "");
    strace.peer.handle("timed", &path, "timeout=600000");
    strace.peer.handle("readers", &path, "shared");
    strace.peer.handle("hasty", &path, "timeout=0");
    let mut holder = Peer::with_handle("a", &path, "");
    for command in setup {
        match command.strip_prefix("holder ") {
            Some(command) => holder.ok(command),
            None => strace.peer.ok(command),
        };
    }
    let mut times = vec![];
    for command in commands {
        let answer = strace.peer.ask(command);
        assert!(answer.outcome.is_ok(), "{command}: {answer:?}");
        times.push(answer.took());
    }
    let turns = turns(&strace.end(), &path.to_string_lossy());
    Some(times.into_iter().zip(turns[turns.len() - commands.len()..].to_vec()).collect())
}

/// A turn is what lies between the reading of a command and the writing of an answer.
fn turns(trace: &Trace, path: &str) -> Vec<Vec<Call>> {
    let mut turns = vec![];
    let mut turn = None;
    for call in trace.calls() {
        if call.starts_with("read(0, ") {
            // The last one meets the end of the input.
            turn = Some(vec![]);
        } else if call.starts_with("write(1, ") {
            turns.extend(turn.take());
        } else if call.contains("F_GETFD") {
            // The standard library's own check, before it closes a descriptor in a debug build.
        } else if cfg!(target_env = "musl") && is_for_memory(call) {
            // Its allocator gives back at once what the peer's own words needed.
        } else if let Some(turn) = &mut turn {
            turn.push(classify(call, path));
            // By two calls.
            turn.dedup_by(|next, last| (*next, *last) == (Call::GiveWay, Call::GiveWay));
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
        "stat" | "newfstatat" | "statx" if arguments.contains(&format!("\"{path}\"")) => Call::Look,
        "open" | "openat" if arguments.contains(&format!("\"{path}\"")) => Call::Open,
        "fstat" | "lseek" => Call::Know,
        "fstatfs" => Call::KnowKind,
        "close" => Call::Close,
        "nanosleep" | "clock_nanosleep" => Call::GiveWay,
        // Before: would such a sleep last for longer?
        "prctl" if arguments.contains("PR_GET_TIMERSLACK") => Call::GiveWay,
        _ => Call::Other,
    }
}

#[test]
fn l4_a_repeated_acquisition_and_release_make_five_calls_and_now_and_then_a_pause() {
    let check = "l4_a_repeated_acquisition_and_release_make_five_calls_and_now_and_then_a_pause";
    let cases = [
        ("acquire a ; release a", Call::Try),
        ("lock a g ; drop_guard g", Call::Try),
        ("lock a g ; release_guard g", Call::Try),
        ("try_lock a g ; drop_guard g", Call::Try),
        ("acquire timed ; release timed", Call::Try),
        ("lock timed g ; drop_guard g", Call::Try),
        ("acquire readers ; release readers", Call::TryShared),
        ("acquire hasty ; release a", Call::Try),
    ];
    let warm_up = format!("repeat 2 {}", cases.map(|(work, _)| work).join(" ; "));
    let repeated = cases.map(|(work, _)| format!("repeat 1000 {work}"));
    let commands = repeated.each_ref().map(String::as_str);
    let Some(turns) = timed_calls_of(check, &[&warm_up], &commands) else { return };
    let mut pauses_in_all = 0;
    for ((work, how), (took, calls)) in cases.into_iter().zip(turns) {
        let (pauses, calls): (Vec<_>, Vec<_>) =
            calls.into_iter().partition(|call| *call == Call::GiveWay);
        let pauses = pauses.len();
        pauses_in_all += pauses;
        // One more at the beginning, and one if a single hold was long, on a machine that was busy.
        let most = took.as_micros() / TENURE.as_micros() + 2;
        assert!(pauses as u128 <= most, "{work}: {pauses} pauses in {took:?}");
        let tries = work.contains("try_") || work.contains("hasty");
        assert!(pauses == 0 || !tries, "{work}: a try does not pause");
        assert_eq!(calls.len(), 5 * 1000, "{work}: {:?}...", &calls[..calls.len().min(20)]);
        // Before it locks and before it unlocks: is the number still that of the library's descriptor? The host may have
        // closed it meanwhile, and opened another file by that number.
        for five in calls.chunks(5) {
            assert_eq!(five, [Call::Know, how, Call::Look, Call::Know, Call::Unlock], "{work}");
        }
    }
    assert!(pauses_in_all > 0, "8000 turns under strace are more than one tenure");
}

/// Others want it as well, and to hand it over costs little beside such a hold.
#[test]
fn l4_who_has_waited_gives_way_after_a_single_long_hold() {
    let check = "l4_who_has_waited_gives_way_after_a_single_long_hold";
    let Some(mut strace) = Strace::spawn(check, &[]) else { return };
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    strace.peer.handle("a", &path, "");
    let mut holder = Peer::with_handle("a", &path, "");
    // Many, since nobody gives way who does not come back at once: it may be kept from that.
    for _ in 0..20 {
        holder.ok("acquire a");
        strace.peer.start_waiting("wait", "acquire a", &path);
        holder.ok("release a");
        strace.peer.wait_ok("wait");
        thread::sleep(Duration::from_millis(1));
        strace.peer.ok("repeat 1 release a ; acquire a");
        strace.peer.ok("release a");
    }
    assert_ne!(strace.end().count("PR_GET_TIMERSLACK"), 0);
}

#[test]
fn the_first_acquisition_opens_and_the_last_handle_closes() {
    let check = "the_first_acquisition_opens_and_the_last_handle_closes";
    let drop_others = ["drop_handle timed", "drop_handle readers", "drop_handle hasty"];
    // What a process does once in its life, it does for another file.
    let setup = [
        &[
            "handle warm path=/etc/passwd",
            "repeat 2 acquire warm ; release warm",
            "drop_handle warm",
        ],
        &drop_others[..],
    ];
    let commands = ["acquire a", "release a", "acquire a", "release a", "drop_handle a"];
    let Some(mut turns) = calls_of(check, &setup.concat(), &commands) else { return };
    // It may be time to give way, in the second acquisition.
    turns[2].retain(|call| *call != Call::GiveWay);
    let expected: [&[Call]; 5] = [
        &[Call::Look, Call::Open, Call::Know, Call::KnowKind, Call::Know, Call::Try, Call::Look],
        &[Call::Know, Call::Unlock],
        &[Call::Know, Call::Try, Call::Look],
        &[Call::Know, Call::Unlock],
        &[Call::Know, Call::Close],
    ];
    assert_eq!(turns, expected);
}

#[test]
fn l2_a_try_of_a_held_lock_does_not_sleep() {
    let check = "l2_a_try_of_a_held_lock_does_not_sleep";
    let commands = [
        "attempt try_acquire a",
        "attempt try_lock timed g",
        "attempt acquire hasty",
        "attempt lock hasty g",
        "attempt try_acquire readers",
    ];
    let setup: Vec<&str> = ["holder acquire a"].into_iter().chain(commands).collect();
    let Some(turns) = calls_of(check, &setup, &commands) else { return };
    for (command, calls) in commands.into_iter().zip(turns) {
        let how = if command.ends_with("readers") { Call::TryShared } else { Call::Try };
        assert_eq!(calls, [Call::Know, how, Call::Look], "{command}");
    }
}

#[test]
fn state_and_release_of_nothing_make_no_calls() {
    let check = "state_and_release_of_nothing_make_no_calls";
    let commands = ["state a", "attempt release a", "handle other of=a timeout=5"];
    let Some(turns) = calls_of(check, &commands, &commands) else { return };
    assert_eq!(turns, [[], [], []]);
}

/// Whoever asks the kernel, past the C library, what the process was started with is told of code
/// that valgrind has put something else in the place of, and falls over it.
#[test]
fn programs_survive_in_valgrind() {
    let Some(mut strace) = Strace::spawn("programs_survive_in_valgrind", &[]) else { return };
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    strace.peer.handle("a", &path, "");
    strace.peer.handle("timed", &path, "timeout=1000");
    strace.peer.ok("acquire a");
    strace.peer.refused("acquire timed");
    strace.peer.ok("status a");
    let trace = strace.end();
    // An older strace knows `PR_GET_AUXV` by its number only.
    let ways = ["PR_GET_AUXV", "0x41555856", "/auxv"];
    let asks = |call: &&str| ways.iter().any(|way| call.contains(way));
    assert_eq!(trace.calls().find(asks), None);
    assert_ne!(trace.count("/proc/locks"), 0, "the counter-proof: what is asked for is seen");
}

/// The counter-proof: a sleep is seen.
#[test]
fn a_wait_makes_other_calls() {
    let check = "a_wait_makes_other_calls";
    let commands = ["handle waiting of=a timeout=20", "attempt acquire waiting"];
    let Some(turns) = calls_of(check, &["holder acquire a"], &commands) else { return };
    assert!(turns[1].contains(&Call::Other), "{turns:?}");
}
