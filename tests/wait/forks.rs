//! Other processes begin while a thread waits, or locks (L11).
#![allow(unsafe_code)]

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::alone::{alone, fork_idle};
use super::probe::{Answer, Call, probe};
use super::signals;
use super::support::{Peer, Scratch, until, until_waiting};
use super::threads;
use super::ways::start;

/// A fork while a thread waits with a timeout: its wait ends as it would have, and the child is
/// not in the way.
#[test]
fn l11_a_fork_during_a_wait() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let held = scratch.lock().lock().unwrap();
    let mut peer = Peer::spawn();
    peer.handle("patient", &path, "timeout=3600000");
    peer.handle("hasty", &path, "timeout=3000");
    peer.start_waiting("grant", "acquire patient", &path);
    peer.ok("start timeout acquire hasty");
    until_waiting(peer.pid(), &path, 2);
    peer.ok("fork child");

    let timed_out = peer.wait("timeout");
    assert!(timed_out.took() >= Duration::from_secs(3));
    assert_eq!(timed_out.outcome.unwrap_err().class, "timed_out");
    peer.assert_waiting("grant");
    drop(held);
    peer.wait_ok("grant");
    peer.ok("release patient");
    // The child has a copy of the descriptor that was waited with.
    drop(scratch.lock().try_lock().expect("the child should not hold it"));
    assert_eq!(peer.ok("child child state patient"), "unlocked");
}

/// A child's own timed waits: a timer of its own, a signal that is inherited.
#[test]
fn l11_a_wait_in_a_forked_child() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let held = scratch.lock().lock().unwrap();
    let mut peer = Peer::spawn();
    peer.handle("lock", &path, "timeout=20");
    assert_eq!(peer.refused("acquire lock").class, "timed_out");
    peer.ok("fork child");
    for _ in 0..3 {
        let answer = peer.ask("child child acquire lock");
        assert!(answer.took() >= Duration::from_millis(20), "{answer:?}");
        assert_eq!(answer.outcome.unwrap_err().class, "timed_out");
        assert_eq!(peer.refused("acquire lock").class, "timed_out");
    }
    drop(held);
    peer.ok("child child acquire lock");
    assert_eq!(peer.refused("acquire lock").class, "timed_out");
    peer.ok("child child release lock");
    peer.ok("acquire lock");
}

/// A program that is started while a thread waits: no action of ours, no blocked or ignored
/// signal, no timer goes with it.
#[test]
fn l11_a_program_started_during_a_wait() {
    let scratch = Scratch::new();
    let held = scratch.lock().lock().unwrap();
    let lock = scratch.lock().timeout(Duration::from_secs(3600));
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
static TOLD: AtomicBool = AtomicBool::new(false);

extern "C" fn take_time() {
    FORKED.store(true, Ordering::SeqCst);
    while !TOLD.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(1));
    }
}

/// A host may have something to do after each fork, before this process hears of it. The child has
/// its copies by then: what was at hand for reuse is not used.
#[test]
fn l11_a_fork_that_is_not_over() {
    alone("forks::l11_a_fork_that_is_not_over", || {
        // SAFETY: the function lives as long as the program.
        assert_eq!(unsafe { libc::pthread_atfork(None, Some(take_time), None) }, 0);
        let scratch = Scratch::new();
        let lock = scratch.lock();
        drop(lock.lock().unwrap());
        let mut pipe = [0; 2];
        // SAFETY: there is room for two descriptors.
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
        // The child gives up whatever it shares, and ends.
        let mut status = -1;
        // SAFETY: one byte is there to be written, and room for one status.
        unsafe {
            assert_eq!(libc::write(write, (&raw const pipe).cast(), 1), 1);
            assert_ne!(libc::waitpid(-1, &raw mut status, 0), -1);
        }
        assert_eq!(status, 0);
        assert!(scratch.lock().try_lock().is_err(), "the child had a part in it");
        TOLD.store(true, Ordering::SeqCst);
        assert_ne!(fork.result(), -1);
        drop(held);
        drop(scratch.lock().try_lock().unwrap());
    });
}

/// A fork in the middle of an acquisition: the child has a copy of the descriptor, and does not know of it. So another one is
/// opened, which is this process's alone and is used again.
#[test]
fn l7_a_fork_while_the_file_is_opened() {
    alone("forks::l7_a_fork_while_the_file_is_opened", || {
        let scratch = Scratch::new();
        let [lock, again, once_more] = [(); 3].map(|()| scratch.lock());
        let (mut child, mut asked) = (0, 0);
        let fork = |_: &Call| {
            asked += 1;
            if child == 0 {
                child = fork_idle();
            }
            Answer::Pass
        };
        // The file is open by then, and it is asked which one it is.
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
        assert!(asked >= 2, "it is opened again");
        assert_eq!(opened, 0);
    });
}
