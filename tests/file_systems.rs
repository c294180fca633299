//! File systems that are full or read-only.
//!
//! - L1: a file that can be opened can be locked.
//! - L8, L12: a file that cannot be created is an error with the path, the action and the cause.
#![cfg(target_os = "linux")]

use std::fs;

use crate::support::prelude::*;

#[test]
fn l1_a_file_on_a_read_only_file_system_can_be_locked() {
    let scratch = Scratch::new();
    let script = "mount -t tmpfs none $0; touch $0/test.lock; mount -o remount,ro $0";
    let Some(mut one) = Peer::with_mounts(scratch.path(), script) else { return };
    one.handle("a", scratch.lock_path(), &[]);
    one.handle("missing", scratch.join("missing"), &[]);
    one.lock("a", "g");
    assert!(!one.finds_free("a"));
    one.drop_guard("g");
    assert!(one.finds_free("a"));
    let refusal = one.refuses(Acquire("missing"));
    assert_eq!((refusal.action, refusal.kind), (Action::Create, PermissionDenied));
    let (path, place) = (scratch.join("missing"), scratch.path().display());
    let reason = format!(
        "{}: {place} (tmpfs) is read-only: an existing lock file can be locked, but none can be \
         created",
        words_of(libc::EROFS)
    );
    assert_eq!(refusal.message, format!("cannot create {}: {reason}", path.display()));
    assert!(!scratch.lock_path().exists(), "the file system should be visible to the peer only");
}

#[test]
fn l8_a_full_disk_is_an_error_only_for_a_missing_file() {
    let scratch = Scratch::new();
    let mount = scratch.join("disk");
    fs::create_dir(&mount).expect("the test should own the directory");
    // The file system has three inodes, for its root and two files, and one block, which the second file fills.
    let script = "mount -t tmpfs -o size=4k,nr_inodes=3 none $0/disk; : >$0/disk/there; \
                  { head -c 8192 /dev/zero >$0/disk/full || :; } 2>/dev/null; \
                  if { echo more >>$0/disk/there; } 2>/dev/null; then exit 1; fi";
    let Some(mut peer) = Peer::with_mounts(scratch.path(), script) else {
        return;
    };
    peer.handle("there", mount.join("there"), &[]);
    peer.handle("missing", mount.join("missing"), &[Timeout(100)]);
    let descriptors = peer.descriptors();
    for _ in 0..10 {
        let refusal = peer.refuses(Acquire("missing"));
        assert_eq!(refusal.action, Action::Create, "{refusal:?}");
        let reason = "(tmpfs) has no space for another file, even an empty one";
        refusal.assert_says(&format!("(os error 28): {} {reason}", mount.display()));
        assert_eq!(refusal.kind, ResourceExhausted);
        assert_eq!(peer.state("missing"), Unlocked);
    }
    assert_eq!(peer.descriptors(), descriptors);
    for turn in [
        repeat(10, [Acquire("there"), Release("there")]),
        repeat(10, [Lock("there", "g"), DropGuard("g")]),
    ] {
        assert_eq!(peer.ok(turn), Value::Number(10));
    }
    peer.acquire("there");
    assert_eq!(peer.state("there"), HeldExclusive);
}
