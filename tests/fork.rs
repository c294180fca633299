//! - L11: a child of `fork` that drops or releases a hold of its parent does not unlock it. The child's acquisitions and
//!   the parent's exclude each other. The child's state starts as unlocked.
//! - L7: the lock of a killed process is free although its forked child is still running.
#![cfg(unix)]

use std::fs;

use crate::support::prelude::*;

#[test]
fn l11_a_child_starts_unlocked() {
    let scratch = Scratch::new();
    let mut parent = Peer::with(scratch.lock_path(), &[Shared]);
    for (command, state) in
        [(State("a"), Unlocked), (Lock("a", "g"), HeldShared(1)), (Acquire("a"), HeldShared(2))]
    {
        parent.ok(&command);
        parent.fork("c");
        assert_eq!(parent.child("c").state("a"), Unlocked, "after {command:?}");
        assert_eq!(parent.state("a"), state, "the child's query changes nothing");
        parent.kill_child("c");
    }
    parent.drop_guard("g");
    parent.release("a");
    parent.refuses(Release("a"));
    parent.fork("c");
    assert_eq!(
        parent.child("c").state("a"),
        Unlocked,
        "the child does not see the parent's failed release"
    );
    assert_eq!(parent.state("a"), ReleasedError);
}

#[test]
fn l11_a_child_cannot_end_its_parents_holds() {
    let (_scratch, _, [mut other, mut parent]) = peers();
    let ends = [
        (Lock("a", "g"), DropGuard("g"), None),
        (Lock("a", "g"), ReleaseGuard("g"), Some(NotLocked)),
        (Lock("a", "g"), InheritOnExec("g"), Some(NotLocked)),
        (Lock("a", "g"), Release("a"), Some(NotLocked)),
        (Lock("a", "g"), DropHandle("a"), None),
        (Acquire("a"), Release("a"), Some(NotLocked)),
        (Acquire("a"), DropHandle("a"), None),
    ];
    for (acquire, end, kind) in ends {
        parent.ok(&acquire);
        parent.fork("c");
        assert_eq!(parent.child("c").ask(&end).kind(), kind, "{acquire:?}, {end:?}");
        assert!(!other.finds_free("a"), "{acquire:?}, {end:?}");
        assert_eq!(parent.state("a"), HeldExclusive);
        parent.end_child("c");
        assert!(!other.finds_free("a"), "{acquire:?}, {end:?}, after the child's exit");
        parent.fork("c");
        parent.kill_child("c");
        assert!(!other.finds_free("a"), "{acquire:?}, {end:?}, after the end of a killed child");
        parent.ok(if acquire == Acquire("a") { Release("a") } else { ReleaseGuard("g") });
        assert!(other.finds_free("a"), "{acquire:?}, {end:?}");
    }
}

#[test]
fn l11_a_release_frees_the_lock_although_a_child_exists() {
    let (_scratch, _, [mut other, mut parent]) = peers();
    for (acquire, release) in [(Lock("a", "g"), DropGuard("g")), (Acquire("a"), Release("a"))] {
        parent.ok(acquire);
        parent.fork("c");
        parent.ok(release);
        assert!(
            other.finds_free("a"),
            "the lock should be free although the child has the descriptor"
        );
        assert_eq!(parent.child("c").state("a"), Unlocked);
    }
}

/// What the parent does before the fork: with and without an idle descriptor.
fn before_the_fork() -> [Request<&'static str>; 3] {
    let [unguarded, guarded] = [[Acquire("a"), Release("a")], [Lock("a", "g"), DropGuard("g")]];
    [State("a"), repeat(1, unguarded), repeat(1, guarded)]
}

/// With and without an idle descriptor before the fork, through an inherited handle and a new one.
#[test]
fn l11_parent_and_child_exclude_each_other() {
    for before in before_the_fork() {
        for childs in ["a", "new"] {
            let (_scratch, path, [mut other, mut parent]) = peers();
            parent.ok(&before);
            parent.fork("c");
            parent.child("c").handle("new", &path, &[]);

            parent.child("c").acquire(childs);
            assert!(!parent.finds_free("a"), "{before:?}, {childs}: the child holds the lock");
            assert!(!other.finds_free("a"));
            assert_eq!(parent.state("a"), Unlocked, "the hold is the child's");
            assert_eq!(parent.refuses(Release("a")).kind, NotLocked);
            parent.child("c").release(childs);

            parent.acquire("a");
            let refusal = parent.child("c").refuses(TryAcquire(childs));
            assert_eq!(refusal.kind, WouldBlock, "{before:?}, {childs}: the parent holds the lock");
            parent.release("a");
            parent.child("c").try_lock(childs, "g");
            assert!(!parent.finds_free("a"));
            assert!(!other.finds_free("a"));
        }
    }
}

#[test]
fn l11_parent_and_child_wait_for_each_other() {
    let (_scratch, path) = Scratch::with_path();
    let mut parent = Peer::with(&path, &[Timeout(600_000)]);
    parent.repeat(1, [Acquire("a"), Release("a")]);
    let child = parent.fork("c");
    parent.child("c").acquire("a");
    parent.start_waiting("w", Acquire("a"), &path);
    parent.child("c").release("a");
    parent.wait_ok("w");
    parent.child("c").start("w", Acquire("a"));
    until_waiting(child, &path, 1);
    assert!(!parent.child("c").is_done("w"));
    parent.release("a");
    parent.child("c").wait_ok("w");
}

#[test]
fn l11_three_generations_exclude_each_other() {
    let (_scratch, _, [mut peer]) = peers();
    let generations = [&[][..], &["c"], &["c", "c"]];
    for generation in generations {
        peer.ok(in_child(generation, repeat(1, [Acquire("a"), Release("a")])));
        peer.ok(in_child(generation, Fork("c")));
    }
    for holder in generations {
        peer.ok(in_child(holder, Lock("a", "g")));
        for other in generations {
            let refusal = peer.refuses(in_child(other, TryAcquire("a")));
            assert_eq!(refusal.kind, WouldBlock, "{holder:?} against {other:?}");
            let state = if holder == other { HeldExclusive } else { Unlocked };
            assert_eq!(peer.ok(in_child(other, State("a"))), Value::State(state));
        }
        peer.ok(in_child(holder, DropGuard("g")));
    }
    // Siblings.
    peer.fork("d");
    peer.child("c").acquire("a");
    assert_eq!(peer.child("d").refuses(TryAcquire("a")).kind, WouldBlock);
    peer.child("c").release("a");
    peer.child("d").acquire("a");
    assert_eq!(peer.child("c").refuses(TryAcquire("a")).kind, WouldBlock);
    assert_eq!(peer.child("c").child("c").refuses(TryAcquire("a")).kind, WouldBlock);
}

#[test]
fn l11_parent_and_child_have_separate_shared_holds() {
    let (scratch, _, [mut writer]) = peers();
    let mut parent = Peer::with(scratch.lock_path(), &[Shared]);
    parent.acquire("a");
    parent.fork("c");
    parent.child("c").acquire("a");
    assert_eq!(parent.child("c").state("a"), HeldShared(1));
    parent.child("c").release("a");
    assert!(!writer.finds_free("a"), "the parent holds the lock");
    parent.child("c").acquire("a");
    parent.release("a");
    assert!(!writer.finds_free("a"), "the child holds the lock");
    parent.child("c").release("a");
    assert!(writer.finds_free("a"));
}

#[test]
fn l7_a_killed_parents_lock_is_free_although_its_child_lives() {
    for before in before_the_fork() {
        for acquire in [Lock("a", "g"), Acquire("a")] {
            let (_scratch, _, [mut other, mut parent]) = peers();
            parent.ok(&before);
            let child = parent.fork("c");
            parent.child("c").linger(300_000);
            parent.ok(&acquire);
            assert!(!other.finds_free("a"));
            parent.kill();
            assert!(is_alive(child));
            assert!(other.finds_free("a"), "{before:?}, {acquire:?}");
            kill(child);
        }
    }
}

#[test]
fn l7_a_killed_childs_lock_is_free_although_its_parent_lives() {
    for before in [State("a"), repeat(1, [Acquire("a"), Release("a")]), Lock("a", "g")] {
        let (scratch, _, [mut other]) = peers();
        let mut parent = Peer::with(scratch.lock_path(), &[Shared]);
        parent.ok(&before);
        parent.fork("c");
        if before == Lock("a", "g") {
            parent.drop_guard("g");
        }
        parent.child("c").acquire("a");
        assert!(!other.finds_free("a"));
        parent.kill_child("c");
        assert!(other.finds_free("a"), "{before:?}");
    }
}

/// A hold that exists at the fork ends with the parent, too: the child has closed its copy of the descriptor, or closes it
/// with the guard that it inherited.
#[test]
fn l7_a_hold_at_the_fork_ends_with_the_parent() {
    let lock = || Lock("a", "g");
    for (acquire, in_child) in [
        (vec![lock()], State("a")),
        (vec![Acquire("a")], State("a")),
        (vec![lock(), Lend("g")], State("a")),
        (vec![lock()], DropGuard("g")),
        (vec![lock()], attempt(ReleaseGuard("g"))),
    ] {
        let (_scratch, path, [mut other, mut parent]) = peers();
        for request in &acquire {
            parent.ok(request);
        }
        let child = parent.fork("c");
        parent.child("c").linger(300_000);
        parent.child("c").ok(&in_child);
        assert!(!other.finds_free("a"), "{acquire:?} {in_child:?}");
        other.start_waiting("w", Acquire("a"), &path);
        parent.kill();
        other.wait_ok("w");
        assert!(is_alive(child), "{acquire:?} {in_child:?}");
        kill(child);
    }
}

/// The same for a lock that another thread was waiting for at the fork.
#[test]
fn l7_a_wait_at_the_fork_ends_with_the_parent() {
    let (_scratch, path) = Scratch::with_path();
    let mut holder = Peer::with(&path, &[Timeout(600_000)]);
    let mut parent = Peer::on(&path);
    holder.acquire("a");
    parent.start_waiting("w", Acquire("a"), &path);
    let child = parent.fork("c");
    parent.child("c").linger(300_000);
    holder.release("a");
    parent.wait_ok("w");
    holder.start_waiting("w", Acquire("a"), &path);
    parent.kill();
    holder.wait_ok("w");
    assert!(is_alive(child));
    kill(child);
}

/// A handle that a child inherits keeps an idle descriptor and remembers a failed release. Repeated use leaks nothing.
#[test]
fn l11_an_inherited_handle_works_as_a_new_one() {
    let (_scratch, _, [mut parent]) = peers();
    parent.repeat(1, [Acquire("a"), Release("a")]);
    parent.fork("c");
    assert_eq!(parent.child("c").ask(Release("a")).kind(), Some(NotLocked));
    assert_eq!(parent.child("c").state("a"), ReleasedError);
    parent.child("c").acquire("a");
    let free = parent.child("c").free_descriptor();
    parent.child("c").release("a");
    assert_eq!(parent.child("c").free_descriptor(), free, "the descriptor stays open for reuse");
    parent.child("c").repeat(3, [Acquire("a"), Release("a")]);
    assert_eq!(parent.child("c").free_descriptor(), free);
}

/// No process in a chain of forks leaks a descriptor to its child.
#[test]
fn l13_a_chain_of_forks_loses_no_descriptors() {
    let (_scratch, _, [mut peer]) = peers();
    let mut lowest = vec![];
    let chain = ["c"; 3];
    for depth in 0..=chain.len() {
        let mut ok = |request| peer.ok(in_child(&chain[..depth], request));
        ok(repeat(1, [Acquire("a"), Release("a")]));
        ok(Lock("a", "g"));
        lowest.push(ok(FreeDescriptor));
        ok(DropGuard("g"));
        ok(Fork("c"));
    }
    // The first process is left out: its standard streams differ from those of its descendants.
    assert!(lowest[1..].windows(2).all(|it| it[0] == it[1]), "{lowest:?}");
}

/// A child that is forked while other threads use the lock can use it.
#[test]
fn l11_a_child_forked_while_threads_use_the_lock_can_use_it() {
    let (scratch, path) = Scratch::with_path();
    // flock(2) is not fair among threads that re-acquire in a loop, so the timeouts are long.
    let mut parent = Peer::on(&path);
    parent.handle("timed", &path, &[Timeout(3_600_000)]);
    parent.handle("own", scratch.join("own.lock"), &[]);
    for (job, work) in [
        ("acquiring", [Acquire("timed"), Release("timed")]),
        ("guarding", [Lock("a", "g"), DropGuard("g")]),
        ("trying", [attempt(TryAcquire("own")), attempt(Release("own"))]),
        ("naming", [Handle("b", "/nowhere/b.lock".into(), vec![]), DropHandle("b")]),
    ] {
        parent.start(job, repeat(u64::MAX, work));
    }
    for turn in 0..60 {
        parent.fork("c");
        for name in ["a", "own"] {
            let mut child = parent.child("c");
            assert_eq!(child.state(name), Unlocked);
            child.acquire(name);
            assert_eq!(child.state(name), HeldExclusive);
            child.release(name);
        }
        parent.child("c").handle("c", "/nowhere/c.lock", &[]);
        parent.child("c").ok(if turn % 2 == 0 { DropHandle("a") } else { State("a") });
        parent.kill_child("c");
    }
    for job in ["acquiring", "guarding", "trying", "naming"] {
        parent.stop(job);
        parent.wait_ok(job);
    }
    assert!(parent.finds_free("a"));
}

#[test]
fn l11_a_child_does_not_wait_for_its_parents_wait() {
    let (_scratch, path, [mut holder]) = peers();
    holder.acquire("a");
    let mut parent = Peer::with(&path, &[Timeout(600_000)]);
    parent.start_waiting("w", Acquire("a"), &path);
    parent.fork("c");
    assert_eq!(parent.child("c").refuses(TryAcquire("a")).kind, WouldBlock);
    parent.assert_waiting("w");
    holder.release("a");
    parent.wait_ok("w");
    assert_eq!(
        parent.child("c").refuses(TryAcquire("a")).kind,
        WouldBlock,
        "the parent holds the lock"
    );
    parent.release("a");
    parent.child("c").try_acquire("a");
}

/// The path names another file when the lock is granted, so the library gives the grant up. A child that was forked during
/// the wait does not keep it: the next waiter in the queue also moves to the other file (L9).
#[test]
fn l11_a_child_keeps_no_lock_of_a_wait_for_a_replaced_file() {
    let (scratch, path, [mut holder]) = peers();
    holder.acquire("a");
    let mut parent = Peer::on(&path);
    parent.start_waiting("w", repeat(1, [Acquire("a"), Release("a")]), &path);
    let mut next = Peer::on(&path);
    next.start_waiting("w", repeat(1, [Acquire("a"), Release("a")]), &path);
    parent.fork("c");
    fs::write(scratch.join("other"), "").expect("the test should own the directory");
    fs::rename(scratch.join("other"), &path).expect("the test should own the directory");
    holder.release("a");
    // The order is open: the waiters are not in a queue of the new file.
    parent.wait_ok("w");
    next.wait_ok("w");
}

/// The same if the path cannot be resolved when the lock is granted.
#[test]
fn l11_a_child_keeps_no_lock_of_a_wait_that_fails() {
    let (_scratch, path, [mut holder]) = peers();
    holder.acquire("a");
    holder.open_foreign("old", &path);
    let mut parent = Peer::on(&path);
    parent.start_waiting("w", Acquire("a"), &path);
    parent.fork("c");
    fs::remove_file(&path).expect("the test should own the directory");
    std::os::unix::fs::symlink(&path, &path).expect("the test should own the directory");
    holder.release("a");
    let refusal = parent.wait("w").outcome.expect_err("the path is a loop");
    assert_eq!(refusal.action, Action::Verify);
    assert!(holder.try_foreign("old", Mode::Exclusive));
}
