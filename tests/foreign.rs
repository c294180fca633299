//! L14: Locket and programs that use plain `flock(2)` or `LockFileEx` exclude each other.

use crate::support::{Peer, Scratch, word};

#[test]
fn l14_a_foreign_holder_excludes_locket() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut foreign = Peer::spawn();
    foreign.ok(&format!("open_foreign f {}", word(&path)));
    let mut peer = Peer::with_handle("a", &path, "");
    peer.handle("readers", &path, "shared");
    for mode in ["exclusive", "shared"] {
        foreign.ok(&format!("lock_foreign f {mode}"));
        assert!(!peer.finds_free("a"));
        assert_eq!(peer.finds_free("readers"), mode == "shared");
        peer.start_waiting("w", "acquire a", &path);
        foreign.ok("unlock_foreign f");
        peer.wait_ok("w");
        peer.ok("release a");
    }
}

#[test]
fn l14_a_foreign_program_is_excluded() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut peer = Peer::with_handle("a", &path, "");
    peer.handle("readers", &path, "shared");
    let mut foreign = Peer::spawn();
    foreign.ok(&format!("open_foreign f {}", word(&path)));
    let mut tries = |mode: &str| {
        let answer = foreign.ok(&format!("try_foreign f {mode}"));
        if answer == "granted" {
            foreign.ok("unlock_foreign f");
        }
        answer == "granted"
    };

    peer.ok("lock a g");
    assert!(!tries("exclusive"));
    assert!(!tries("shared"));
    peer.ok("drop_guard g");

    peer.ok("acquire readers");
    assert!(!tries("exclusive"));
    assert!(tries("shared"));
    peer.ok("release readers");
    assert!(tries("exclusive"));

    peer.ok("lock a g");
    foreign.start_waiting("w", "lock_foreign f exclusive", &path);
    peer.ok("drop_guard g");
    foreign.wait_ok("w");
    assert!(!peer.finds_free("a"));
}
