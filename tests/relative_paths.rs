//! Relative paths whose absolute path cannot be used.
//!
//! - L10: a file that the system can open by its relative path can be locked: below a directory that the user may not enter,
//!   in a directory whose path is longer than `PATH_MAX`, and in a directory whose path leads to another one.
//! - L13: such a handle keeps one descriptor for its directory open. Other handles do not.
#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{CWD, Mode as FileMode, OFlags, mkdirat, openat};

use crate::support::prelude::*;

/// Starts a peer of another user in a directory below one that the user may not enter. `sudo` can lead to this.
fn below_a_closed_directory() -> Outcome<Option<(Scratch, PathBuf, Peer)>> {
    if !has_root() {
        return Ok(None);
    }
    let scratch = Scratch::new();
    let closed = scratch.join("closed");
    let place = closed.join("open");
    fs::create_dir_all(&place)?;
    fs::set_permissions(&closed, Permissions::from_mode(0o700))?;
    fs::set_permissions(&place, Permissions::from_mode(0o777))?;
    let mut peer = Peer::spawn();
    peer.change_directory(&place);
    peer.become_user(1234);
    Ok(Some((scratch, place, peer)))
}

#[test]
fn l10_a_file_below_a_closed_ancestor_can_be_locked() -> Outcome {
    let Some((_scratch, place, mut peer)) = below_a_closed_directory()? else { return Ok(()) };
    let path = place.join("test.lock");
    let before = peer.descriptors();
    assert_eq!(
        Path::new(&peer.handle("a", "test.lock", &[])),
        path,
        "the handle should show the absolute path"
    );
    peer.handle("again", "./test.lock", &[Timeout(60_000)]);
    assert_eq!(peer.descriptors(), before + 1, "both handles should share one directory");
    // The file is created there. It is the same lock as by the absolute path.
    peer.lock("a", "g");
    let mut root = Peer::on(&path);
    assert!(!root.finds_free("a"));
    assert_eq!(peer.state("again"), HeldExclusive, "one path, one state");
    assert!(peer.is_current("g"));
    assert!(peer.status("a").contains(&peer.pid().to_string()));
    peer.drop_guard("g");

    // The handle uses its directory also after a chdir.
    peer.change_directory("/");
    peer.acquire("a");
    assert!(!root.finds_free("a"));
    peer.release("again");
    root.acquire("a");
    peer.start_waiting("w", Lock("again", "g"), &path);
    // L9: the waiter notices that the file was removed.
    fs::remove_file(&path)?;
    root.release("a");
    peer.wait_ok("w");
    assert!(peer.is_current("g"));
    assert!(!root.finds_free("a"));
    fs::remove_file(&path)?;
    assert!(!peer.is_current("g"));
    peer.drop_guard("g");

    // The check above can fail: by the absolute path the file cannot be opened.
    peer.handle("absolute", &path, &[]);
    let refusal = peer.refuses(Acquire("absolute"));
    refusal.assert_says("user 1234 cannot search");
    for name in ["a", "again", "absolute"] {
        peer.drop_handle(name);
    }
    assert_eq!(peer.descriptors(), before);
    Ok(())
}

/// Links are followed from that directory, and the file is created where the last link leads.
#[test]
fn l10_links_below_a_closed_ancestor_are_followed() -> Outcome {
    let Some((_scratch, place, mut peer)) = below_a_closed_directory()? else { return Ok(()) };
    fs::create_dir(place.join("sub"))?;
    fs::set_permissions(place.join("sub"), Permissions::from_mode(0o777))?;
    std::os::unix::fs::symlink("sub/second", place.join("first"))?;
    std::os::unix::fs::symlink("../end", place.join("sub/second"))?;
    peer.handle("a", "first", &[]);
    peer.acquire("a");
    assert!(!Peer::on(place.join("end")).finds_free("a"));
    peer.handle("strict", "first", &[FollowLinks(false)]);
    assert!(peer.refuses(Acquire("strict")).message.contains(&words_of(libc::ELOOP)));
    peer.handle("missing", "missing/test.lock", &[]);
    let refusal = peer.refuses(Acquire("missing"));
    assert_eq!((refusal.action, refusal.kind), (Action::Create, InvalidPath), "{refusal:?}");
    peer.handle("directory", ".", &[]);
    assert!(peer.refuses(Acquire("directory")).message.contains(&words_of(libc::EISDIR)));
    Ok(())
}

/// A child of fork uses the directory that it has inherited.
#[test]
fn l11_a_child_uses_the_inherited_directory() -> Outcome {
    let Some((_scratch, place, mut peer)) = below_a_closed_directory()? else { return Ok(()) };
    let mut root = Peer::on(place.join("test.lock"));
    peer.handle("a", "test.lock", &[]);
    peer.change_directory("/");
    peer.acquire("a");
    peer.fork("c");
    assert_eq!(peer.child("c").state("a"), Unlocked);
    assert_eq!(peer.child("c").refuses(TryAcquire("a")).kind, WouldBlock);
    peer.release("a");
    peer.child("c").acquire("a");
    assert!(!root.finds_free("a"));
    peer.child("c").release("a");
    peer.child("c").drop_handle("a");
    peer.acquire("a");
    peer.release("a");
    peer.end_child("c");
    Ok(())
}

/// A path may have 4,095 bytes (`PATH_MAX`), and a directory may be deeper.
#[test]
fn l10_a_file_in_a_deep_directory_can_be_locked() -> Outcome {
    let scratch = Scratch::new();
    let name = "d".repeat(200);
    let mut peer = Peer::spawn();
    peer.change_directory(scratch.path());
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut directory = openat(CWD, scratch.path(), flags, FileMode::empty())?;
    let mut length = scratch.path().as_os_str().len();
    // The depths include one at which the path of the directory is short enough and that of the file is too long.
    for depth in 0..25 {
        mkdirat(&directory, &name, FileMode::RWXU)?;
        directory = openat(&directory, &name, flags, FileMode::empty())?;
        length += 1 + name.len();
        peer.change_directory(&name);
        let file = "f".repeat(200);
        if length + 1 + file.len() < 3_500 {
            continue;
        }
        let before = peer.descriptors();
        peer.handle("a", &file, &[]);
        let is_long = length + 1 + file.len() >= 4_096;
        assert_eq!(peer.descriptors(), before + usize::from(is_long), "at a depth of {depth}");
        peer.lock("a", "g");
        let made = format!("/proc/{}/cwd/{file}", peer.pid());
        assert!(!Peer::on(made).finds_free("a"), "at a depth of {depth}");
        assert!(peer.is_current("g"));
        peer.drop_guard("g");
        peer.drop_handle("a");
        assert_eq!(peer.descriptors(), before);
    }
    assert!(length > 4_096, "the directory should be deep enough");
    Ok(())
}

/// Another file system is mounted over the current directory. The path leads to the mounted one, the relative path to the
/// covered directory.
#[test]
fn l10_a_relative_path_uses_the_covered_directory() -> Outcome {
    if !has_root() {
        return Ok(());
    }
    let scratch = Scratch::new();
    let directory = scratch.path().display().to_string();
    let cover = "cd \"$0\" && mount -t tmpfs none \"$0\" && exec \"$@\"";
    let wrapper = ["unshare", "--mount", "sh", "-c", cover, &directory];
    if !Command::new("unshare").args(&wrapper[1..]).arg("true").status()?.success() {
        skip_this("mount: not allowed here");
        return Ok(());
    }
    let mut peer = Peer::under(&wrapper);
    peer.handle("covered", "test.lock", &[]);
    peer.handle("covering", scratch.lock_path(), &[]);
    peer.acquire("covered");
    assert_eq!(peer.state("covering"), Unlocked, "another file, another state");
    peer.acquire("covering");
    let seen = |path: &Path| PathBuf::from(format!("/proc/{}/root{}", peer.pid(), path.display()));
    assert!(seen(&scratch.lock_path()).exists());
    // Outside the mount namespace the path names the file in the covered directory.
    assert!(!Peer::on(scratch.lock_path()).finds_free("a"));
    Ok(())
}

/// From a deleted directory `..` still leads to its parent. No file can be created in it.
#[test]
fn l10_a_deleted_directory_leads_to_its_parent() -> Outcome {
    let scratch = Scratch::new();
    let gone = scratch.join("gone");
    fs::create_dir(&gone)?;
    let mut peer = Peer::spawn();
    peer.change_directory(&gone);
    fs::remove_dir(&gone)?;
    peer.handle("a", "test.lock", &[]);
    let refusal = peer.refuses(Acquire("a"));
    assert_eq!((refusal.action, refusal.kind), (Action::Create, InvalidPath), "{refusal:?}");
    let reason = "the current directory in which the handle was made has been deleted";
    let message = format!("cannot create test.lock: {}: {reason}", words_of(libc::ENOENT));
    assert_eq!(refusal.message, message);
    assert_eq!(peer.state("a"), Unlocked);
    peer.handle("b", scratch.lock_path(), &[]);
    assert!(peer.finds_free("b"), "an absolute path should still work");
    peer.handle("parent", "../test.lock", &[]);
    peer.acquire("parent");
    assert!(!Peer::on(scratch.lock_path()).finds_free("a"));
    Ok(())
}

#[test]
fn l13_an_ordinary_handle_keeps_no_directory() {
    let scratch = Scratch::new();
    let mut peer = Peer::spawn();
    peer.change_directory(scratch.path());
    let before = peer.descriptors();
    peer.handle("relative", "test.lock", &[]);
    peer.handle("absolute", scratch.lock_path(), &[]);
    assert_eq!(peer.descriptors(), before);
}

/// The host has closed the descriptor of the directory, and its number may belong to another file. The library locks
/// nothing through it.
#[test]
fn l13_a_directory_that_the_host_has_closed_is_an_error() -> Outcome {
    let Some((scratch, place, mut peer)) = below_a_closed_directory()? else { return Ok(()) };
    peer.handle("a", "test.lock", &[]);
    peer.lose_descriptor(&place);
    for _ in 0..2 {
        let refusal = peer.refuses(Acquire("a"));
        refusal.assert_says("has closed the descriptor of its directory");
        // In the second turn the number belongs to another file.
        fs::set_permissions(scratch.path(), Permissions::from_mode(0o777))?;
        peer.open_foreign("f", scratch.join("other"));
    }
    peer.drop_handle("a");
    assert!(peer.try_foreign("f", Mode::Exclusive));
    Ok(())
}

/// If no descriptor is free, the library closes an idle one to keep the directory open.
#[test]
fn l13_an_idle_descriptor_is_closed_for_a_directory() -> Outcome {
    let Some((_scratch, _place, mut peer)) = below_a_closed_directory()? else {
        return Ok(());
    };
    peer.handle("first", "first.lock", &[]);
    peer.acquire("first");
    peer.release("first");
    // The limit is the lowest free number.
    peer.limit_files(peer.limit_for(1) - 1);
    peer.handle("second", "second.lock", &[]);
    // The check above can fail: without an idle descriptor the directory cannot be kept open.
    peer.handle("third", "third.lock", &[]);
    let refusal = peer.refuses(Acquire("third"));
    assert_eq!(refusal.kind, ResourceExhausted, "{refusal:?}");
    refusal.assert_says("the current directory could not be kept open");
    Ok(())
}
