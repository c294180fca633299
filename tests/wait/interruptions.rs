//! The host program's signals reach a thread that waits (L3, L12).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread;
use std::time::Duration;

use super::signals::{self, Action, COUNTED};
use super::subprocess::in_subprocess;
use super::support::until;
use super::ways::{HOUR, Running, Way, start, timed};

/// Runs a call in a thread that receives one signal after another until the call returns.
fn under_signals<T: Send + 'static>(call: impl FnOnce() -> T + Send + 'static) -> Running<T> {
    let target = Arc::new(AtomicI32::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let sender = {
        let (target, over) = (Arc::clone(&target), Arc::clone(&over));
        thread::spawn(move || {
            while !over.load(Ordering::SeqCst) {
                match target.load(Ordering::SeqCst) {
                    0 => thread::yield_now(),
                    tid => signals::send(tid, libc::SIGUSR1),
                }
            }
        })
    };
    start(move || {
        target.store(signals::tid(), Ordering::SeqCst);
        let result = call();
        over.store(true, Ordering::SeqCst);
        // The sender must end first: it must not signal a thread that has ended.
        sender.join().expect("the sender only sends");
        result
    })
}

#[track_caller]
fn check(flags: libc::c_int) {
    signals::set_action(libc::SIGUSR1, Action::of_host(flags));
    for way in Way::BOTH {
        let (_scratch, held, lock) = way.contended(None);
        for timeout in [Duration::from_millis(1), Duration::from_millis(50)] {
            let lock = lock.clone().timeout(timeout);
            under_signals(move || timed(&lock)).result().assert_timed_out(timeout);
        }
        let before = COUNTED.load(Ordering::SeqCst);
        for timeout in [Some(HOUR), None] {
            let lock = lock.clone().timeout(timeout).shared();
            let wait = under_signals(move || lock.lock());
            wait.assert_running();
            until("signals come", || COUNTED.load(Ordering::SeqCst) > before + 100);
            wait.assert_running();
            if timeout.is_none() {
                drop(held);
                drop(wait.result().unwrap());
                break;
            }
            // This waiter and the next one share the lock when it becomes free.
            thread::spawn(move || wait.result().map(drop));
        }
    }
}

/// Signals that interrupt `flock` and every other sleep.
#[test]
fn l3_endless_interrupting_signals_do_not_affect_the_wait() {
    in_subprocess(|| check(0));
}

/// Signals after which the kernel restarts `flock`. The library does not see them. If one comes together with the timer's
/// signal, the library does not see that one either.
#[test]
fn l3_endless_restarting_signals_do_not_affect_the_wait() {
    in_subprocess(|| check(libc::SA_RESTART));
}
