//! `locket wait`:
//! - ends when no process holds the lock, because it was released or its holder was killed; shared holders count, unless
//!   with `-s`;
//! - leaves the lock free, and does not create a missing file;
//! - with `-n` and `-w` fails with 75, or with the code of `-E`.

use std::process::Command;
use std::time::{Duration, Instant};

use assert_cmd::assert::Assert;
use nix::sys::signal::Signal;

use crate::lock_file::{LOCKET, LockFile, is_free, said};
use crate::running::{Running, holder};
use crate::support::until_waiting;

/// Runs `locket wait` to its end.
#[track_caller]
fn locket_wait(options: &[&str], path: &str) -> Assert {
    LockFile::new().locket(&[&["wait"], options, &[path]].concat())
}

/// Starts a waiter.
#[track_caller]
fn waiter(options: &[&str], path: &str) -> Running {
    Running::start(Command::new(LOCKET).arg("wait").args(options).arg(path)).waiting(path)
}

#[test]
fn it_ends_when_the_lock_is_released() {
    let lock = LockFile::new();
    for (held, options) in
        [(&[][..], &[][..]), (&[], &["-w", "1h"]), (&["-s"], &[]), (&[], &["-s"])]
    {
        let holder = holder(held, &lock);
        let mut waiter = waiter(options, &lock);
        holder.end();
        assert_eq!(waiter.wait().code(), Some(0));
        assert!(is_free(&lock));
        assert_eq!(waiter.rest(), [""; 0]);
    }
}

#[test]
fn it_ends_when_the_holder_is_killed_or_the_file_deleted() {
    let lock = LockFile::new();
    let mut holder = holder(&[], &lock);
    let mut first = waiter(&[], &lock);
    holder.signal_all(Signal::SIGKILL);
    assert_eq!(first.wait().code(), Some(0));
    holder.wait();

    let _holder = crate::running::holder(&[], &lock);
    let mut second = waiter(&[], &lock);
    std::fs::remove_file(&lock).expect("it should be possible in the test directory");
    // The holder still runs.
    assert_eq!(second.wait().code(), Some(0));
    assert!(!lock.directory().join("f").exists());
}

/// There is one deadline for all the files.
#[test]
fn it_waits_for_the_replacement_file() {
    let lock = LockFile::new();
    let new = lock.beside("new");
    let mut moved = vec![];
    for (options, code) in [(&[][..], 0), (&["-w", "1h"], 0), (&["-s"], 0), (&["-w", "4s"], 75)] {
        moved.push(holder(&[], &lock));
        let start = Instant::now();
        let mut waiter = waiter(options, &lock);
        let second = holder(&[], &new);
        std::fs::rename(&new, &lock).expect("it should be possible in the test directory");
        if code == 0 {
            until_waiting(waiter.pid(), lock.as_ref(), 1);
            second.end();
        } else {
            moved.push(second);
        }
        assert_eq!(waiter.wait().code(), Some(code), "{options:?}");
        assert!(code == 0 || start.elapsed() >= Duration::from_secs(4));
    }
}

#[test]
fn a_free_lock_is_not_waited_for() {
    let lock = LockFile::new();
    for missing in [&lock, &lock.beside("nosuch/f")[..]] {
        for options in [&[][..], &["-n"], &["-w", "1h"], &["-s"]] {
            locket_wait(options, missing).code(0).stdout("").stderr("");
            assert!(!std::path::Path::new(missing).exists());
        }
    }
    std::fs::write(&lock, "").expect("the directory should be writable");
    locket_wait(&[], &lock).code(0).stdout("").stderr("");
    let _reader = holder(&["-s"], &lock);
    locket_wait(&["-s"], &lock).code(0).stdout("").stderr("");
    locket_wait(&["-n"], &lock).code(75);
}

#[test]
fn it_times_out_like_run() {
    let lock = LockFile::new();
    let holder = holder(&[], &lock);
    let start = Instant::now();
    holder.assert_names_holder(&locket_wait(&["-n"], &lock).code(75), &format!("{lock} is"));
    let refused = locket_wait(&["-w", "150ms"], &lock).code(75);
    holder.assert_names_holder(&refused, &format!("{lock} was not free within 150ms:"));
    assert!(start.elapsed() >= Duration::from_millis(150));
    locket_wait(&["-n", "-E", "3"], &lock).code(3);
    for options in [&["-qn"][..], &["-w", "1ms", "--quiet"]] {
        locket_wait(options, &lock).code(75).stdout("").stderr("");
    }
    assert!(!is_free(&lock));
}

#[test]
fn a_path_that_cannot_be_opened_is_66() {
    let lock = LockFile::new();
    std::fs::write(&lock, "").expect("the directory should be writable");
    for path in ["/dev/null", &format!("{lock}/below")] {
        let text = said(&locket_wait(&[], path).code(66));
        assert!(text.starts_with("locket: cannot open "), "{text}");
    }
}
