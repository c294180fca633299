//! L12: a process that waits without a timeout for its own hold, with no other thread that could release it, would wait
//! forever. The call returns an error immediately.
#![cfg(target_os = "linux")]

use crate::support::prelude::*;

/// The hold stays, and the lock stays usable.
#[test]
fn l12_a_wait_for_the_own_hold_is_a_deadlock() {
    for (first, second) in [(&[][..], &[][..]), (&[], &[Shared]), (&[Shared], &[])] {
        for acquire in [Lock("a", "g"), Acquire("a")] {
            let (_scratch, path, [mut other]) = peers();
            let mut peer = Peer::with(&path, first);
            peer.handle("second", &path, second);
            peer.ok(&acquire);
            for again in [Lock("second", "h"), Acquire("second")] {
                let refusal = peer.refuses(again);
                assert_eq!(refusal.kind, Deadlock, "{refusal:?}");
                refusal.assert_says("no other thread");
            }
            assert!(!other.finds_free("a"));
            peer.ok(if acquire == Acquire("a") { Release("a") } else { DropGuard("g") });
            peer.acquire("second");
            peer.release("second");
            // With a timeout the wait ends at the deadline, and the error names this process.
            peer.ok(&acquire);
            peer.handle("timed", &path, &[second, &[Timeout(20)]].concat());
            let refusal = peer.refuses(Acquire("timed"));
            assert_eq!(refusal.kind, TimedOut);
            refusal.assert_says("held by this process");
        }
    }
}

/// The same for other kinds of holds and for other paths of the file.
#[test]
fn l12_a_wait_for_the_own_hold_by_another_path_is_a_deadlock() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    std::fs::File::create(&path)?;
    std::os::unix::fs::symlink(&path, scratch.join("symbolic"))?;
    std::fs::hard_link(&path, scratch.join("hard"))?;
    let aliases = [scratch.join("symbolic"), scratch.join("hard"), scratch.join("./test.lock")];
    let scenes = [
        (&[][..], &[Lock("a", "g")][..], &[][..]),
        (&[Shared], &[Lock("a", "g"), Lock("a", "h"), DropGuard("h")], &[]),
        (&[], &[Lock("a", "g"), InheritOnExec("g"), DropHandle("a")], &[]),
        (&[], &[Lock("a", "g"), InheritOnFork("g"), Fork("c")], &["c"]),
    ];
    for (settings, requests, to) in scenes {
        let mut peer = Peer::with(&path, settings);
        for request in requests {
            peer.ok(request);
        }
        for alias in aliases.iter().chain([&path]) {
            peer.ok(in_child(to, Handle("again", alias.into(), vec![])));
            let refusal = peer.refuses(in_child(to, Acquire("again")));
            assert_eq!(refusal.kind, Deadlock, "{requests:?}, {}: {refusal:?}", alias.display());
        }
    }
    Ok(())
}

/// A hold whose descriptor the host has closed has ended. Another process can hold the lock then, and this process waits
/// for it.
#[test]
fn l12_a_hold_that_the_host_has_closed_is_not_named() {
    let (_scratch, path, [mut peer]) = peers();
    peer.lock("a", "g");
    peer.lose_descriptor(&path);
    let mut other = Peer::on(&path);
    other.acquire("a");
    peer.refuses(TryAcquire("a")).assert_ends(": held by another process");
    peer.start_waiting("w", Acquire("a"), &path);
    other.release("a");
    peer.wait_ok("w");
}

/// If the process has another thread, that thread may release the lock. So the wait is not an error.
#[test]
fn l12_a_wait_with_another_thread_is_not_a_deadlock() {
    let (_scratch, path, [mut peer]) = peers();
    peer.acquire("a");
    peer.start_waiting("w", Acquire("a"), &path);
    peer.release("a");
    peer.wait_ok("w");
}
