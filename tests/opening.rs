//! - L8: a lock file that is missing is created; one that exists is opened as it is.
//! - L12: what cannot be opened or created is an error with the path, the action and the cause.
//! - L13: nothing is left behind.
#![cfg(unix)]
#![allow(clippy::panic, reason = "that is how a test fails")]

use std::error::Error;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

use crate::support::{Outcome, Peer, Scratch, words_of};
use locket::{Action, ErrorKind, State, lock_file};

/// The acquisition fails, says why, and leaves nothing behind.
#[track_caller]
fn assert_refused(path: impl AsRef<Path>, action: Action, reason: &str) {
    let lock = lock_file(&path);
    for outcome in
        [lock.lock().map(drop), lock.try_lock().map(drop), lock.acquire(), lock.try_acquire()]
    {
        let Err(error) = outcome else { panic!("{} was locked", path.as_ref().display()) };
        let shown = lock.path().display();
        assert_eq!(error.to_string(), format!("cannot {action} {shown}: {reason}"));
        assert_eq!((error.path(), error.action()), (lock.path(), action));
        assert_eq!(lock.state(), State::Unlocked);
        let kind = error.io_error().expect("the system refused").kind();
        assert_eq!(io::Error::from(error).kind(), kind, "the conversion keeps it");
    }
}

#[test]
fn l12_a_directory_is_no_lock_file() {
    let scratch = Scratch::new();
    assert_refused(scratch.path(), Action::Open, &words_of(libc::EISDIR));
    assert_refused(scratch.join("."), Action::Open, &words_of(libc::EISDIR));
    assert_refused("/", Action::Open, &words_of(libc::EISDIR));
}

#[test]
fn l8_who_wants_no_file_made_makes_none() -> Outcome {
    let scratch = Scratch::new();
    let lock = scratch.lock().create(false);
    for outcome in [lock.lock().map(drop), lock.acquire()] {
        let Err(error) = outcome else { panic!("there was something to lock") };
        assert!(error.action() == Action::Open, "{error}");
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    }
    assert!(!scratch.lock_path().exists());
    File::create(scratch.lock_path())?;
    lock.lock()?.release()?;
    // The others do.
    fs::remove_file(scratch.lock_path())?;
    scratch.lock().lock()?.release()?;
    assert!(scratch.lock_path().exists());
    Ok(())
}

#[test]
fn l12_a_missing_parent_is_not_made() {
    let scratch = Scratch::new();
    let missing = scratch.join("missing");
    let reason = format!("{}: there is no directory {}", words_of(libc::ENOENT), missing.display());
    assert_refused(missing.join("test.lock"), Action::Create, &reason);
    assert!(!scratch.join("missing").exists());
}

#[test]
fn l12_a_file_is_no_directory() -> Outcome {
    let scratch = Scratch::new();
    let file = scratch.join("file");
    File::create(&file)?;
    let reason = format!("{}: {} is not a directory", words_of(libc::ENOTDIR), file.display());
    assert_refused(file.join("test.lock"), Action::Open, &reason);
    Ok(())
}

#[test]
fn l12_paths_that_no_file_can_have() {
    let scratch = Scratch::new();
    let reason = format!("{}: the path is empty", words_of(libc::ENOENT));
    assert_refused("", Action::Open, &reason);
    let reason = format!("{}: the path has a NUL byte in it", words_of(libc::EINVAL));
    assert_refused(scratch.join("a\0b"), Action::Open, &reason);
    assert!(!scratch.join("a").exists(), "it does not end at the NUL");
    let long = scratch.join(&"x".repeat(256));
    assert_refused(long, Action::Open, &words_of(libc::ENAMETOOLONG));
    let deep = scratch.join(&"x/".repeat(2100));
    assert_refused(deep.join("x"), Action::Open, &words_of(libc::ENAMETOOLONG));
}

#[test]
fn l12_the_longest_name_is_a_name() -> Outcome {
    let scratch = Scratch::new();
    lock_file(scratch.join(&"x".repeat(255))).lock()?.release()?;
    Ok(())
}

#[test]
fn l12_a_loop_of_links_leads_nowhere() -> Outcome {
    let scratch = Scratch::new();
    symlink("one", scratch.join("other"))?;
    symlink("other", scratch.join("one"))?;
    let reason = &words_of(libc::ELOOP);
    assert_refused(scratch.join("one"), Action::Open, reason);
    assert_refused(scratch.join("one/test.lock"), Action::Open, reason);
    Ok(())
}

/// Nobody writes to it and nobody reads from it: an open that waits for them would never end.
#[test]
fn l12_a_fifo_does_not_hang() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.is_ok_and(|status| status.success()), "mkfifo is everywhere");
    let reason = "it is a FIFO: to open it may release a process that waits at its other end";
    assert_refused(&path, Action::Open, &format!("{}: {reason}", words_of(libc::EINVAL)));
}

#[test]
fn l12_a_device_is_no_lock_file() {
    let reason = "it is a device: to open it may do something to it";
    assert_refused("/dev/null", Action::Open, &format!("{}: {reason}", words_of(libc::EINVAL)));
}

#[test]
fn l12_a_socket_is_no_lock_file() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _listener = UnixListener::bind(&path)?;
    assert_refused(&path, Action::Open, &words_of(libc::ENXIO));
    Ok(())
}

#[test]
fn l8_links_are_followed() -> Outcome {
    let scratch = Scratch::new();
    let (link, target) = (scratch.join("link"), scratch.join("target"));
    symlink("target", &link)?;
    // To a file that is to be made, and to one that is there.
    for _ in 0..2 {
        let held = lock_file(&link).lock()?;
        assert!(fs::symlink_metadata(&target)?.is_file());
        assert!(fs::symlink_metadata(&link)?.is_symlink());
        lock_file(&target).try_lock().expect_err("it is held through the link");
        held.release()?;
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
        assert_eq!(error.kind(), ErrorKind::InvalidPath);
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(libc::ELOOP));
    }
    assert!(!scratch.join("nowhere").exists());

    // A link on the way is none at the end, and what is no link is locked as ever.
    lock_file(scratch.join("dir/target")).follow_links(false).lock()?.release()?;
    lock_file(scratch.join("new")).follow_links(false).lock()?.release()?;
    // A loop on the way is what it is.
    let error =
        lock_file(scratch.join("loop/x")).follow_links(false).lock().expect_err("it leads nowhere");
    assert!(error.to_string().ends_with(&words), "{error}");
    Ok(())
}

/// By several links, from one directory to another.
#[test]
fn l8_a_file_is_made_where_the_last_link_leads() -> Outcome {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.join("far/away"))?;
    symlink("far/second", scratch.join("first"))?;
    symlink("away/third", scratch.join("far/second"))?;
    symlink(scratch.join("end"), scratch.join("far/away/third"))?;
    let held = lock_file(scratch.join("first")).lock()?;
    assert!(fs::symlink_metadata(scratch.join("end"))?.is_file());
    lock_file(scratch.join("end")).try_lock().expect_err("it is held through the links");
    held.release()?;
    // To a directory that is missing.
    symlink("missing/test.lock", scratch.join("astray"))?;
    let error = lock_file(scratch.join("astray")).lock().expect_err("it leads nowhere");
    assert!(error.action() == Action::Create, "{error}");
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    Ok(())
}

/// Of many processes that make the file at once, one is first; nobody fails.
#[test]
fn l8_many_create_it_at_once() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::with_handle("a", &path, "");
    let mut peers = [(); 4].map(|()| Peer::with_handle("a", &path, ""));
    for _ in 0..20 {
        for peer in &mut peers {
            peer.ok("start w repeat 20 lock a g ; drop_guard g");
        }
        for peer in &mut peers {
            peer.wait_ok("w");
        }
        holder.ok("acquire a");
        assert!(!peers[0].finds_free("a"));
        holder.ok("release a");
        fs::remove_file(&path)?;
    }
    Ok(())
}

#[test]
fn l12_no_descriptors_left() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut peer = Peer::with_handle("a", &path, "");
    for existed in [false, true] {
        // The standard streams, and nothing else.
        let limit = peer.ok("limit_files 3");
        for command in ["acquire a", "lock a g", "try_acquire a"] {
            let refusal = peer.refused(command);
            assert_eq!(refusal.class, "open");
            let message = format!("cannot open {}: {}", path.display(), words_of(libc::EMFILE));
            assert!(refusal.message.starts_with(&message), "{refusal:?}");
        }
        assert_eq!(path.exists(), existed);
        assert_eq!(peer.ok("state a"), "unlocked");
        peer.ok(&format!("limit_files {limit}"));
        peer.ok("acquire a");
        peer.ok("release a");
        peer.ok("drop_handle a");
        peer.handle("a", &path, "");
    }
}

/// The last descriptor there is can be the lock's, and is again after any failure.
#[test]
fn l13_one_descriptor_is_enough() -> Outcome {
    let scratch = Scratch::new();
    File::create(scratch.lock_path())?;
    let mut holder = Peer::with_handle("a", scratch.lock_path(), "");
    let mut peer = Peer::with_handle("a", scratch.lock_path(), "timeout=1");
    peer.handle("missing", scratch.join("missing/test.lock"), "");
    peer.handle("directory", scratch.path(), "");
    // The lowest free number, and none beside it: a caller may have left others to its children.
    let free: u64 = peer.ok("free_descriptor").parse()?;
    peer.ok(&format!("limit_files {}", free + 1));
    for _ in 0..5 {
        holder.ok("acquire a");
        assert_eq!(peer.refused("acquire a").class, "timed_out");
        holder.ok("release a");
        peer.ok("acquire a");
        assert_eq!(peer.refused("acquire a").class, "open", "a hold has one of its own");
        peer.ok("release a");
        peer.ok("drop_handle a");
        assert_eq!(peer.refused("acquire missing").class, "create");
        assert_eq!(peer.refused("acquire directory").class, "open");
        peer.handle("a", scratch.lock_path(), "timeout=1");
    }
    Ok(())
}
