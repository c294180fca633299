//! Lock files of other users.
//!
//! - L1: users with only read access to the file use the same lock as its owner.
//! - L8: a missing lock file is created; an existing one is opened unchanged.
//! - L12: a file that the user may not open or create is an error with the path, the action and the cause.
#![cfg(unix)]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::prelude::*;

/// Starts a peer of another user with a handle `a`.
fn user(id: u32, path: &Path, settings: &[Setting]) -> Peer {
    let mut peer = Peer::with(path, settings);
    peer.umask(0o022);
    peer.become_user(id);
    peer
}

/// Makes a directory like `/tmp`. Skips the test and returns `None` if it cannot run peers of other users.
#[track_caller]
fn sticky() -> Option<(Scratch, PathBuf)> {
    let scratch = has_root().then(Scratch::sticky)?;
    let path = scratch.lock_path();
    Some((scratch, path))
}

/// In a directory like `/tmp` the first user creates the file, and the other users may read it.
#[test]
fn l1_users_share_a_sticky_directory() -> Outcome {
    let Some((_scratch, path)) = sticky() else { return Ok(()) };
    let mut one = user(1234, &path, &[]);
    let mut other = user(4321, &path, &[Timeout(600_000)]);
    let mut root = Peer::on(&path);

    one.acquire("a");
    assert_eq!(fs::metadata(&path)?.uid(), 1234);
    assert_eq!(fs::metadata(&path)?.mode() & 0o7777, 0o644);
    assert!(!other.finds_free("a"));
    assert!(!root.finds_free("a"));
    other.start_waiting("w", Lock("a", "g"), &path);
    one.release("a");
    other.wait_ok("w");
    assert!(!one.finds_free("a"));
    assert!(!root.finds_free("a"));
    other.drop_guard("g");
    root.acquire("a");
    assert!(!one.finds_free("a"));
    assert!(!other.finds_free("a"));
    Ok(())
}

/// A handle is made before the file exists. Another user then creates the file.
#[test]
fn l1_a_file_created_by_another_user_can_be_locked() -> Outcome {
    let Some((_scratch, path)) = sticky() else { return Ok(()) };
    let mut early = user(1234, &path, &[]);
    assert!(!path.exists());
    let mut maker = user(4321, &path, &[]);
    maker.lock("a", "g");
    assert_eq!(fs::metadata(&path)?.uid(), 4321);
    assert!(!early.finds_free("a"));
    maker.drop_guard("g");
    early.lock("a", "g");
    assert!(!maker.finds_free("a"));
    Ok(())
}

/// `fs.protected_regular` forbids `O_CREAT` on another user's file in a sticky directory, also for root (proc(5)). Not
/// every machine has it set, so the test checks the flags of the open calls.
#[cfg(target_os = "linux")]
#[test]
fn l8_an_existing_file_is_opened_without_o_creat() -> Outcome {
    let scratch = Scratch::sticky();
    let path = scratch.lock_path();
    let only = format!("--trace-path={}", path.display());
    let Some(mut strace) = Strace::spawn(&[&only]) else { return Ok(()) };
    File::create(&path)?;
    strace.handle("a", &path, &[]);
    strace.acquire("a");
    strace.release("a");
    // The same after the file was replaced.
    fs::remove_file(&path)?;
    File::create(&path)?;
    strace.acquire("a");
    strace.release("a");
    // A missing file is opened with `O_CREAT`.
    fs::remove_file(&path)?;
    strace.acquire("a");
    let trace = strace.end();
    let opens: Vec<bool> = trace
        .calls()
        .filter(|call| call.starts_with("open"))
        .map(|call| call.contains("O_CREAT"))
        .collect();
    assert_eq!(opens, [false, false, false, true]);
    assert_eq!(trace.count("O_TRUNC"), 0);
    Ok(())
}

#[test]
fn l8_the_mode_decides_which_users_can_lock() {
    let Some((_scratch, path)) = sticky() else { return };
    let mut one = user(1234, &path, &[FileMode(0o600)]);
    let mut other = user(4321, &path, &[]);
    one.acquire("a");
    one.release("a");
    let why = "user 4321 cannot read it (owner 1234, mode 0600), in a directory where every user may create files: \
               give its users read access (chmod a+r), or choose another lock file";
    assert_denied(&mut other, Action::Open, &path, why);
}

#[track_caller]
fn assert_denied(peer: &mut Peer, action: Action, path: &Path, why: &str) {
    let refusal = peer.refuses(Acquire("a"));
    let message = format!("cannot {action} {}: {}: {why}", path.display(), words_of(libc::EACCES));
    assert_eq!(refusal, Refusal { kind: PermissionDenied, action, message });
}

#[test]
fn l1_a_read_only_file_can_be_locked() -> Outcome {
    let Some((_scratch, path)) = sticky() else { return Ok(()) };
    fs::write(&path, "as it was")?;
    fs::set_permissions(&path, Permissions::from_mode(0o444))?;
    let mut one = user(1234, &path, &[]);
    let mut other = user(4321, &path, &[]);
    let mut reader = user(4321, &path, &[Shared]);
    one.lock("a", "g");
    assert!(!other.finds_free("a"));
    assert!(!reader.finds_free("a"));
    one.drop_guard("g");
    reader.lock("a", "g");
    assert!(!one.finds_free("a"));
    assert_eq!(fs::read_to_string(&path)?, "as it was");
    Ok(())
}

#[test]
fn l12_a_directory_that_may_not_be_written_or_entered() -> Outcome {
    let Some((scratch, path)) = sticky() else { return Ok(()) };
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o755))?;
    let mut peer = user(1234, &path, &[]);
    let directory = scratch.path().display();
    let why = format!(
        "user 1234 cannot create files in {directory} (owner root, mode 0755): create the lock file \
         beforehand, or choose another directory"
    );
    assert_denied(&mut peer, Action::Create, &path, &why);
    assert!(!path.exists());

    // An existing file can be locked.
    File::create(&path)?;
    assert!(peer.finds_free("a"));
    peer.drop_handle("a");

    fs::set_permissions(scratch.path(), Permissions::from_mode(0o700))?;
    peer.handle("a", &path, &[]);
    let why = format!("user 1234 cannot search {directory} (chmod +x)");
    assert_denied(&mut peer, Action::Open, &path, &why);
    Ok(())
}

/// A file that the user may write but not read is opened for writing.
#[test]
fn l1_a_write_only_file_can_be_locked() -> Outcome {
    let Some((_scratch, path)) = sticky() else { return Ok(()) };
    fs::write(&path, "as it was")?;
    chown(&path, Some(1234), None)?;
    fs::set_permissions(&path, Permissions::from_mode(0o200))?;
    let mut writer = user(1234, &path, &[]);
    let mut root = Peer::on(&path);
    writer.lock("a", "g");
    assert!(!root.finds_free("a"));
    #[cfg(target_os = "linux")]
    assert_eq!(access_of_open(writer.pid(), &path)?, [libc::O_WRONLY]);
    writer.drop_guard("g");
    root.lock("a", "g");
    assert!(!writer.finds_free("a"));
    assert_eq!(fs::read_to_string(&path)?, "as it was");
    // The user may neither read nor write the file.
    fs::set_permissions(&path, Permissions::from_mode(0o000))?;
    let refusal = user(1234, &path, &[]).refuses(Acquire("a"));
    assert_eq!((refusal.action, refusal.kind), (Action::Open, PermissionDenied));
    Ok(())
}

/// Another user must not be able to decide where this user's file is created. Linux has `fs.protected_symlinks` for that
/// (proc(5)), but it is off on some machines.
#[test]
fn l8_no_file_is_created_through_another_users_link() -> Outcome {
    if !has_root() {
        return Ok(());
    }
    // The owner of the directory, the owner of the link, and whether the library follows the link for user 1234.
    let cases =
        [(0, 1234, true), (0, 0, true), (4321, 4321, true), (0, 4321, false), (1234, 4321, false)];
    for (owner, maker, is_trusted) in cases {
        let scratch = Scratch::sticky();
        let away = Scratch::sticky();
        let target = away.join("target");
        chown(scratch.path(), Some(owner), None)?;
        let link = scratch.lock_path();
        symlink(&target, &link)?;
        lchown(&link, Some(maker), None)?;
        // The same if the link is the second of two.
        let first = away.join("first");
        symlink(&link, &first)?;
        for path in [&link, &first] {
            let mut peer = user(1234, path, &[]);
            if is_trusted {
                peer.acquire("a");
                assert!(target.exists());
                assert!(!Peer::on(&target).finds_free("a"));
                fs::remove_file(&target)?;
            } else {
                let refusal = peer.refuses(Acquire("a"));
                assert_eq!(refusal.kind, PermissionDenied, "{refusal:?}");
                refusal.assert_says(&words_of(libc::EACCES));
                assert!(!target.exists());
            }
        }
    }
    // In a directory where no other user may create files, and if the target exists, every link is followed.
    let scratch = Scratch::new();
    fs::set_permissions(scratch.path(), Permissions::from_mode(0o755))?;
    let away = Scratch::sticky();
    let link = scratch.lock_path();
    symlink(away.join("target"), &link)?;
    lchown(&link, Some(4321), None)?;
    let mut peer = user(1234, &link, &[]);
    for _ in 0..2 {
        peer.acquire("a");
        peer.release("a");
        peer.drop_handle("a");
        peer.handle("a", &link, &[]);
    }
    Ok(())
}

/// An open for reading waits for a writer.
#[test]
fn l12_a_fifo_that_may_only_be_read_does_not_hang() {
    let Some((_scratch, path)) = sticky() else { return };
    let made = Command::new("mkfifo").args(["-m", "444"]).arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo should succeed");
    let refusal = user(1234, &path, &[]).refuses(Acquire("a"));
    assert_eq!(refusal.action, Action::Open);
    refusal.assert_says(": it is a FIFO, ");
}
