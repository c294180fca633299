//! L11: `Guard::inherit_on_fork` passes a hold to the children of `fork`.
#![cfg(unix)]

use crate::support::{Peer, Scratch, is_alive, kill, word};

/// Starts a peer that holds the lock with the guard `g` and passes it to children. Returns it and the id of its child `c`.
fn parent_with_child(scratch: &Scratch, options: &str) -> (Peer, String) {
    let mut parent = Peer::with_handle("a", scratch.lock_path(), options);
    parent.ok("lock a g");
    parent.ok("inherit_on_fork_guard g");
    let child = parent.ok("fork c");
    (parent, child)
}

/// A program that locks and then becomes a daemon needs this.
#[test]
fn l11_an_inherited_hold_belongs_to_parent_and_child() {
    for (options, state) in [("", "exclusive"), ("shared", "shared 1")] {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        let mut other = Peer::with_handle("a", &path, "");
        let (mut parent, child) = parent_with_child(&scratch, options);
        // Through an inherited handle and a new one, before the child uses the guard.
        parent.ok(&format!("child c handle new path={}", word(&path)));
        for handle in ["a", "new"] {
            assert_eq!(parent.ok(&format!("child c state {handle}")), state);
        }
        assert_eq!(parent.ok("child c is_current g"), "true");
        assert_eq!(parent.refused("child c release a").class, "not_locked");
        parent.ok("child c linger 300000");
        parent.kill();
        assert!(is_alive(&child) && !other.finds_free("a"), "the child holds the lock");
        kill(&child);
        other.ok("acquire a");
    }
}

/// Parent and child end their holds in either order. The lock is free after the second.
#[test]
fn l11_an_inherited_hold_ends_with_its_last_guard() {
    for (first, last) in [("", "child c "), ("child c ", "")] {
        for end in ["drop_guard g", "release_guard g"] {
            let scratch = Scratch::new();
            let mut other = Peer::with_handle("a", scratch.lock_path(), "");
            let (mut parent, _) = parent_with_child(&scratch, "");
            parent.ok(&format!("{first}{end}"));
            assert_eq!(parent.ok(&format!("{first}state a")), "unlocked");
            assert_eq!(parent.ok(&format!("{last}state a")), "exclusive");
            assert!(!other.finds_free("a"), "{first}{end}");
            parent.ok(&format!("{last}{end}"));
            assert_eq!(parent.ok(&format!("{last}state a")), "unlocked");
            assert!(other.finds_free("a"), "{last}{end}");
        }
    }
}

/// Parent and child share the offset of the descriptor. If one lends its descriptor or passes it on, the other can still
/// release its hold.
#[test]
fn l11_an_inherited_hold_can_be_lent() {
    for (first, last) in [("", "child c "), ("child c ", "")] {
        for end in ["drop_guard g", "inherit_on_exec_guard g"] {
            let scratch = Scratch::new();
            let mut other = Peer::with_handle("a", scratch.lock_path(), "");
            let (mut parent, _) = parent_with_child(&scratch, "");
            parent.ok(&format!("{first}lend_guard g"));
            parent.ok(&format!("{first}{end}"));
            assert_eq!(parent.ok(&format!("{last}is_current g")), "true");
            parent.ok(&format!("{last}release_guard g"));
            if end == "drop_guard g" {
                assert!(other.finds_free("a"), "{first}{end}");
            } else {
                assert!(!other.finds_free("a"), "a hold that was passed on stays");
                assert_eq!(parent.ok(&format!("{first}state a")), "exclusive");
            }
        }
    }
}

#[test]
fn l11_an_inherited_hold_cannot_be_downgraded() {
    let scratch = Scratch::new();
    let (mut parent, _) = parent_with_child(&scratch, "");
    for to in ["", "child c "] {
        let refusal = parent.refused(&format!("{to}downgrade g"));
        assert!(refusal.message.contains("shared with children of fork"), "{refusal:?}");
    }
    assert_eq!(parent.ok("state a"), "exclusive");
}

/// The hold survives a chain of forks in which every parent drops its guard.
#[test]
fn l11_an_inherited_hold_passes_to_grandchildren() {
    let scratch = Scratch::new();
    let mut other = Peer::with_handle("a", scratch.lock_path(), "");
    let (mut peer, _) = parent_with_child(&scratch, "");
    peer.ok("child c fork c");
    peer.ok("drop_guard g");
    peer.ok("child c drop_guard g");
    assert!(!other.finds_free("a"));
    assert_eq!(peer.ok("child c child c state a"), "exclusive");
    peer.ok("child c child c drop_guard g");
    assert!(other.finds_free("a"));
}
