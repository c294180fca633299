//! - L12: a path that cannot be a lock file is an error that says why.
//! - L1, L8: a file that can be read can be locked, and a missing one is created.
//! - L10: spellings of one path exclude each other.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::windows::fs::symlink_file;
use std::path::{Path, PathBuf};
use std::thread;

use locket::{Action, LockError, lock_file};

use crate::support::{Outcome, Scratch, skip, until};
use crate::system::{assert_refused, is_real_windows};

/// Waiting cannot help, so the error comes immediately.
#[test]
fn l12_a_path_that_cannot_be_locked_is_an_error() {
    let scratch = Scratch::new();
    let missing = scratch.join("missing");
    for (path, action, kind) in [
        (scratch.path(), Action::Open, ErrorKind::IsADirectory),
        (&missing.join("test.lock"), Action::Create, ErrorKind::NotFound),
        (Path::new(""), Action::Open, ErrorKind::InvalidInput),
        (Path::new("a\0b"), Action::Open, ErrorKind::InvalidInput),
    ] {
        assert_refused(lock_file(path).try_lock(), action, kind);
        assert_refused(lock_of(path), action, kind);
    }
    assert!(!missing.exists());
    // A device can be opened, but has no bytes to lock.
    for device in ["NUL", r"\\.\NUL"] {
        for outcome in [lock_file(device).try_lock().map(drop), lock_of(Path::new(device))] {
            let error = outcome.expect_err("a device is no file");
            assert!(error.action() == Action::Lock && !error.is_contended(), "{error}");
        }
    }
}

/// Waits for a lock on a thread, which must end.
#[track_caller]
fn lock_of(path: &Path) -> Result<(), LockError> {
    let lock = lock_file(path);
    let waiter = thread::spawn(move || lock.lock().map(drop));
    until("the waiter gives up", || waiter.is_finished());
    waiter.join().expect("no panic")
}

#[test]
fn l1_a_read_only_file_is_locked() -> Outcome {
    if !is_real_windows("l1_a_read_only_file_is_locked", "root may write every file") {
        return Ok(());
    }
    let scratch = Scratch::new();
    fs::write(scratch.lock_path(), "")?;
    let mut permissions = fs::metadata(scratch.lock_path())?.permissions();
    permissions.set_readonly(true);
    fs::set_permissions(scratch.lock_path(), permissions.clone())?;
    let held = scratch.lock().try_lock();
    #[allow(clippy::permissions_set_readonly_false, reason = "or it could not be deleted")]
    permissions.set_readonly(false);
    fs::set_permissions(scratch.lock_path(), permissions)?;
    held?.release()?;
    Ok(())
}

#[test]
fn l1_spellings_exclude_each_other() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    fs::write(&path, "")?;
    for spelling in spellings(&scratch, &path)? {
        let held = lock_file(&path).lock()?;
        let error = lock_file(&spelling).try_lock().expect_err("it is one file");
        assert!(error.is_contended(), "{error}");
        held.release()?;
        let held = lock_file(&spelling).try_lock()?;
        assert!(held.is_current()?, "{}", spelling.display());
    }
    Ok(())
}

fn spellings(scratch: &Scratch, path: &Path) -> io::Result<Vec<PathBuf>> {
    let hard = scratch.join("hard.lock");
    fs::hard_link(path, &hard)?;
    Ok(vec![
        scratch.join("TEST.LOCK"),
        scratch.join(r".\x\..\test.lock"),
        PathBuf::from(path.to_string_lossy().replace('\\', "/")),
        fs::canonicalize(path)?, // `\\?\C:\...`
        hard,
    ])
}

/// Longer than 260 characters, the limit of `MAX_PATH`.
#[test]
fn l1_a_long_path_is_locked() -> Outcome {
    let scratch = Scratch::new();
    let mut dir = scratch.path().to_path_buf();
    while dir.as_os_str().len() < 400 {
        dir.push("directory".repeat(8));
    }
    fs::create_dir_all(&dir)?;
    let lock = lock_file(dir.join("test.lock"));
    let held = lock.lock()?;
    assert!(held.is_current()?);
    lock.try_lock().expect_err("it is held");
    Ok(())
}

#[test]
fn l12_follow_links_false_rejects_a_link() -> Outcome {
    let check = "l12_follow_links_false_rejects_a_link";
    if !is_real_windows(check, "Wine makes no symbolic links") {
        return Ok(());
    }
    let scratch = Scratch::new();
    let link = scratch.join("link");
    fs::write(scratch.lock_path(), "")?;
    if symlink_file(scratch.lock_path(), &link).is_err() {
        skip(check, "symbolic links: need a privilege here");
        return Ok(());
    }
    let followed = lock_file(&link).lock()?;
    scratch.lock().try_lock().expect_err("it is the same file");
    assert!(followed.is_current()?);
    drop(followed);
    let refused = lock_file(&link).follow_links(false).try_lock();
    assert_refused(refused, Action::Open, ErrorKind::InvalidInput);
    Ok(())
}
