//! L14: Locket and programs that use plain `flock(2)` or `LockFileEx` exclude each other.

use crate::support::prelude::*;

#[test]
fn l14_a_foreign_holder_excludes_locket() {
    let (_scratch, path) = Scratch::with_path();
    let mut foreign = Peer::spawn();
    foreign.open_foreign("f", &path);
    let mut peer = Peer::on(&path);
    peer.handle("readers", &path, &[Shared]);
    for mode in [Mode::Exclusive, Mode::Shared] {
        foreign.lock_foreign("f", mode);
        assert!(!peer.finds_free("a"));
        assert_eq!(peer.finds_free("readers"), mode == Mode::Shared);
        peer.start_waiting("w", Acquire("a"), &path);
        foreign.unlock_foreign("f");
        peer.wait_ok("w");
        peer.release("a");
    }
}

#[test]
fn l14_a_foreign_program_is_excluded() {
    let (_scratch, path, [mut peer]) = peers();
    peer.handle("readers", &path, &[Shared]);
    let mut foreign = Peer::spawn();
    foreign.open_foreign("f", &path);
    let mut tries = |mode| {
        let is_granted = foreign.try_foreign("f", mode);
        if is_granted {
            foreign.unlock_foreign("f");
        }
        is_granted
    };

    peer.lock("a", "g");
    assert!(!tries(Mode::Exclusive));
    assert!(!tries(Mode::Shared));
    peer.drop_guard("g");

    peer.acquire("readers");
    assert!(!tries(Mode::Exclusive));
    assert!(tries(Mode::Shared));
    peer.release("readers");
    assert!(tries(Mode::Exclusive));

    peer.lock("a", "g");
    foreign.start_waiting("w", LockForeign("f", Mode::Exclusive), &path);
    peer.drop_guard("g");
    foreign.wait_ok("w");
    assert!(!peer.finds_free("a"));
}
