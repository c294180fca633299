//! L8: locking never writes, truncates, chmods or deletes the lock file. It creates the file if it is missing (0666 &
//! !umask).

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::support::prelude::*;
#[cfg(unix)]
use locket::unix::LockExt;

/// Does everything that can be done with a lock, including calls that fail.
fn use_all_calls(scratch: &Scratch) -> Outcome {
    let lock = scratch.lock();
    let guard = lock.lock()?;
    let timed = lock.clone().timeout(Duration::from_millis(2));
    assert!(timed.lock().is_err_and(|error| error.is_contended()));
    assert!(timed.shared().try_acquire().is_err_and(|error| error.is_contended()));
    guard.release()?;
    lock.acquire()?;
    lock.release()?;
    assert!(lock.release().is_err());
    lock.clone().shared().lock()?.release()?;
    #[cfg(unix)]
    lock.clone().mode(0o600).follow_links(false).lock()?.release()?;
    let mut peer = Peer::on(scratch.lock_path());
    peer.repeat(3, [Acquire("a"), Release("a")]);
    peer.acquire("a");
    peer.kill();
    Ok(())
}

#[test]
fn l8_contents_written_while_locked_stay() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let mut other = Peer::with(&path, &[Timeout(10)]);
    let guard = scratch.lock().lock()?;
    #[cfg(unix)] // On Windows the locked byte cannot be written.
    fs::write(&path, "held by me")?;
    assert_eq!(other.refuses(Acquire("a")).kind, TimedOut);
    guard.release()?;
    #[cfg(unix)]
    assert_eq!(fs::read_to_string(&path)?, "held by me");
    other.acquire("a");
    Ok(())
}

/// So do the times and the permissions.
#[test]
fn l8_contents_stay() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let mut file = File::create(&path)?;
    let contents = b"a lock file may have contents\n".repeat(7000);
    file.write_all(&contents)?;
    file.set_modified(long_ago)?;
    drop(file);
    let before = metadata_of(&path)?;
    use_all_calls(&scratch)?;
    assert_eq!(metadata_of(&path)?, before);
    assert_eq!(fs::metadata(&path)?.modified()?, long_ago);
    assert!(fs::read(&path)? == contents);
    Ok(())
}

/// Returns the metadata that a write, truncation, chmod, chown or replacement would change.
#[cfg(unix)]
fn metadata_of(path: &Path) -> std::io::Result<[i128; 8]> {
    use std::os::unix::fs::MetadataExt;
    let file = fs::metadata(path)?;
    Ok([
        file.ino().into(),
        file.mode().into(),
        file.uid().into(),
        file.gid().into(),
        file.size().into(),
        file.mtime_nsec().into(),
        file.ctime().into(),
        file.ctime_nsec().into(),
    ])
}

#[cfg(not(unix))]
fn metadata_of(path: &Path) -> std::io::Result<(u64, SystemTime, bool)> {
    let file = fs::metadata(path)?;
    Ok((file.len(), file.modified()?, file.permissions().readonly()))
}

#[test]
fn l8_a_missing_file_is_created_empty_and_stays() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let lock = scratch.lock();
    assert!(!path.exists(), "a handle should create no file");
    drop(lock.lock()?);
    assert_eq!(fs::metadata(&path)?.len(), 0);
    assert_eq!(fs::read_dir(scratch.path())?.count(), 1, "no other file should be created");
    drop(lock);
    assert!(path.exists());
    Ok(())
}

#[cfg(unix)]
fn mode_of(path: &Path) -> std::io::Result<u32> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

#[cfg(unix)]
#[test]
fn l8_the_umask_applies_to_a_new_file() -> Outcome {
    let scratch = Scratch::new();
    let mut peer = Peer::spawn();
    let cases = [
        (0o022, &[][..], 0o644),
        (0o002, &[], 0o664),
        (0o077, &[], 0o600),
        (0o000, &[], 0o666),
        (0o000, &[FileMode(0o600)], 0o600),
        (0o022, &[FileMode(0o660)], 0o640),
        (0o077, &[FileMode(0o444)], 0o400),
    ];
    for (nth, (umask, settings, mode)) in cases.into_iter().enumerate() {
        let path = scratch.join(&nth.to_string());
        peer.umask(umask);
        peer.handle("a", &path, settings);
        peer.acquire("a");
        assert_eq!(mode_of(&path)?, mode, "umask {umask:o}, {settings:?}");
        peer.release("a");
        peer.acquire("a");
        assert_eq!(mode_of(&path)?, mode, "umask {umask:o}, {settings:?}, again");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn l8_an_existing_file_keeps_its_mode() -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    let (scratch, path) = Scratch::with_path();
    File::create(&path)?;
    for mode in [0o600, 0o640, 0o777, 0o444] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        scratch.lock().mode(0o622).lock()?.release()?;
        assert_eq!(mode_of(&path)?, mode);
    }
    Ok(())
}
