//! Files that cannot be opened or locked in the usual way, and what the error suggests.

use super::*;

/// A file that may not be read is locked through a write-only descriptor. For an exclusive lock on a read-only descriptor
/// NFS returns `EBADF` (flock(2)) and SMB `EIO`; the library then locks through a read-write descriptor.
#[test]
fn l1_l12_a_file_is_opened_with_the_access_that_it_needs() -> Outcome {
    for (calls, error, access) in [
        (OPEN, "EACCES", libc::O_WRONLY),
        (OPEN, "EPERM", libc::O_WRONLY),
        ("flock", "EBADF", libc::O_RDWR),
        ("flock", "EIO", libc::O_RDWR),
    ] {
        let fault = format!("error={error}:when=1");
        let Some(mut scene) = Scene::of_free_lock(&[(calls, &fault)]) else { return Ok(()) };
        scene.acquire("a");
        assert!(!scene.holder.finds_free("a"), "{error}");
        let path = scene.scratch.lock_path();
        assert_eq!(access_of_open(scene.strace.pid(), &path)?, [access], "{error}");
        scene.release("a");
        scene.leaves_nothing();
    }
    Ok(())
}

/// If the read-write descriptor cannot be opened, or cannot be locked either, the error is that of the lock.
#[test]
fn l12_a_lock_that_needs_write_access_and_cannot_get_it_is_an_error() {
    for faults in [
        &[("flock", "error=EBADF:when=1"), (OPEN, "error=EACCES:when=2")][..],
        &[("flock", "error=EBADF:when=1..2")],
    ] {
        let Some(mut scene) = Scene::of_free_lock(faults) else { return };
        let refusal = scene.refuses(Acquire("a"));
        assert_eq!(refusal.action, Action::Lock, "{refusal:?}");
        refusal.assert_says(&words_of(libc::EBADF));
        scene.repeat(1, [Acquire("a"), Release("a")]);
        scene.leaves_nothing();
    }
}

#[test]
fn l8_a_path_that_is_not_a_file_is_not_opened() -> Outcome {
    for kind in ["directory", "fifo", "device"] {
        let Some(mut scene) = Scene::of_free_lock(&[]) else { return Ok(()) };
        let path = scene.scratch.lock_path();
        fs::remove_file(&path)?;
        match kind {
            "directory" => fs::create_dir(&path)?,
            "fifo" => assert!(Command::new("mkfifo").arg(&path).status()?.success()),
            _ => std::os::unix::fs::symlink("/dev/null", &path)?,
        }
        assert_eq!(scene.refuses(Acquire("a")).action, Action::Open);
        assert_eq!(scene.refuses(TryLock("a", "g")).kind, InvalidPath);
        let trace = scene.strace.end();
        assert_eq!(trace.count("open"), 0, "{kind}");
        assert_ne!(trace.calls().count(), 0, "the trace should contain other calls");
    }
    Ok(())
}

/// The file is missing when it is opened, and exists when it is created: another process was faster.
#[test]
fn l8_a_file_that_appears_is_not_created_again() {
    let faults = [(OPEN, "error=ENOENT:when=1")];
    let Some(mut scene) = Scene::of_free_lock(&faults) else { return };
    scene.repeat(1, [Acquire("a"), Release("a")]);
    scene.leaves_nothing();
}

#[test]
fn l12_the_hint_names_a_file_system_without_locks() {
    for (error, kind) in [
        ("EOPNOTSUPP", Unsupported),
        ("ENOSYS", Unsupported),
        ("EINVAL", Unsupported),
        ("ENOLCK", ResourceExhausted),
    ] {
        let faults = [("flock", &*format!("error={error}"))];
        let Some(mut scene) = Scene::of_free_lock(&faults) else { return };
        let refusal = scene.refuses(Acquire("a"));
        assert_eq!((refusal.action, refusal.kind), (Action::Lock, kind), "{refusal:?}");
        let (_, hint) = refusal.message.rsplit_once("): ").expect("the message has a hint");
        let (place, remedy) = hint.split_once(" may not support locks: ").expect(hint);
        // A mount point and its file system, such as `/tmp (tmpfs)`.
        assert!(place.starts_with('/') && place.ends_with(')'), "{place}");
        assert_eq!(remedy, "keep lock files on a local file system");
    }
}

#[test]
fn l12_the_hint_names_what_has_failed() {
    for (fault, hint) in [
        ("error=ESTALE", "no longer has the file"),
        ("error=ENFILE", "the system has reached its limit of open files"),
    ] {
        let Some(mut scene) = Scene::of_free_lock(&[(OPEN, fault)]) else { return };
        scene.refuses(Acquire("a")).assert_says(hint);
    }
}
