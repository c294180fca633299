//! L12: an error has a kind for programs, and for people the cause and a hint what to do.

#[cfg(unix)]
use std::error::Error;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use crate::support::prelude::*;

/// Returns the error of locking a path that cannot be a lock file.
#[track_caller]
fn error_of(path: impl AsRef<Path>) -> LockError {
    lock_file(path).lock().expect_err("the path cannot be a lock file")
}

/// Returns the hint. In the message it stands after the system's text.
fn hint(error: &LockError) -> &str {
    let Some(hint) = error.hint() else { return "" };
    assert!(error.to_string().ends_with(&format!("): {hint}")), "{error}");
    hint
}

#[test]
fn l12_contention_and_misuse_have_their_kinds() -> Outcome {
    let scratch = Scratch::new();
    let lock = scratch.lock();
    assert_eq!(lock.release().unwrap_err().kind(), NotLocked);
    let _held = lock.lock()?;
    assert_eq!(lock.try_lock().unwrap_err().kind(), WouldBlock);
    let error = lock.timeout(std::time::Duration::from_millis(1)).lock().unwrap_err();
    assert_eq!(error.kind(), TimedOut);
    Ok(())
}

#[test]
fn l12_a_cancelled_wait_has_its_kind() -> Outcome {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock()?;
    let error = scratch.lock().on_wait(|_| ControlFlow::Break(())).lock().unwrap_err();
    assert_eq!(error.kind(), Cancelled);
    assert!(error.io_error().is_none(), "no system call has failed");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::Other);
    Ok(())
}

/// `io_error` returns the system's error. `source` returns `None`: the message already contains the cause, and a program that
/// prints the chain of sources would print it twice.
#[cfg(unix)]
#[test]
fn l12_io_error_is_the_error_of_the_system() -> Outcome {
    let scratch = Scratch::new();
    let file = scratch.join("file");
    fs::File::create(&file)?;
    let causes = [
        (scratch.path(), libc::EISDIR),
        (&scratch.join("missing/test.lock"), libc::ENOENT),
        (&file.join("test.lock"), libc::ENOTDIR),
    ];
    for (path, code) in causes {
        let error = error_of(path);
        assert_eq!(error.io_error().and_then(io::Error::raw_os_error), Some(code), "{error}");
        assert!(error.source().is_none(), "{error}");
    }
    Ok(())
}

#[test]
fn l12_an_unusable_path_is_an_invalid_path() -> Outcome {
    let scratch = Scratch::new();
    let long = "x".repeat(10_000);
    let directory = scratch.join("directory");
    fs::create_dir(&directory)?;
    for path in [Path::new(""), Path::new("a\0b"), &scratch.join(&long), &directory] {
        assert_eq!(error_of(path).kind(), InvalidPath, "{path:?}");
    }
    #[cfg(unix)]
    {
        let link = scratch.join("link");
        std::os::unix::fs::symlink(&link, &link)?;
        assert_eq!(error_of(&link).kind(), InvalidPath);
    }
    Ok(())
}

#[test]
fn l12_the_hint_names_the_missing_directory() {
    let scratch = Scratch::new();
    let missing = scratch.join("missing");
    for path in [missing.join("test.lock"), missing.join("further").join("test.lock")] {
        let error = error_of(path);
        assert_eq!(error.kind(), InvalidPath, "{error}");
        if cfg!(unix) {
            assert_eq!(hint(&error), format!("there is no directory {}", missing.display()));
        }
    }
}

/// Errors that also root gets. They need a special file system or strace. `users.rs` checks what only other users are
/// refused.
#[cfg(target_os = "linux")]
mod linux {
    use super::*;

    /// Returns the error of an acquisition in which strace makes a system call fail.
    fn refused(calls: &str, fault: &str) -> Option<Refusal> {
        let (_scratch, path) = Scratch::with_path();
        let inject = format!("--inject={calls}:error={fault}");
        let only = format!("--trace-path={}", path.display());
        let mut strace = Strace::spawn(&[&only, &inject])?;
        strace.handle("a", &path, &[]);
        Some(strace.refuses(Acquire("a")))
    }

    #[test]
    fn l12_the_hint_names_a_file_system_without_locks() {
        for (fault, kind) in
            [("EOPNOTSUPP", Unsupported), ("ENOSYS", Unsupported), ("ENOLCK", ResourceExhausted)]
        {
            let Some(refusal) = refused("flock", fault) else { return };
            assert_eq!((refusal.action, refusal.kind), (Action::Lock, kind), "{refusal:?}");
            let (_, hint) = refusal.message.rsplit_once("): ").expect("the message has a hint");
            let (place, remedy) = hint.split_once(" may not support locks: ").expect(hint);
            // A mount point and its file system, such as `/tmp (tmpfs)`.
            assert!(place.starts_with('/') && place.ends_with(')'), "{place}");
            assert_eq!(remedy, "keep lock files on a local file system");
        }
    }

    #[test]
    fn l12_a_stale_handle_is_reported() {
        let Some(refusal) = refused("?open,openat", "ESTALE") else {
            return;
        };
        assert_eq!((refusal.action, refusal.kind), (Action::Open, StaleHandle), "{refusal:?}");
        refusal.assert_says("no longer has the file");
    }

    #[test]
    fn l12_the_hint_names_a_read_only_file_system() -> Outcome {
        if !has_root() {
            return Ok(());
        }
        let scratch = Scratch::new();
        let mounted = scratch.join("read only");
        fs::create_dir(&mounted)?;
        let script = "mount -t tmpfs -o ro none \"$0\" && exec \"$@\"";
        let directory = mounted.display().to_string();
        let wrapper = ["unshare", "--mount", "sh", "-c", script, &directory];
        let mut peer = Peer::under(&wrapper);
        peer.handle("a", mounted.join("test.lock"), &[]);
        let refusal = peer.refuses(Acquire("a"));
        assert_eq!(
            (refusal.action, refusal.kind),
            (Action::Create, PermissionDenied),
            "{refusal:?}"
        );
        let place = format!("{directory} (tmpfs) is read-only");
        refusal.assert_says(&place);
        Ok(())
    }
}
