//! L11: `Guard::inherit_on_fork` passes a hold to the children of `fork`.
#![cfg(unix)]

use crate::support::prelude::*;

/// Starts a peer that holds the lock with the guard `g` and passes it to children. Returns it and the id of its child `c`.
fn parent_with_child(scratch: &Scratch, settings: &[Setting]) -> (Peer, u32) {
    let mut parent = Peer::with(scratch.lock_path(), settings);
    parent.lock("a", "g");
    parent.inherit_on_fork("g");
    let child = parent.fork("c");
    (parent, child)
}

/// A program that locks and then becomes a daemon needs this.
#[test]
fn l11_an_inherited_hold_belongs_to_parent_and_child() {
    for (settings, state) in [(&[][..], HeldExclusive), (&[Shared], HeldShared(1))] {
        let (scratch, path, [mut other]) = peers();
        let (mut parent, child) = parent_with_child(&scratch, settings);
        // Through an inherited handle and a new one, before the child uses the guard.
        parent.child("c").handle("new", &path, &[]);
        for handle in ["a", "new"] {
            assert_eq!(parent.child("c").state(handle), state);
        }
        assert!(parent.child("c").is_current("g"));
        assert_eq!(parent.child("c").refuses(Release("a")).kind, NotLocked);
        parent.child("c").linger(300_000);
        parent.kill();
        assert!(is_alive(child) && !other.finds_free("a"), "the child holds the lock");
        kill(child);
        other.acquire("a");
    }
}

/// Parent and child end their holds in either order. The lock is free after the second.
#[test]
fn l11_an_inherited_hold_ends_with_its_last_guard() {
    for (first, last) in [(&[][..], &["c"][..]), (&["c"], &[])] {
        for end in [DropGuard("g"), ReleaseGuard("g")] {
            let (scratch, _, [mut other]) = peers();
            let (mut parent, _) = parent_with_child(&scratch, &[]);
            parent.ok(in_child(first, end.clone()));
            assert_eq!(parent.ok(in_child(first, State("a"))), Value::State(Unlocked));
            assert_eq!(parent.ok(in_child(last, State("a"))), Value::State(HeldExclusive));
            assert!(!other.finds_free("a"), "{first:?} {end:?}");
            parent.ok(in_child(last, end.clone()));
            assert_eq!(parent.ok(in_child(last, State("a"))), Value::State(Unlocked));
            assert!(other.finds_free("a"), "{last:?} {end:?}");
        }
    }
}

/// Parent and child share the offset of the descriptor. If one lends its descriptor or passes it on, the other can still
/// release its hold.
#[test]
fn l11_an_inherited_hold_can_be_lent() {
    for (first, last) in [(&[][..], &["c"][..]), (&["c"], &[])] {
        for end in [DropGuard("g"), InheritOnExec("g")] {
            let (scratch, _, [mut other]) = peers();
            let (mut parent, _) = parent_with_child(&scratch, &[]);
            parent.ok(in_child(first, Lend("g")));
            parent.ok(in_child(first, end.clone()));
            assert_eq!(parent.ok(in_child(last, IsCurrent("g"))), Value::Flag(true));
            parent.ok(in_child(last, ReleaseGuard("g")));
            if end == DropGuard("g") {
                assert!(other.finds_free("a"), "{first:?} {end:?}");
            } else {
                assert!(!other.finds_free("a"), "a hold that was passed on stays");
                assert_eq!(parent.ok(in_child(first, State("a"))), Value::State(HeldExclusive));
            }
        }
    }
}

#[test]
fn l11_an_inherited_hold_cannot_be_downgraded() {
    let scratch = Scratch::new();
    let (mut parent, _) = parent_with_child(&scratch, &[]);
    for to in [&[][..], &["c"]] {
        let refusal = parent.refuses(in_child(to, Downgrade("g")));
        refusal.assert_says("shared with children of fork");
    }
    assert_eq!(parent.state("a"), HeldExclusive);
}

/// The hold survives a chain of forks in which every parent drops its guard.
#[test]
fn l11_an_inherited_hold_passes_to_grandchildren() {
    let (scratch, _, [mut other]) = peers();
    let (mut peer, _) = parent_with_child(&scratch, &[]);
    peer.child("c").fork("c");
    peer.drop_guard("g");
    peer.child("c").drop_guard("g");
    assert!(!other.finds_free("a"));
    assert_eq!(peer.child("c").child("c").state("a"), HeldExclusive);
    peer.child("c").child("c").drop_guard("g");
    assert!(other.finds_free("a"));
}
