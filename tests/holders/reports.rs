//! L12: the holders that the error of a timeout and an observer report.

use std::ops::ControlFlow;
use std::process;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{holder, pids, readers};
use crate::support::prelude::*;

#[test]
fn l12_a_timeout_names_the_holder() {
    let (_scratch, path, [mut holder]) = peers();
    holder.acquire("a");
    for settings in [&[][..], &[Shared], &[UseSignals(false)]] {
        let end = format!("s: held by pid {} (locket-peer)", holder.pid());
        let message = Peer::with(&path, &[&[Timeout(1000), QueryStatus], settings].concat())
            .times_out_naming(&end);
        let start = format!("cannot lock {} within 1", path.display());
        assert!(message.starts_with(&start), "{message}");
    }
}

#[test]
fn l12_a_timeout_counts_many_holders() {
    let (_scratch, path) = Scratch::with_path();
    let _readers: [Peer; 5] = readers(&path);
    let message = Peer::querying(&path).times_out_naming(" (locket-peer) and 2 more");
    assert_eq!(message.matches(" (locket-peer)").count(), 3, "{message}");
}

/// After the deadline the library does not read the table of locks, which takes milliseconds. It checks only the
/// processes that the observer's query found.
#[test]
fn l3_a_timeout_checks_only_what_the_observer_found() {
    let (_scratch, path, [mut holder]) = peers();
    holder.acquire("a");
    let Some(mut waiter) = Strace::spawn(&[]) else { return };
    waiter.peer.handle("a", &path, &[Timeout(1000)]);
    let message = waiter.peer.refuses(Acquire("a")).message;
    assert!(message.ends_with(": held by another process"), "{message}");
    let trace = waiter.end();
    assert_eq!((trace.count("/proc/locks"), trace.count("/fdinfo/")), (0, 0));

    let Some(mut waiter) = Strace::spawn(&[]) else { return };
    waiter.peer.handle("a", &path, &[Timeout(1000), QueryStatus]);
    waiter.peer.times_out_naming(&format!(": held by pid {} (locket-peer)", holder.pid()));
    let trace = waiter.end();
    assert!(trace.count("/proc/locks") > 0 && trace.count("/fdinfo/") > 0);
    // A read of `cmdline` reads the memory of another process and may block.
    assert_eq!(trace.count("cmdline"), 0);
}

/// The lock changes hands after the last query: `still_held` names neither the old holder nor the new one.
#[test]
fn l12_a_holder_that_has_released_is_not_named() -> Outcome {
    let (scratch, _, [mut old, mut new]) = peers();
    old.acquire("a");
    let status = scratch.lock().status()?;
    assert_eq!(pids(&status.holders), [(Mode::Exclusive, old.pid())]);
    assert_eq!(pids(&status.still_held().holders), [(Mode::Exclusive, old.pid())]);
    old.release("a");
    new.acquire("a");
    assert_eq!(status.still_held().holders, []);
    assert_eq!(status.still_held().is_held(), None);
    Ok(())
}

/// One process may have several holds; each is counted.
#[test]
fn l12_a_timeout_counts_holds_of_one_process() {
    let (_scratch, path) = Scratch::with_path();
    let [mut reader] = readers(&path);
    reader.acquire("a");
    let pid = reader.pid();
    let end = format!(": held by pid {pid} (locket-peer), pid {pid} (locket-peer)");
    Peer::querying(&path).times_out_naming(&end);
}

/// Without an observer that queries the status, the error names no process.
#[test]
fn l12_a_timeout_without_an_observer_names_no_process() {
    let (_scratch, path, [mut holder]) = peers();
    holder.acquire("a");
    for timeout in [99, 1000] {
        Peer::with(&path, &[Timeout(timeout)])
            .refuses(Acquire("a"))
            .assert_ends("s: held by another process");
    }
    Peer::on(&path).refuses(TryAcquire("a")).assert_ends(": held by another process");
}

#[test]
fn this_process_is_named_as_such() -> Outcome {
    let scratch = Scratch::new();
    let _guard = scratch.lock().lock()?;
    let holder = holder(&scratch.lock_path());
    assert!(holder.is_this);
    assert_eq!(holder.pid, process::id());
    let error = scratch.lock().timeout(Duration::from_secs(1)).lock().expect_err("it is held");
    let end = format!(": held by this process (pid {})", process::id());
    assert!(error.to_string().ends_with(&end), "{error}");
    assert_eq!(pids(error.holders()), [(Mode::Exclusive, process::id())]);
    Ok(())
}

/// An observer's query lists the other waiters and the wait that it observes.
#[test]
fn an_observer_can_query_the_status() -> Outcome {
    let (_scratch, path, [mut holder]) = peers();
    let mut waiter = Peer::with(&path, &[Timeout(60_000)]);
    holder.acquire("a");
    waiter.start_waiting("w", Acquire("a"), &path);
    let status_seen = Arc::new(Mutex::new(None));
    let result = Arc::clone(&status_seen);
    let observer = move |wait: &locket::WaitInfo| {
        // The first call may come before the waiter is in the queue.
        match wait.status() {
            Ok(status) if status.waiters.len() < 2 && wait.elapsed() < PATIENCE => {
                ControlFlow::Continue(())
            }
            status => {
                *result.lock().expect("no thread panics with the mutex") = Some(status);
                ControlFlow::Break(())
            }
        }
    };
    let lock = lock_file(&path).on_wait(observer).observe_every(Duration::from_millis(1));
    assert!(lock.lock().is_err_and(|error| error.kind() == Cancelled));
    let mut status_seen = status_seen.lock().expect("no thread panics with the mutex");
    let status = status_seen.take().ok_or("the observer was not called")??;
    assert_eq!(pids(&status.holders), [(Mode::Exclusive, holder.pid())]);
    let waiting = [waiter.pid(), process::id()].map(|pid| (Mode::Exclusive, pid));
    assert_eq!(pids(&status.waiters), waiting);
    Ok(())
}
