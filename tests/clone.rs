//! L11: a child of clone(2), for which no fork handler runs, holds nothing and changes nothing of its parent's.
#![cfg(target_os = "linux")]

use crate::support::{Peer, Scratch};

/// A child of clone(2) runs no fork handler. It does not move the offset of its parent's descriptor.
#[test]
fn l11_a_child_of_clone_does_not_move_its_parents_offset() {
    let scratch = Scratch::new();
    let mut parent = Peer::with_handle("a", scratch.lock_path(), "");
    parent.ok("lock a g");
    parent.ok("clone c");
    parent.ok("child c lend_guard g");
    assert_eq!(parent.ok("is_current g"), "true");
    parent.ok("release_guard g");
    assert!(Peer::with_handle("a", scratch.lock_path(), "").finds_free("a"));
}

/// A child of clone(2) runs no fork handler. It detects by itself that it is a child: it holds nothing and unlocks nothing.
/// It closes its copy of the descriptor with the guard.
#[test]
fn l11_a_child_of_clone_holds_nothing() {
    for before in ["state a", "repeat 1 acquire a ; release a"] {
        let scratch = Scratch::new();
        let mut other = Peer::with_handle("a", scratch.lock_path(), "");
        let mut parent = Peer::with_handle("a", scratch.lock_path(), "");
        parent.ok(before);
        for (acquire, end) in [("lock a g", "drop_guard g"), ("acquire a", "release a")] {
            parent.ok(acquire);
            parent.ok("clone c");
            assert_eq!(parent.ok("child c state a"), "unlocked");
            assert_eq!(parent.ask("child c release a").class(), "not_locked");
            assert_eq!(parent.ask("child c try_acquire a").class(), "timed_out");
            if acquire == "lock a g" {
                parent.ok("child c drop_guard g");
            }
            assert!(!other.finds_free("a"), "{before}, {acquire}");
            parent.ok(end);
            assert!(other.finds_free("a"));
            parent.ok("child c acquire a");
            assert!(!parent.finds_free("a") && !other.finds_free("a"));
            // The child can fork, too.
            parent.ok("child c fork d");
            assert_eq!(parent.ok("child c child d state a"), "unlocked");
            parent.ok("child c end_child d");
            parent.ok("child c release a");
            parent.ok("end_child c");
        }
    }
}
