//! - L8: a missing lock file is created; an existing one is opened unchanged.
//! - L12: a file that cannot be opened or created is an error with the path, the action and the cause.
//! - L13: nothing is left behind.
#![cfg(unix)]

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::support::prelude::*;

/// Asserts that every acquisition fails with this action, cause and hint, and leaves nothing behind.
#[track_caller]
fn assert_refused(path: &Path, action: Action, code: i32, hint: &str) {
    let lock = lock_file(path);
    for outcome in
        [lock.lock().map(drop), lock.try_lock().map(drop), lock.acquire(), lock.try_acquire()]
    {
        let Err(error) = outcome else { panic!("{} was locked", path.display()) };
        let (shown, cause) = (lock.path().display(), words_of(code));
        assert_eq!(error.to_string(), format!("cannot {action} {shown}: {cause}{hint}"));
        assert_eq!((error.path(), error.action()), (lock.path(), action));
        // The library does not look whether the file is a socket.
        let kind = if code == libc::ENXIO { Other } else { InvalidPath };
        assert_eq!(error.kind(), kind, "{error}");
        // The message has the cause. A program that prints the chain of sources would print it twice.
        assert!(error.source().is_none(), "{error}");
        assert_eq!(lock.state(), Unlocked);
        let cause = error.io_error().expect("a system call has failed");
        assert_eq!(cause.raw_os_error(), Some(code), "{error}");
        let kind = cause.kind();
        assert_eq!(io::Error::from(error).kind(), kind, "the conversion should keep the kind");
    }
}

/// Each of these paths is refused with the action, the error number and the hint. (The FIFO has no writer and no reader: an
/// open that waited for one would never return.)
#[test]
fn l12_a_path_that_cannot_be_a_lock_file_is_an_error() -> Outcome {
    let scratch = Scratch::new();
    let (missing, file) = (scratch.join("missing"), scratch.join("file"));
    File::create(&file)?;
    symlink("one", scratch.join("other"))?;
    symlink("other", scratch.join("one"))?;
    let fifo = scratch.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status()?.success());
    let _listener = UnixListener::bind(scratch.join("socket"))?;

    let no_directory = &*format!(": there is no directory {}", missing.display());
    let not_a_directory = &*format!(": {} is not a directory", file.display());
    let is_fifo = ": it is a FIFO, and an open may release a process that waits at its other end";
    let is_device = ": it is a device, and an open may have an effect on it";
    let has_nul = ": the path has a NUL byte in it";
    let (long, deep) = (scratch.join(&"x".repeat(256)), scratch.join(&"x/".repeat(2100)));
    for (path, action, code, hint) in [
        (scratch.path().into(), Action::Open, libc::EISDIR, ""),
        (scratch.join("."), Action::Open, libc::EISDIR, ""),
        ("/".into(), Action::Open, libc::EISDIR, ""),
        (missing.join("test.lock"), Action::Create, libc::ENOENT, no_directory),
        (missing.join("further/test.lock"), Action::Create, libc::ENOENT, no_directory),
        (file.join("test.lock"), Action::Open, libc::ENOTDIR, not_a_directory),
        (file.join("further/test.lock"), Action::Open, libc::ENOTDIR, not_a_directory),
        ("".into(), Action::Open, libc::ENOENT, ": the path is empty"),
        (scratch.join("a\0b"), Action::Open, libc::EINVAL, has_nul),
        (long, Action::Open, libc::ENAMETOOLONG, ""),
        (deep.join("x"), Action::Open, libc::ENAMETOOLONG, ""),
        (scratch.join("one"), Action::Open, libc::ELOOP, ""),
        (scratch.join("one/test.lock"), Action::Open, libc::ELOOP, ""),
        (fifo, Action::Open, libc::EINVAL, is_fifo),
        ("/dev/null".into(), Action::Open, libc::EINVAL, is_device),
        (scratch.join("socket"), Action::Open, libc::ENXIO, ""),
    ] {
        assert_refused(&path, action, code, hint);
    }
    assert!(!missing.exists());
    assert!(!scratch.join("a").exists(), "the path should not end at the NUL");
    Ok(())
}

#[test]
fn l8_without_create_no_file_is_created() -> Outcome {
    let scratch = Scratch::new();
    let lock = scratch.lock().create(false);
    for outcome in [lock.lock().map(drop), lock.acquire()] {
        let Err(error) = outcome else { panic!("the missing file was locked") };
        assert!(error.action() == Action::Open, "{error}");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    }
    assert!(!scratch.lock_path().exists());
    File::create(scratch.lock_path())?;
    lock.lock()?.release()?;
    // A handle without `create(false)` creates the file.
    fs::remove_file(scratch.lock_path())?;
    scratch.lock().lock()?.release()?;
    assert!(scratch.lock_path().exists());
    Ok(())
}

#[test]
fn l12_the_longest_file_name_can_be_locked() -> Outcome {
    let scratch = Scratch::new();
    lock_file(scratch.join(&"x".repeat(255))).lock()?.release()?;
    Ok(())
}

#[test]
fn l8_links_are_followed() -> Outcome {
    let scratch = Scratch::new();
    let (link, target) = (scratch.join("link"), scratch.join("target"));
    symlink("target", &link)?;
    // The first turn creates the target, the second opens it.
    for _ in 0..2 {
        let guard = lock_file(&link).lock()?;
        assert!(fs::symlink_metadata(&target)?.is_file());
        assert!(fs::symlink_metadata(&link)?.is_symlink());
        lock_file(&target).try_lock().expect_err("the target is locked through the link");
        guard.release()?;
    }
    Ok(())
}

#[test]
fn l12_links_are_not_followed_on_request() -> Outcome {
    let scratch = Scratch::new();
    let words = words_of(libc::ELOOP);
    let reason = format!("{words}: it is a symbolic link, which this handle does not follow");
    for (name, target) in
        [("file", "target"), ("dangling", "nowhere"), ("loop", "loop"), ("dir", ".")]
    {
        File::create(scratch.join("target"))?;
        let link = scratch.join(name);
        symlink(target, &link)?;
        let Err(error) = lock_file(&link).follow_links(false).try_lock() else {
            panic!("{name} was locked")
        };
        assert_eq!(error.to_string(), format!("cannot open {}: {reason}", link.display()));
        assert_eq!(error.kind(), InvalidPath);
        assert_eq!(error.io_error().and_then(io::Error::raw_os_error), Some(libc::ELOOP));
    }
    assert!(!scratch.join("nowhere").exists());

    // Links in the middle of the path are followed, and files that are no links are locked as usual.
    lock_file(scratch.join("dir/target")).follow_links(false).lock()?.release()?;
    lock_file(scratch.join("new")).follow_links(false).lock()?.release()?;
    // A loop in the middle of the path is an error without that hint.
    let error =
        lock_file(scratch.join("loop/x")).follow_links(false).lock().expect_err("it is a loop");
    assert!(error.to_string().ends_with(&words), "{error}");
    Ok(())
}

/// Several links lead from one directory to another. The file is created where the last link leads.
#[test]
fn l8_a_file_is_created_where_the_last_link_leads() -> Outcome {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.join("far/away"))?;
    symlink("far/second", scratch.join("first"))?;
    symlink("away/third", scratch.join("far/second"))?;
    symlink(scratch.join("end"), scratch.join("far/away/third"))?;
    let guard = lock_file(scratch.join("first")).lock()?;
    assert!(fs::symlink_metadata(scratch.join("end"))?.is_file());
    lock_file(scratch.join("end")).try_lock().expect_err("the file is locked through the links");
    guard.release()?;
    // A link into a missing directory.
    symlink("missing/test.lock", scratch.join("astray"))?;
    let error = lock_file(scratch.join("astray")).lock().expect_err("the directory is missing");
    assert!(error.action() == Action::Create, "{error}");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    Ok(())
}

/// Many processes create the file at the same time. One creates it, and none fails.
#[test]
fn l8_many_processes_can_create_the_file_concurrently() -> Outcome {
    let (_scratch, path, [mut holder]) = peers();
    let mut peers = [(); 4].map(|()| Peer::on(&path));
    for _ in 0..20 {
        for peer in &mut peers {
            peer.start("w", repeat(20, [Lock("a", "g"), DropGuard("g")]));
        }
        for peer in &mut peers {
            peer.wait_ok("w");
        }
        holder.acquire("a");
        assert!(!peers[0].finds_free("a"));
        holder.release("a");
        fs::remove_file(&path)?;
    }
    Ok(())
}

#[test]
fn l12_no_free_descriptor_is_an_error() {
    let (_scratch, path, [mut peer]) = peers();
    for existed in [false, true] {
        // The limit allows only the standard streams.
        let limit = peer.limit_files(3);
        for request in [Acquire("a"), Lock("a", "g"), TryAcquire("a")] {
            let refusal = peer.refuses(request);
            assert_eq!(refusal.action, Action::Open);
            let message = format!("cannot open {}: {}", path.display(), words_of(libc::EMFILE));
            let hint = "this process has reached its limit of open descriptors (3): close some, or raise the \
                        limit (ulimit -n)";
            assert_eq!(refusal.message, format!("{message}: {hint}"));
            assert_eq!(refusal.kind, ResourceExhausted);
        }
        assert_eq!(path.exists(), existed);
        assert_eq!(peer.state("a"), Unlocked);
        peer.limit_files(limit);
        peer.acquire("a");
        peer.release("a");
        peer.drop_handle("a");
        peer.handle("a", &path, &[]);
    }
}

/// The lock can use the last free descriptor, and no failure leaks it.
#[test]
fn l13_one_descriptor_is_enough() -> Outcome {
    let scratch = Scratch::new();
    File::create(scratch.lock_path())?;
    let mut holder = Peer::on(scratch.lock_path());
    let mut peer = Peer::with(scratch.lock_path(), &[Timeout(1)]);
    peer.handle("missing", scratch.join("missing/test.lock"), &[]);
    peer.handle("directory", scratch.path(), &[]);
    // The limit allows one more descriptor, with the lowest free number. The peer may have inherited others.
    let free = peer.free_descriptor();
    peer.limit_files(free + 1);
    for _ in 0..5 {
        holder.acquire("a");
        assert_eq!(peer.refuses(Acquire("a")).kind, TimedOut);
        holder.release("a");
        peer.acquire("a");
        assert_eq!(
            peer.refuses(Acquire("a")).action,
            Action::Open,
            "a hold should have its own descriptor"
        );
        peer.release("a");
        peer.drop_handle("a");
        assert_eq!(peer.refuses(Acquire("missing")).action, Action::Create);
        assert_eq!(peer.refuses(Acquire("directory")).action, Action::Open);
        peer.handle("a", scratch.lock_path(), &[Timeout(1)]);
    }
    Ok(())
}
