//! File systems that are full or read-only.
//!
//! - L1: a file that can be opened can be locked.
//! - L12: a file that cannot be created is an error with the path, the action and the cause.
#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use crate::support::prelude::*;

/// Starts a peer in a new mount namespace, with a file system at the directory that the script sets up.
fn mounted(scratch: &Scratch, script: &str) -> Option<Peer> {
    let shell = |script: &str| {
        let dir = word_of_shell(scratch.path());
        format!("cd / && mount -t tmpfs -o mode=1777,nr_inodes=1k tmpfs {dir} && {script}")
            .replace("DIR", &dir)
    };
    let trial = Command::new("unshare").args(["-m", "sh", "-c", &shell(script)]).output();
    if !trial.is_ok_and(|output| output.status.success()) {
        skip_this("mounts: file systems cannot be mounted here");
        return None;
    }
    let script = shell(&format!("{script} && exec \"$0\""));
    Some(Peer::under(&["unshare", "-m", "sh", "-c", &script]))
}

fn word_of_shell(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[test]
fn l1_a_file_on_a_read_only_file_system_can_be_locked() {
    let scratch = Scratch::new();
    let script = "touch DIR/test.lock && mount -o remount,ro DIR";
    let Some(mut one) = mounted(&scratch, script) else {
        return;
    };
    one.handle("a", scratch.lock_path(), &[]);
    one.handle("missing", scratch.join("missing"), &[]);
    one.lock("a", "g");
    assert!(!one.finds_free("a"));
    one.drop_guard("g");
    assert!(one.finds_free("a"));
    let refusal = one.refuses(Acquire("missing"));
    assert_eq!(refusal.action, Action::Create);
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
fn l12_a_full_file_system_is_an_error_of_creation() {
    let scratch = Scratch::new();
    let script = "mount -o remount,nr_inodes=2 DIR && touch DIR/there";
    let Some(mut peer) = mounted(&scratch, script) else {
        return;
    };
    peer.handle("a", scratch.lock_path(), &[]);
    let refusal = peer.refuses(Acquire("a"));
    assert_eq!(refusal.action, Action::Create);
    let (path, place) = (scratch.lock_path(), scratch.path().display());
    let reason = format!(
        "{}: {place} (tmpfs) has no space for another file, even an empty one",
        words_of(libc::ENOSPC)
    );
    assert_eq!(refusal.message, format!("cannot create {}: {reason}", path.display()));
    assert_eq!(peer.state("a"), Unlocked);
    // A file that exists can be locked.
    peer.handle("there", scratch.join("there"), &[]);
    peer.acquire("there");
}
