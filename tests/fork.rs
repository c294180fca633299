//! - L11: a child of `fork` that drops or releases a hold of its parent does not unlock it. The child's acquisitions and
//!   the parent's exclude each other. The child's state starts as unlocked.
//! - L7: the lock of a killed process is free although its forked child is still running.
#![cfg(unix)]

use std::fs;

use crate::support::{Peer, Scratch, is_alive, kill, word};

#[test]
fn l11_a_child_starts_unlocked() {
    let scratch = Scratch::new();
    let mut parent = Peer::with_handle("a", scratch.lock_path(), "shared");
    for (command, state) in
        [("state a", "unlocked"), ("lock a g", "shared 1"), ("acquire a", "shared 2")]
    {
        parent.ok(command);
        parent.ok("fork c");
        assert_eq!(parent.ok("child c state a"), "unlocked", "after {command}");
        assert_eq!(parent.ok("state a"), state, "the child's query changes nothing");
        parent.ok("kill_child c");
    }
    parent.ok("drop_guard g");
    parent.ok("release a");
    parent.refused("release a");
    parent.ok("fork c");
    assert_eq!(
        parent.ok("child c state a"),
        "unlocked",
        "the child does not see the parent's failed release"
    );
    assert_eq!(parent.ok("state a"), "released_error");
}

#[test]
fn l11_a_child_cannot_end_its_parents_holds() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut other = Peer::with_handle("a", &path, "");
    let mut parent = Peer::with_handle("a", &path, "");
    let ends = [
        ("lock a g", "drop_guard g", "ok"),
        ("lock a g", "release_guard g", "not_locked"),
        ("lock a g", "inherit_on_exec_guard g", "not_locked"),
        ("lock a g", "release a", "not_locked"),
        ("lock a g", "drop_handle a", "ok"),
        ("acquire a", "release a", "not_locked"),
        ("acquire a", "drop_handle a", "ok"),
    ];
    for (acquire, end, class) in ends {
        parent.ok(acquire);
        parent.ok("fork c");
        assert_eq!(parent.ask(&format!("child c {end}")).class(), class, "{acquire}, {end}");
        assert!(!other.finds_free("a"), "{acquire}, {end}");
        assert_eq!(parent.ok("state a"), "exclusive");
        parent.ok("end_child c");
        assert!(!other.finds_free("a"), "{acquire}, {end}, after the child's exit");
        parent.ok(if acquire == "acquire a" { "release a" } else { "release_guard g" });
        assert!(other.finds_free("a"), "{acquire}, {end}");
    }
}

#[test]
fn l11_a_childs_exit_releases_no_hold_of_its_parent() {
    let scratch = Scratch::new();
    let mut other = Peer::with_handle("a", scratch.lock_path(), "");
    let mut parent = Peer::with_handle("a", scratch.lock_path(), "");
    parent.ok("lock a g");
    for _ in 0..3 {
        parent.ok("fork c");
        parent.ok("kill_child c");
        assert!(!other.finds_free("a"));
    }
    assert_eq!(parent.ok("is_current g"), "true");
}

#[test]
fn l11_a_release_frees_the_lock_although_a_child_exists() {
    let scratch = Scratch::new();
    let mut other = Peer::with_handle("a", scratch.lock_path(), "");
    let mut parent = Peer::with_handle("a", scratch.lock_path(), "");
    for (acquire, release) in [("lock a g", "drop_guard g"), ("acquire a", "release a")] {
        parent.ok(acquire);
        parent.ok("fork c");
        parent.ok(release);
        assert!(
            other.finds_free("a"),
            "the lock should be free although the child has the descriptor"
        );
        assert_eq!(parent.ok("child c state a"), "unlocked");
    }
}

/// With and without an idle descriptor before the fork, through an inherited handle and a new one.
#[test]
fn l11_parent_and_child_exclude_each_other() {
    for before in ["state a", "repeat 1 acquire a ; release a", "repeat 1 lock a g ; drop_guard g"]
    {
        for childs in ["a", "new"] {
            let scratch = Scratch::new();
            let path = scratch.lock_path();
            let mut other = Peer::with_handle("a", &path, "");
            let mut parent = Peer::with_handle("a", &path, "");
            parent.ok(before);
            parent.ok("fork c");
            parent.ok(&format!("child c handle new path={}", word(&path)));

            parent.ok(&format!("child c acquire {childs}"));
            assert!(!parent.finds_free("a"), "{before}, {childs}: the child holds the lock");
            assert!(!other.finds_free("a"));
            assert_eq!(parent.ok("state a"), "unlocked", "the hold is the child's");
            assert_eq!(parent.refused("release a").class, "not_locked");
            parent.ok(&format!("child c release {childs}"));

            parent.ok("acquire a");
            let refusal = parent.refused(&format!("child c try_acquire {childs}"));
            assert_eq!(refusal.class, "timed_out", "{before}, {childs}: the parent holds the lock");
            parent.ok("release a");
            parent.ok(&format!("child c try_lock {childs} g"));
            assert!(!parent.finds_free("a"));
            assert!(!other.finds_free("a"));
        }
    }
}

#[test]
fn l11_parent_and_child_wait_for_each_other() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut parent = Peer::with_handle("a", &path, "timeout=600000");
    parent.ok("repeat 1 acquire a ; release a");
    let child: u32 = parent.ok("fork c").parse().expect("a process id is a number");
    parent.ok("child c acquire a");
    parent.start_waiting("w", "acquire a", &path);
    parent.ok("child c release a");
    parent.wait_ok("w");
    parent.ok("child c start w acquire a");
    crate::support::until_waiting(child, &path, 1);
    assert_eq!(parent.ok("child c poll w"), "running");
    parent.ok("release a");
    parent.ok("child c wait w");
}

#[test]
fn l11_three_generations_exclude_each_other() {
    let scratch = Scratch::new();
    let mut peer = Peer::with_handle("a", scratch.lock_path(), "");
    peer.ok("repeat 1 acquire a ; release a");
    peer.ok("fork c");
    peer.ok("child c repeat 1 acquire a ; release a");
    peer.ok("child c fork c");
    peer.ok("child c child c repeat 1 acquire a ; release a");
    let generations = ["", "child c ", "child c child c "];
    for holder in generations {
        peer.ok(&format!("{holder}lock a g"));
        for other in generations {
            let refusal = peer.refused(&format!("{other}try_acquire a"));
            assert_eq!(refusal.class, "timed_out", "`{holder}` against `{other}`");
            let state = if holder == other { "exclusive" } else { "unlocked" };
            assert_eq!(peer.ok(&format!("{other}state a")), state);
        }
        peer.ok(&format!("{holder}drop_guard g"));
    }
    // Siblings.
    peer.ok("fork d");
    peer.ok("child c acquire a");
    assert_eq!(peer.refused("child d try_acquire a").class, "timed_out");
    peer.ok("child c release a");
    peer.ok("child d acquire a");
    assert_eq!(peer.refused("child c try_acquire a").class, "timed_out");
    assert_eq!(peer.refused("child c child c try_acquire a").class, "timed_out");
}

#[test]
fn l11_parent_and_child_have_separate_shared_holds() {
    let scratch = Scratch::new();
    let mut writer = Peer::with_handle("a", scratch.lock_path(), "");
    let mut parent = Peer::with_handle("a", scratch.lock_path(), "shared");
    parent.ok("acquire a");
    parent.ok("fork c");
    parent.ok("child c acquire a");
    assert_eq!(parent.ok("child c state a"), "shared 1");
    parent.ok("child c release a");
    assert!(!writer.finds_free("a"), "the parent holds the lock");
    parent.ok("child c acquire a");
    parent.ok("release a");
    assert!(!writer.finds_free("a"), "the child holds the lock");
    parent.ok("child c release a");
    assert!(writer.finds_free("a"));
}

#[test]
fn l7_a_killed_parents_lock_is_free_although_its_child_lives() {
    for before in ["state a", "repeat 1 acquire a ; release a", "repeat 1 lock a g ; drop_guard g"]
    {
        for acquire in ["lock a g", "acquire a"] {
            let scratch = Scratch::new();
            let mut other = Peer::with_handle("a", scratch.lock_path(), "");
            let mut parent = Peer::with_handle("a", scratch.lock_path(), "");
            parent.ok(before);
            let child = parent.ok("fork c");
            parent.ok("child c linger 300000");
            parent.ok(acquire);
            assert!(!other.finds_free("a"));
            parent.kill();
            assert!(is_alive(&child));
            assert!(other.finds_free("a"), "{before}, {acquire}");
            kill(&child);
        }
    }
}

#[test]
fn l7_a_killed_childs_lock_is_free_although_its_parent_lives() {
    for before in ["state a", "repeat 1 acquire a ; release a", "lock a g"] {
        let scratch = Scratch::new();
        let mut other = Peer::with_handle("a", scratch.lock_path(), "");
        let mut parent = Peer::with_handle("a", scratch.lock_path(), "shared");
        parent.ok(before);
        parent.ok("fork c");
        parent.ok("attempt drop_guard g");
        parent.ok("child c acquire a");
        assert!(!other.finds_free("a"));
        parent.ok("kill_child c");
        assert!(other.finds_free("a"), "{before}");
    }
}

/// A hold that exists at the fork ends with the parent, too: the child has closed its copy of the descriptor.
#[test]
fn l7_a_hold_at_the_fork_ends_with_the_parent() {
    for acquire in [&["lock a g"][..], &["acquire a"], &["lock a g", "lend_guard g"]] {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        let mut other = Peer::with_handle("a", &path, "timeout=600000");
        let mut parent = Peer::with_handle("a", &path, "");
        for command in acquire {
            parent.ok(command);
        }
        let child = parent.ok("fork c");
        parent.ok("child c linger 300000");
        other.start_waiting("w", "acquire a", &path);
        parent.kill();
        other.wait_ok("w");
        assert!(is_alive(&child));
        kill(&child);
    }
}

/// The same for a lock that another thread was waiting for at the fork.
#[test]
fn l7_a_wait_at_the_fork_ends_with_the_parent() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::with_handle("a", &path, "timeout=600000");
    let mut parent = Peer::with_handle("a", &path, "");
    holder.ok("acquire a");
    parent.start_waiting("w", "acquire a", &path);
    let child = parent.ok("fork c");
    parent.ok("child c linger 300000");
    holder.ok("release a");
    parent.wait_ok("w");
    holder.start_waiting("w", "acquire a", &path);
    parent.kill();
    holder.wait_ok("w");
    assert!(is_alive(&child));
    kill(&child);
}

/// A handle that a child inherits keeps an idle descriptor and remembers a failed release. Repeated use leaks nothing.
#[test]
fn l11_an_inherited_handle_works_as_a_new_one() {
    let scratch = Scratch::new();
    let mut parent = Peer::with_handle("a", scratch.lock_path(), "");
    parent.ok("repeat 1 acquire a ; release a");
    parent.ok("fork c");
    assert_eq!(parent.ask("child c release a").class(), "not_locked");
    assert_eq!(parent.ok("child c state a"), "released_error");
    parent.ok("child c acquire a");
    let free = parent.ok("child c free_descriptor");
    parent.ok("child c release a");
    assert_eq!(parent.ok("child c free_descriptor"), free, "the descriptor stays open for reuse");
    parent.ok("child c repeat 3 acquire a ; release a");
    assert_eq!(parent.ok("child c free_descriptor"), free);
}

/// No process in a chain of forks leaks a descriptor to its child.
#[test]
fn l13_a_chain_of_forks_loses_no_descriptors() {
    let scratch = Scratch::new();
    let mut peer = Peer::with_handle("a", scratch.lock_path(), "");
    let mut lowest = vec![];
    let mut to = String::new();
    for _ in 0..4 {
        peer.ok(&format!("{to}repeat 1 acquire a ; release a"));
        peer.ok(&format!("{to}lock a g"));
        lowest.push(peer.ok(&format!("{to}free_descriptor")));
        peer.ok(&format!("{to}drop_guard g"));
        peer.ok(&format!("{to}fork c"));
        to += "child c ";
    }
    // The first process is left out: its standard streams differ from those of its descendants.
    assert!(lowest[1..].windows(2).all(|it| it[0] == it[1]), "{lowest:?}");
}

/// A guard that the child drops closes the child's copy of the descriptor. When the parent is killed, the lock is free.
#[test]
fn l7_a_child_can_drop_an_inherited_guard() {
    let scratch = Scratch::new();
    let mut other = Peer::with_handle("a", scratch.lock_path(), "");
    for end_of_guard in ["drop_guard g", "attempt release_guard g"] {
        let mut parent = Peer::with_handle("a", scratch.lock_path(), "");
        parent.ok("lock a g");
        let child = parent.ok("fork c");
        parent.ok("child c linger 300000");
        parent.ok(&format!("child c {end_of_guard}"));
        assert!(!other.finds_free("a"));
        parent.kill();
        assert!(is_alive(&child));
        assert!(other.finds_free("a"));
        kill(&child);
    }
}

/// A child that is forked while other threads use the lock can use it.
#[test]
fn l11_a_child_forked_while_threads_use_the_lock_can_use_it() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    // flock(2) is not fair among threads that re-acquire in a loop, so the timeouts are long.
    let mut parent = Peer::with_handle("a", &path, "");
    parent.handle("timed", &path, "timeout=3600000");
    parent.handle("own", scratch.join("own.lock"), "");
    for (job, work) in [
        ("acquiring", "acquire timed ; release timed"),
        ("guarding", "lock a g ; drop_guard g"),
        ("trying", "attempt try_acquire own ; attempt release own"),
        ("naming", "handle b path=/nowhere/b.lock ; drop_handle b"),
    ] {
        parent.ok(&format!("start {job} repeat 1000000000 {work}"));
    }
    for turn in 0..60 {
        parent.ok("fork c");
        for name in ["a", "own"] {
            for command in ["state", "acquire", "state", "release"] {
                let value = parent.ok(&format!("child c {command} {name}"));
                assert!(command != "state" || ["unlocked", "exclusive"].contains(&&*value));
            }
        }
        parent.ok("child c handle c path=/nowhere/c.lock");
        parent.ok(&format!("child c {}", if turn % 2 == 0 { "drop_handle a" } else { "state a" }));
        parent.ok("kill_child c");
    }
    for job in ["acquiring", "guarding", "trying", "naming"] {
        parent.ok(&format!("stop {job}"));
        parent.wait_ok(job);
    }
    assert!(parent.finds_free("a"));
}

#[test]
fn l11_a_child_does_not_wait_for_its_parents_wait() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::with_handle("a", &path, "");
    holder.ok("acquire a");
    let mut parent = Peer::with_handle("a", &path, "timeout=600000");
    parent.start_waiting("w", "acquire a", &path);
    parent.ok("fork c");
    assert_eq!(parent.refused("child c try_acquire a").class, "timed_out");
    parent.assert_waiting("w");
    holder.ok("release a");
    parent.wait_ok("w");
    assert_eq!(
        parent.refused("child c try_acquire a").class,
        "timed_out",
        "the parent holds the lock"
    );
    parent.ok("release a");
    parent.ok("child c try_acquire a");
}

/// The path names another file when the lock is granted, so the library gives the grant up. A child that was forked during
/// the wait does not keep it: the next waiter in the queue also moves to the other file (L9).
#[test]
fn l11_a_child_keeps_no_lock_of_a_wait_for_a_replaced_file() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::with_handle("a", &path, "");
    holder.ok("acquire a");
    let mut parent = Peer::with_handle("a", &path, "");
    parent.start_waiting("w", "repeat 1 acquire a ; release a", &path);
    let mut next = Peer::with_handle("a", &path, "");
    next.start_waiting("w", "repeat 1 acquire a ; release a", &path);
    parent.ok("fork c");
    fs::write(scratch.join("other"), "").expect("the test should own the directory");
    fs::rename(scratch.join("other"), &path).expect("the test should own the directory");
    holder.ok("release a");
    // The order is open: the waiters are not in a queue of the new file.
    parent.wait_ok("w");
    next.wait_ok("w");
}

/// The same if the path cannot be resolved when the lock is granted.
#[test]
fn l11_a_child_keeps_no_lock_of_a_wait_that_fails() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::with_handle("a", &path, "");
    holder.ok("acquire a");
    holder.ok(&format!("open_foreign old {}", word(&path)));
    let mut parent = Peer::with_handle("a", &path, "");
    parent.start_waiting("w", "acquire a", &path);
    parent.ok("fork c");
    fs::remove_file(&path).expect("the test should own the directory");
    std::os::unix::fs::symlink(&path, &path).expect("the test should own the directory");
    holder.ok("release a");
    assert_eq!(parent.wait("w").class(), "verify");
    assert_eq!(holder.ok("try_foreign old exclusive"), "granted");
}
