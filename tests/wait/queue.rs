//! L4: a timed waiter sleeps in the kernel's queue and gets the lock in its turn.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::signals;
use super::support::prelude::*;
use super::threads;
use super::ways::{Way, start};

const HOUR: Duration = Duration::from_secs(3600);

/// A timed waiter has one timer, needs no other thread, and does not wake up while it waits.
#[test]
fn l4_a_timed_waiter_sleeps_in_the_queue() {
    let scratch = Scratch::new();
    let held = scratch.lock().lock().unwrap();
    let lock = scratch.lock().timeout(HOUR);
    let (tell, tid) = std::sync::mpsc::channel();
    let wait = start(move || {
        tell.send(signals::tid()).unwrap();
        lock.lock()
    });
    let tid = tid.recv().unwrap();
    until_waiting(std::process::id(), &scratch.lock_path(), 1);
    until("the list of timers shows the waiter's timer", || threads::timers_of(tid) == 1);
    let status = || fs::read_to_string(format!("/proc/self/task/{tid}/status")).unwrap();
    let switches = || threads::field(&status(), "voluntary_ctxt_switches");
    until("the waiter sleeps for longer than a retry period", || {
        let before = switches();
        thread::sleep(Duration::from_millis(120));
        switches() == before && threads::field(&status(), "State").starts_with('S')
    });
    wait.assert_running();
    drop(held);
    drop(wait.result().unwrap());
}

/// The check above can fail: a waiter that retries is not in the queue.
#[test]
fn l4_a_retrying_waiter_is_not_in_the_queue() {
    let scratch = Scratch::new();
    let held = scratch.lock().lock().unwrap();
    let lock = Way::Retry.of(scratch.lock()).timeout(HOUR);
    let wait = start(move || lock.lock());
    wait.assert_running();
    until_waiting(std::process::id(), &scratch.lock_path(), 0);
    wait.assert_running();
    drop(held);
    drop(wait.result().unwrap());
}

/// Waiters get the lock in the order in which they came.
#[test]
fn l4_timed_waiters_are_served_in_order() {
    let scratch = Scratch::new();
    let held = scratch.lock().lock().unwrap();
    let served = Arc::new(AtomicUsize::new(0));
    let mut waits = Vec::new();
    for place in 0..8 {
        let (lock, served) = (scratch.lock().timeout(HOUR), Arc::clone(&served));
        waits.push(start(move || {
            let _guard = lock.lock().unwrap();
            served.fetch_add(1, Ordering::SeqCst)
        }));
        until_waiting(std::process::id(), &scratch.lock_path(), place + 1);
    }
    drop(held);
    let order: Vec<_> = waits.into_iter().map(|wait| wait.result()).collect();
    assert_eq!(order, (0..8).collect::<Vec<_>>());
}

/// L7: the kernel releases the lock of a killed holder, and every waiter gets its turn, in this process and in others.
#[test]
fn l7_a_killed_holder_releases_to_all_waiters() {
    const THREADS: usize = 16;
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::spawn();
    holder.handle("lock", &path, &[]);
    holder.acquire("lock");
    let mut peers: Vec<_> = (0..3).map(|_| Peer::spawn()).collect();
    for peer in &mut peers {
        peer.handle("lock", &path, &[Timeout(10_000)]);
        peer.start_waiting("turn", repeat(1, [Acquire("lock"), Release("lock")]), &path);
    }
    let inside = Arc::new(AtomicUsize::new(0));
    let waits: Vec<_> = (0..THREADS)
        .map(|_| {
            let (lock, inside) = (scratch.lock().timeout(HOUR), Arc::clone(&inside));
            start(move || {
                let _guard = lock.lock().unwrap();
                assert_eq!(
                    inside.fetch_add(1, Ordering::SeqCst),
                    0,
                    "two holders at the same time"
                );
                inside.fetch_sub(1, Ordering::SeqCst);
            })
        })
        .collect();
    until_waiting(std::process::id(), &path, THREADS);
    holder.kill();
    for wait in waits {
        wait.result();
    }
    for peer in &mut peers {
        assert_eq!(peer.wait_ok("turn"), Value::Number(1));
    }
}

/// A stopped waiter leaves the kernel's queue, so it does not block the waiters behind it. It queues again at the end when
/// it continues.
#[test]
fn l4_a_stopped_waiter_leaves_the_queue() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let held = scratch.lock().lock().unwrap();
    let mut first = Peer::spawn();
    first.handle("lock", &path, &[Timeout(3_600_000)]);
    first.start_waiting("wait", Acquire("lock"), &path);
    let lock = scratch.lock().timeout(HOUR);
    let second = start(move || lock.lock());
    until_waiting(std::process::id(), &path, 1);

    signals::kill(first.pid(), libc::SIGSTOP);
    until_stopped(first.pid());
    drop(held);
    let guard = second.result().unwrap();

    signals::kill(first.pid(), libc::SIGCONT);
    until_waiting(first.pid(), &path, 1);
    first.assert_waiting("wait");
    drop(guard);
    first.wait_ok("wait");
}

/// A waiter is stopped until after its deadline. When it continues it makes its last attempt, which succeeds if the lock
/// is free and times out if it is held.
#[test]
fn l3_a_waiter_stopped_past_its_deadline_tries_once_more() {
    for is_free in [false, true] {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        let mut held = Some(scratch.lock().lock().unwrap());
        let mut peer = Peer::spawn();
        let timeout = Duration::from_millis(1500);
        peer.handle("lock", &path, &[Timeout(1500)]);
        peer.start_waiting("wait", Acquire("lock"), &path);
        let waiting = Instant::now();
        signals::kill(peer.pid(), libc::SIGSTOP);
        until_stopped(peer.pid());
        let in_time = waiting.elapsed() < timeout / 2;
        until("the deadline is over", || waiting.elapsed() > timeout);
        if is_free {
            drop(held.take());
        }
        signals::kill(peer.pid(), libc::SIGCONT);
        let answer = peer.wait("wait");
        assert!(answer.took() >= timeout, "{answer:?}");
        match answer.outcome {
            Ok(_) => assert!(is_free),
            // On a slow machine the waiter may not have been stopped in time. Then its last attempt came earlier.
            Err(refusal) => {
                assert_eq!(refusal.kind, TimedOut, "{refusal:?}");
                assert!(!is_free || !in_time, "the lock was free at the last attempt");
            }
        }
    }
}
