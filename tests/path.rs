//! L10: the path is made absolute when the handle is made, so a later `chdir` changes nothing. Handles with equal absolute
//! paths share one state. Other paths of the same file have separate states.

use std::fs;
use std::path::Path;

use crate::support::prelude::*;

#[test]
fn l10_a_later_chdir_changes_nothing() -> Outcome {
    let scratch = Scratch::new();
    let (home, away) = (scratch.join("home"), scratch.join("away"));
    fs::create_dir(&home)?;
    fs::create_dir(&away)?;
    let mut peer = Peer::spawn();
    peer.change_directory(&home);
    peer.handle("a", "test.lock", &[]);
    peer.change_directory(&away);
    peer.lock("a", "g");
    assert!(home.join("test.lock").exists());
    assert!(!away.join("test.lock").exists());
    assert!(peer.is_current("g"));
    assert!(!Peer::on(home.join("test.lock")).finds_free("a"));

    // The same relative path names another file here.
    peer.handle("b", "test.lock", &[]);
    assert_eq!(peer.state("b"), Unlocked);
    peer.acquire("b");
    assert!(away.join("test.lock").exists());

    // The path is still the first one when the file has to be opened again.
    #[cfg(unix)]
    {
        peer.drop_guard("g");
        fs::remove_file(home.join("test.lock"))?;
        fs::remove_file(away.join("test.lock"))?;
        peer.acquire("a");
        assert!(home.join("test.lock").exists());
        assert!(!away.join("test.lock").exists());
    }
    Ok(())
}

#[test]
fn l10_a_handle_knows_its_absolute_path() -> Outcome {
    let scratch = Scratch::new();
    let mut peer = Peer::spawn();
    peer.change_directory(scratch.path());
    // The system's path of the directory. It may differ from the path that was passed to chdir.
    let here = fs::canonicalize(scratch.path())?;
    assert_eq!(lock_file(scratch.lock_path()).path(), scratch.lock_path());
    let path = peer.handle("a", "test.lock", &[]);
    assert!(Path::new(&path).is_absolute());
    #[cfg(unix)]
    assert_eq!(Path::new(&path), here.join("test.lock"));
    #[cfg(not(unix))]
    let _ = here;
    Ok(())
}

#[test]
fn l10_equal_paths_share_one_state() {
    let scratch = Scratch::new();
    let mut peer = Peer::spawn();
    peer.change_directory(scratch.path());
    let absolute = peer.handle("relative", "test.lock", &[]);
    peer.handle("absolute", &absolute, &[Timeout(5), Shared]);
    peer.handle("dotted", "./test.lock", &[]);
    peer.handle("again", "test.lock", &[]);
    let names = ["relative", "absolute", "dotted", "again"];
    for acquiring in names {
        let mode = if acquiring == "absolute" { HeldShared(1) } else { HeldExclusive };
        for releasing in names {
            peer.acquire(acquiring);
            for name in names {
                assert_eq!(peer.state(name), mode, "{name} of {acquiring}");
            }
            peer.release(releasing);
        }
    }
    peer.refuses(Release("again"));
    assert_eq!(peer.state("absolute"), ReleasedError);
}

#[test]
fn l10_different_paths_have_separate_states() -> Outcome {
    let scratch = Scratch::new();
    let (one, other) = (lock_file(scratch.join("one")), lock_file(scratch.join("other")));
    one.acquire()?;
    assert_eq!(other.state(), Unlocked);
    other.acquire()?;
    one.release()?;
    assert_eq!(other.state(), HeldExclusive);
    other.release()?;
    Ok(())
}

/// They still exclude each other; `exclusion.rs` checks that.
#[cfg(unix)]
#[test]
fn l10_aliases_have_separate_states() -> Outcome {
    let (scratch, lock) = Scratch::with_lock();
    let guard = lock.lock()?;
    fs::create_dir(scratch.join("sub"))?;
    fs::hard_link(scratch.lock_path(), scratch.join("hard_link"))?;
    std::os::unix::fs::symlink(scratch.lock_path(), scratch.join("link"))?;
    guard.release()?;
    for alias in ["hard_link", "link", "sub/../test.lock"] {
        let alias = lock_file(scratch.join(alias));
        lock.acquire()?;
        assert_eq!(alias.state(), Unlocked);
        assert!(alias.release().is_err_and(|error| error.kind() == NotLocked));
        assert_eq!(alias.state(), ReleasedError);
        assert_eq!(lock.state(), HeldExclusive);
        assert!(alias.try_lock().is_err());
        lock.release()?;
    }
    Ok(())
}

/// The system treats the two paths differently, and so does the library.
#[cfg(unix)]
#[test]
fn l10_a_trailing_slash_is_another_path() -> Outcome {
    let (scratch, lock) = Scratch::with_lock();
    let slash = lock_file(format!("{}/", scratch.lock_path().display()));
    lock.acquire()?;
    assert_eq!(slash.state(), Unlocked);
    assert!(slash.release().is_err_and(|error| error.kind() == NotLocked));
    lock.release()?;
    let error = slash.acquire().expect_err("a file is not a directory");
    assert_eq!(error.io_error().map(std::io::Error::kind), Some(std::io::ErrorKind::NotADirectory));
    lock.acquire()?;
    lock.release()?;
    Ok(())
}

/// `link/..` is the parent of the link's target, not the directory that contains the link.
#[cfg(unix)]
#[test]
fn l10_the_system_resolves_the_path() -> Outcome {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.join("far/away"))?;
    std::os::unix::fs::symlink("far/away", scratch.join("link"))?;
    let _held = lock_file(scratch.join("link/../test.lock")).lock()?;
    assert!(scratch.join("far/test.lock").exists());
    assert!(!scratch.lock_path().exists());
    Ok(())
}

#[cfg(unix)]
#[test]
fn l10_any_bytes_are_a_name() -> Outcome {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let scratch = Scratch::new();
    for name in [&b"\xff\xfe.lock"[..], b" ", b"a\nb", "schlo\u{df}.lock".as_bytes(), b"%41"] {
        let path = scratch.path().join(OsStr::from_bytes(name));
        let lock = lock_file(&path);
        assert_eq!(lock.path(), path);
        lock.acquire()?;
        let mut other = Peer::on(&path);
        assert!(!other.finds_free("a"));
        let refusal = other.refuses(TryAcquire("a"));
        assert!(refusal.message.starts_with("cannot lock "), "{refusal:?}");
        lock.release()?;
    }
    assert_eq!(fs::read_dir(scratch.path())?.count(), 5);
    Ok(())
}
