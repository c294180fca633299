//! The process forks or starts a program while a thread waits or acquires (L11).
#![allow(unsafe_code)]

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::probe::{Answer, Call, probe};
use super::signals;
use super::subprocess::{fork_idle, in_subprocess};
use super::support::prelude::*;
use super::threads;
use super::ways::{HOUR, contended, start};

/// A fork while a thread waits with a timeout: the wait ends as without the fork, and the child does not hold the lock.
#[test]
fn l11_a_fork_during_a_wait_does_not_affect_it() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let held = scratch.lock().lock().unwrap();
    let mut peer = Peer::spawn();
    peer.handle("long", &path, &[Timeout(3_600_000)]);
    peer.handle("short", &path, &[Timeout(3000)]);
    peer.start_waiting("grant", Acquire("long"), &path);
    peer.start("timeout", Acquire("short"));
    until_waiting(peer.pid(), &path, 2);
    peer.fork("child");

    let timed_out = peer.wait("timeout");
    assert!(timed_out.took() >= Duration::from_secs(3));
    assert_eq!(timed_out.outcome.unwrap_err().kind, TimedOut);
    peer.assert_waiting("grant");
    drop(held);
    peer.wait_ok("grant");
    peer.release("long");
    // The child has a copy of the descriptor that the parent waited with.
    drop(scratch.lock().try_lock().expect("the child should not hold the lock"));
    assert_eq!(peer.child("child").state("long"), Unlocked);
}

/// Timed waits of a forked child use a new timer and the inherited signal.
#[test]
fn l11_a_forked_child_can_wait_with_a_timeout() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let held = scratch.lock().lock().unwrap();
    let mut peer = Peer::spawn();
    peer.handle("lock", &path, &[Timeout(20)]);
    assert_eq!(peer.refuses(Acquire("lock")).kind, TimedOut);
    peer.fork("child");
    for _ in 0..3 {
        let answer = peer.child("child").ask(Acquire("lock"));
        assert!(answer.took() >= Duration::from_millis(20), "{answer:?}");
        assert_eq!(answer.outcome.unwrap_err().kind, TimedOut);
        assert_eq!(peer.refuses(Acquire("lock")).kind, TimedOut);
    }
    drop(held);
    peer.child("child").acquire("lock");
    assert_eq!(peer.refuses(Acquire("lock")).kind, TimedOut);
    peer.child("child").release("lock");
    peer.acquire("lock");
}

/// A program that is started while a thread waits inherits no signal action of the library, no blocked or ignored signal,
/// and no timer.
#[test]
fn l11_a_program_started_during_a_wait_inherits_no_signal_state() {
    let (scratch, held, lock) = contended(HOUR);
    let wait = start(move || {
        signals::set_mask(u64::MAX);
        lock.lock().map(drop)
    });
    until_waiting(std::process::id(), &scratch.lock_path(), 1);
    let mut cat = Command::new("cat");
    cat.args(["/proc/self/status", "/proc/self/timers"]).stdin(Stdio::null());
    let output = cat.output().expect("cat should run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let real_time = signals::real_time().map(signals::bit).sum::<u64>();
    for key in ["SigBlk", "SigIgn", "SigCgt"] {
        let set = u64::from_str_radix(&threads::field(&text, key), 16).unwrap();
        assert_eq!(set & real_time, 0, "{key}");
    }
    assert!(!text.contains("ClockID"), "{text}");
    drop(held);
    wait.result().unwrap();
}

static FORKED: AtomicBool = AtomicBool::new(false);
static GO_ON: AtomicBool = AtomicBool::new(false);

extern "C" fn delay_parent() {
    FORKED.store(true, Ordering::SeqCst);
    while !GO_ON.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(1));
    }
}

/// A host may run a slow handler in the parent after each fork (`pthread_atfork`). The child already has copies of the
/// descriptors then, so the library must not reuse an idle one.
#[test]
fn l11_an_idle_descriptor_is_not_used_during_a_fork() {
    in_subprocess(|| {
        // SAFETY: the function lives as long as the program.
        assert_eq!(unsafe { libc::pthread_atfork(None, Some(delay_parent), None) }, 0);
        let scratch = Scratch::new();
        let lock = scratch.lock();
        drop(lock.lock().unwrap());
        let mut pipe = [0; 2];
        // SAFETY: the array has room for two descriptors.
        assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
        let [read, write] = pipe;
        // SAFETY: the child makes system calls only.
        let fork = start(move || unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::read(read, (&raw mut pipe).cast(), 1);
                for descriptor in 0..1024 {
                    libc::flock(descriptor, libc::LOCK_UN);
                }
                libc::_exit(0);
            }
            child
        });
        until("there is a child", || FORKED.load(Ordering::SeqCst));
        let held = lock.lock().unwrap();
        // The child unlocks every descriptor that it has, and exits.
        let mut status = -1;
        // SAFETY: the call reads one byte and fills one status.
        unsafe {
            assert_eq!(libc::write(write, (&raw const pipe).cast(), 1), 1);
            assert_ne!(libc::waitpid(-1, &raw mut status, 0), -1);
        }
        assert_eq!(status, 0);
        assert!(scratch.lock().try_lock().is_err(), "the child had a copy of the descriptor");
        GO_ON.store(true, Ordering::SeqCst);
        assert_ne!(fork.result(), -1);
        drop(held);
        drop(scratch.lock().try_lock().unwrap());
    });
}

/// A fork in the middle of an acquisition: the child has a copy of the descriptor that it cannot close. So the parent
/// opens another one, which it does not share, and uses that one again later.
#[test]
fn l7_a_descriptor_copied_by_a_fork_is_replaced() {
    in_subprocess(|| {
        let scratch = Scratch::new();
        let [lock, again, once_more] = [(); 3].map(|()| scratch.lock());
        let (mut child, mut checks) = (0, 0);
        let fork = |_: &Call| {
            checks += 1;
            if child == 0 {
                child = fork_idle();
            }
            Answer::Pass
        };
        // At `fstat` the file is open: the library asks for its identity.
        probe(&[libc::SYS_fstat], fork, move || lock.lock().map(drop)).unwrap();
        let mut opened = 0;
        let mut count = |_: &Call| {
            opened += 1;
            Answer::Pass
        };
        let opens = [libc::SYS_openat, libc::SYS_open];
        for lock in [again, once_more] {
            probe(&opens, &mut count, move || lock.lock().map(drop)).unwrap();
        }
        signals::kill(child, libc::SIGKILL);
        assert!(checks >= 2, "the file should be opened again");
        assert_eq!(opened, 0);
    });
}
