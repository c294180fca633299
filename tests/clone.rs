//! L11: a child of clone(2), for which no fork handler runs, holds nothing and changes nothing of its parent's.
#![cfg(target_os = "linux")]

use crate::support::prelude::*;

/// A child of clone(2) runs no fork handler. It does not move the offset of its parent's descriptor.
#[test]
fn l11_a_child_of_clone_does_not_move_its_parents_offset() {
    let (scratch, _, [mut parent]) = peers();
    parent.lock("a", "g");
    parent.ok(CloneChild("c"));
    parent.child("c").lend("g");
    assert!(parent.is_current("g"));
    parent.release_guard("g");
    assert!(Peer::on(scratch.lock_path()).finds_free("a"));
}

/// A child of clone(2) runs no fork handler. It detects by itself that it is a child: it holds nothing and unlocks nothing.
/// It closes its copy of the descriptor with the guard.
#[test]
fn l11_a_child_of_clone_holds_nothing() {
    for before in [State("a"), repeat(1, [Acquire("a"), Release("a")])] {
        let (_scratch, _, [mut other, mut parent]) = peers();
        parent.ok(&before);
        for (acquire, end) in [(Lock("a", "g"), DropGuard("g")), (Acquire("a"), Release("a"))] {
            parent.ok(&acquire);
            parent.ok(CloneChild("c"));
            assert_eq!(parent.child("c").state("a"), Unlocked);
            assert_eq!(parent.child("c").ask(Release("a")).kind(), Some(NotLocked));
            assert_eq!(parent.child("c").ask(TryAcquire("a")).kind(), Some(WouldBlock));
            if acquire == Lock("a", "g") {
                parent.child("c").drop_guard("g");
            }
            assert!(!other.finds_free("a"), "{before:?}, {acquire:?}");
            parent.ok(end);
            assert!(other.finds_free("a"));
            parent.child("c").acquire("a");
            assert!(!parent.finds_free("a") && !other.finds_free("a"));
            // The child can fork, too.
            parent.child("c").fork("d");
            assert_eq!(parent.child("c").child("d").state("a"), Unlocked);
            parent.child("c").end_child("d");
            parent.child("c").release("a");
            parent.end_child("c");
        }
    }
}
