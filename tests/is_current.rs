//! L9: a guard tells whether the path still names its file. A release succeeds also if it does not.
#![cfg(unix)]

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use crate::support::prelude::*;

fn lock_path_in_dir(scratch: &Scratch) -> io::Result<PathBuf> {
    fs::create_dir(scratch.join("dir"))?;
    Ok(scratch.join("dir").join("test.lock"))
}

#[test]
fn l9_a_changed_or_renamed_file_is_still_current() -> Outcome {
    let scratch = Scratch::new();
    let path = lock_path_in_dir(&scratch)?;
    let guard = lock_file(&path).lock()?;
    let mut waiter = Peer::on(&path);
    waiter.start_waiting("w", Lock("a", "g"), &path);

    fs::write(&path, "contents")?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    assert!(guard.is_current()?);
    fs::rename(&path, scratch.join("away"))?;
    assert!(!guard.is_current()?);
    fs::rename(scratch.join("away"), &path)?;
    assert!(guard.is_current()?, "the file has its name back");
    fs::rename(&path, scratch.join("away"))?;
    symlink(scratch.join("away"), &path)?;
    assert!(guard.is_current()?, "the path leads to the file");
    fs::remove_file(&path)?;
    fs::hard_link(scratch.join("away"), &path)?;
    fs::remove_file(scratch.join("away"))?;
    assert!(guard.is_current()?);

    waiter.assert_waiting("w");
    guard.release()?;
    waiter.wait_ok("w");
    Ok(())
}

/// A guard of a handle that does not follow links does not follow them in `is_current` either.
#[test]
fn l9_is_current_does_not_follow_a_link() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let guard = scratch.lock().follow_links(false).lock()?;
    let mut waiter = Peer::with(&path, &[FollowLinks(false)]);
    waiter.start_waiting("w", Lock("a", "g"), &path);
    fs::rename(&path, scratch.join("away"))?;
    symlink(scratch.join("away"), &path)?;
    assert!(!guard.is_current()?);
    guard.release()?;
    let refusal = waiter.wait("w").outcome.expect_err("the link must not be followed");
    assert_eq!(refusal.action, Action::Open);
    assert!(refusal.message.ends_with("it is a symbolic link, which this handle does not follow"));
    Ok(())
}

#[test]
fn l9_a_holder_can_delete_the_directory() -> Outcome {
    let scratch = Scratch::new();
    let path = lock_path_in_dir(&scratch)?;
    let dir = scratch.join("dir");
    let lock = lock_file(&path);

    let guard = lock.lock()?;
    fs::remove_dir_all(&dir)?;
    assert!(!guard.is_current()?);
    guard.release()?;
    assert_eq!(lock.state(), Unlocked);

    fs::create_dir(&dir)?;
    lock.acquire()?;
    fs::remove_dir_all(&dir)?;
    lock.release()?;

    fs::create_dir(&dir)?;
    drop(lock.lock()?);
    // Now a component in the middle of the path is a file.
    let guard = lock.lock()?;
    fs::remove_dir_all(&dir)?;
    File::create(&dir)?;
    assert!(!guard.is_current()?);
    guard.release()?;
    Ok(())
}

/// If the user may not enter the directory, `is_current` returns an error, neither true nor false.
#[test]
fn l9_is_current_is_an_error_without_permission() -> Outcome {
    if !has_root() {
        return Ok(());
    }
    let scratch = Scratch::new();
    let path = lock_path_in_dir(&scratch)?;
    let dir = scratch.join("dir");
    let mut peer = Peer::on(&path);
    peer.lock("a", "g");
    peer.become_user(4242);
    fs::set_permissions(&dir, Permissions::from_mode(0o700))?;
    let refusal = peer.refuses(IsCurrent("g"));
    let message = format!(
        "cannot verify {}: {}: user 4242 cannot search {} (chmod +x)",
        path.display(),
        words_of(libc::EACCES),
        dir.display()
    );
    assert_eq!(refusal.message, message);
    peer.release_guard("g");
    assert_eq!(peer.refuses(Acquire("a")).action, Action::Open);
    Ok(())
}

#[test]
fn l9_a_loop_is_an_error_of_verification() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let guard = scratch.lock().lock()?;
    fs::remove_file(&path)?;
    symlink(&path, &path)?;
    let error = guard.is_current().expect_err("the path is a loop");
    assert_eq!(error.action(), Action::Verify, "{error:?}");
    guard.release()?;
    Ok(())
}
