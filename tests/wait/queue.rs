//! L4: a timed waiter sleeps in the kernel's queue and gets the lock in its turn.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::signals;
use super::support::{until, until_waiting};
use super::threads;
use super::ways::{HOUR, Way, contended, start};

/// A timed waiter has one timer, needs no other thread, and does not wake up while it waits.
#[test]
fn l4_a_timed_waiter_sleeps_in_the_queue() {
    let (scratch, held, lock) = contended(HOUR);
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
    let (scratch, held, lock) = Way::Retry.contended(HOUR);
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
    let (scratch, held, lock) = contended(HOUR);
    let served = Arc::new(AtomicUsize::new(0));
    let mut waits = Vec::new();
    for place in 0..8 {
        let (lock, served) = (lock.clone(), Arc::clone(&served));
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
