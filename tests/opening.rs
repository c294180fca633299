//! - L1: the file is opened for writing where that is allowed, as NFS demands of who wants to exclude
//!   others.
//! - L3: what keeps a file from being opened is waited for by the deadline.
//! - L8: a lock file that is missing is created; one that exists is opened as it is.
//! - L12: what cannot be opened or created is an error with the path, the action and the cause.
//! - L13: nothing is left behind.
#![cfg(unix)]
#![allow(clippy::panic, reason = "that is how a test fails")]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Outcome, Peer, Scratch, words_of};
use locket::{Action, LockError, State, lock_file};

/// The acquisition fails, says why, and leaves nothing behind.
#[track_caller]
fn assert_refused(path: impl AsRef<Path>, action: Action, reason: &str) {
    let lock = lock_file(&path);
    for outcome in
        [lock.lock().map(drop), lock.try_lock().map(drop), lock.acquire(), lock.try_acquire()]
    {
        let Err(error) = outcome else { panic!("{} was locked", path.as_ref().display()) };
        let shown = lock.path().display();
        assert_eq!(error.to_string(), format!("couldn't {action} {shown}: {reason}"));
        let LockError::Io { path, action: told, source, .. } = &error else { panic!("{error:?}") };
        assert_eq!((&**path, *told), (lock.path(), action));
        assert_eq!(lock.state(), State::Unlocked);
        let kind = source.kind();
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
    let lock = scratch.lock().no_create();
    for outcome in [lock.lock().map(drop), lock.acquire()] {
        let Err(error) = outcome else { panic!("there was something to lock") };
        assert!(matches!(error, LockError::Io { action: Action::Open, .. }), "{error}");
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
    assert_refused("", Action::Open, "the path is empty");
    assert_refused(scratch.join("a\0b"), Action::Open, "the path has a NUL byte in it");
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
    let reason = "it is a FIFO, which has no place for a lock file";
    assert_refused(&path, Action::Open, reason);
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
    let reason = "it is a symbolic link, which this handle does not follow";
    for (name, target) in
        [("file", "target"), ("dangling", "nowhere"), ("loop", "loop"), ("dir", ".")]
    {
        File::create(scratch.join("target"))?;
        let link = scratch.join(name);
        symlink(target, &link)?;
        let Err(error) = lock_file(&link).no_follow().try_lock() else {
            panic!("{name} was locked")
        };
        assert_eq!(error.to_string(), format!("couldn't open {}: {reason}", link.display()));
    }
    assert!(!scratch.join("nowhere").exists());

    // A link on the way is none at the end, and what is no link is locked as ever.
    lock_file(scratch.join("dir/target")).no_follow().lock()?.release()?;
    lock_file(scratch.join("new")).no_follow().lock()?.release()?;
    // A loop on the way is what it is.
    let error = lock_file(scratch.join("loop/x")).no_follow().lock().expect_err("it leads nowhere");
    assert!(error.to_string().ends_with(&words_of(libc::ELOOP)), "{error}");
    Ok(())
}

/// NFS grants an exclusive lock to nobody who has the file open for reading alone.
#[cfg(target_os = "linux")]
#[test]
fn l1_the_file_is_open_for_writing() -> Outcome {
    let scratch = Scratch::new();
    let (missing, existing) = (scratch.join("missing"), scratch.join("existing"));
    File::create(&existing)?;
    for path in [missing, existing] {
        let _held = lock_file(&path).lock()?;
        assert_eq!(access_of_open(&path)?, [libc::O_RDWR], "{}", path.display());
    }
    Ok(())
}

/// For what this process has the file open, by each of its descriptors.
#[cfg(target_os = "linux")]
fn access_of_open(path: &Path) -> Outcome<Vec<i32>> {
    let mut access = vec![];
    for entry in fs::read_dir("/proc/self/fd")? {
        let entry = entry?;
        // Other tests open and close theirs meanwhile.
        if !fs::read_link(entry.path()).is_ok_and(|opened| opened == path) {
            continue;
        }
        let descriptor = entry.file_name().into_string().map_err(|_| "it is a number")?;
        let about = fs::read_to_string(format!("/proc/self/fdinfo/{descriptor}"))?;
        let flags = about.lines().find_map(|line| line.strip_prefix("flags:")).ok_or("no flags")?;
        access.push(i32::from_str_radix(flags.trim(), 8)? & libc::O_ACCMODE);
    }
    Ok(access)
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
            let message = format!("couldn't open {}: {}", path.display(), words_of(libc::EMFILE));
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

#[test]
fn l12_a_program_that_is_running_can_be_locked() -> Outcome {
    let scratch = Scratch::new();
    let program = scratch.join("sleep");
    // A script would not do: it is its interpreter that runs. And it is another process that has
    // the copy open for writing: a fork of another test's would inherit that, and what is open for
    // writing cannot be run.
    let copied = Command::new("cp").arg(which("sleep")?).arg(&program).status();
    assert!(copied.is_ok_and(|status| status.success()), "cp is everywhere");
    let mut running = Command::new(&program).arg("1000").spawn()?;
    let outcome = lock_file(&program).lock().map(drop);
    running.kill()?;
    running.wait()?;
    Ok(outcome?)
}

/// A lease: whoever has it is told that somebody opens the file, and may take a while to give it
/// back. Here nobody answers until the test does.
#[cfg(target_os = "linux")]
#[test]
#[allow(unsafe_code, reason = "the standard library knows no leases")]
fn l3_a_lease_is_waited_for_by_the_deadline() -> Outcome {
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant};

    const F_SETSIG: i32 = 10;
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    File::create(&path)?;
    let leased = File::open(&path)?;
    // SAFETY: the descriptor is ours. The signal that tells of the opening is one that is ignored.
    unsafe {
        assert_eq!(libc::fcntl(leased.as_raw_fd(), F_SETSIG, libc::SIGURG), 0);
        assert_eq!(libc::fcntl(leased.as_raw_fd(), libc::F_SETLEASE, libc::F_RDLCK), 0);
    }
    let why = format!(
        "{}: somebody has a lease on it, a file server for instance, and has not given it back yet",
        words_of(libc::EAGAIN)
    );
    let refused = |lock: &locket::Lock| {
        let Err(error) = lock.lock() else { panic!("it is leased") };
        assert_eq!(error.to_string(), format!("couldn't open {}: {why}", path.display()));
    };
    refused(&scratch.lock().timeout(Duration::ZERO));
    let timeout = Duration::from_millis(30);
    let start = Instant::now();
    refused(&scratch.lock().timeout(timeout));
    assert!(start.elapsed() >= timeout, "{:?}", start.elapsed());

    let mut peer = Peer::with_handle("patient", &path, "timeout=3600000 retry_period=1");
    peer.ok("start wait acquire patient");
    peer.assert_waiting("wait");
    drop(leased);
    peer.wait_ok("wait");
    Ok(())
}

fn which(program: &str) -> io::Result<PathBuf> {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output()?;
    Ok(String::from_utf8_lossy(&found.stdout).trim().into())
}
