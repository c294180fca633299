//! `locket wait`:
//! - ends when no process holds the lock, because it was released or its holder was killed; shared holders count, unless
//!   with `-s`;
//! - leaves the lock free, and does not create a missing file;
//! - with `-n` and `-w` fails with 75, or with the code of `-E`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use crate::running::has;
use crate::running::{LOCKET, Running, is_free, make_script};
use crate::support::{PATIENCE, Scratch, until_waiting};

/// Returns `locket wait`, for a run to its end.
fn locket_wait(options: &[&str], path: &Path) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(LOCKET);
    command.arg("wait").args(options).arg(path).timeout(PATIENCE);
    command
}

/// Starts a waiter.
#[track_caller]
fn waiter(options: &[&str], path: &Path) -> Running {
    let waiter = Running::start(Command::new(LOCKET).arg("wait").args(options).arg(path));
    until_waiting(waiter.pid(), path, 1);
    waiter
}

#[test]
fn it_ends_when_the_lock_is_released() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for (held, options) in
        [(&[][..], &[][..]), (&[], &["-w", "1h"]), (&["-s"], &[]), (&[], &["-s"])]
    {
        let holder = Running::holder_with(&path, held);
        let mut waiter = waiter(options, &path);
        holder.end();
        assert_eq!(waiter.wait().code(), Some(0));
        assert!(is_free(&path));
        assert_eq!(waiter.rest(), [""; 0]);
    }
}

#[test]
fn it_ends_when_the_holder_is_killed() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Running::holder(&path);
    let mut waiter = waiter(&[], &path);
    holder.kill_all();
    assert_eq!(waiter.wait().code(), Some(0));
}

#[test]
fn it_ends_when_the_file_is_deleted() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    let mut waiter = waiter(&[], &path);
    std::fs::remove_file(&path).expect("it should be possible in the test directory");
    // The holder still runs.
    assert_eq!(waiter.wait().code(), Some(0));
    assert!(!path.exists());
    holder.end();
}

#[test]
fn it_waits_for_the_replacement_file() {
    let scratch = Scratch::new();
    let (path, new) = (scratch.lock_path(), scratch.join("new"));
    let mut moved = vec![];
    for options in [&[][..], &["-w", "1h"], &["-s"]] {
        let first = Running::holder(&path);
        let mut waiter = waiter(options, &path);
        let second = Running::holder(&new);
        std::fs::rename(&new, &path).expect("it should be possible in the test directory");
        until_waiting(waiter.pid(), &path, 1);
        second.end();
        assert_eq!(waiter.wait().code(), Some(0), "{options:?}");
        moved.push(first);
    }
    for holder in moved {
        holder.end();
    }
}

/// There is one deadline for all the files.
#[test]
fn a_replacement_does_not_restart_the_deadline() {
    let scratch = Scratch::new();
    let (path, new) = (scratch.lock_path(), scratch.join("new"));
    let (first, second) = (Running::holder(&path), Running::holder(&new));
    let start = Instant::now();
    let mut waiter = waiter(&["-w", "4s"], &path);
    std::fs::rename(&new, &path).expect("it should be possible in the test directory");
    assert_eq!(waiter.wait().code(), Some(75));
    assert!(start.elapsed() >= Duration::from_secs(4));
    first.end();
    second.end();
}

#[test]
fn a_free_lock_is_not_waited_for() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for missing in [path.clone(), scratch.join("nosuch/x.lock")] {
        for options in [&[][..], &["-n"], &["-w", "1h"], &["-s"]] {
            locket_wait(options, &missing).assert().code(0).stdout("").stderr("");
            assert!(!missing.exists());
        }
    }
    std::fs::write(&path, "").expect("the directory should be writable");
    locket_wait(&[], &path).assert().code(0).stdout("").stderr("");
    let _reader = Running::holder_with(&path, &["-s"]);
    locket_wait(&["-s"], &path).assert().code(0).stdout("").stderr("");
    locket_wait(&["-n"], &path).assert().code(75);
}

#[test]
fn it_times_out_like_run() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    let start = Instant::now();
    let refused = locket_wait(&["-n"], &path).assert().code(75);
    holder.assert_names_holder(&refused, &format!("{} is", path.display()));
    let refused = locket_wait(&["-w", "150ms"], &path).assert().code(75);
    holder.assert_names_holder(&refused, &format!("{} was not free within 150ms:", path.display()));
    assert!(start.elapsed() >= Duration::from_millis(150));
    locket_wait(&["-n", "-E", "3"], &path).assert().code(3);
    for options in [&["-qn"][..], &["-w", "1ms", "--quiet"]] {
        locket_wait(options, &path).assert().code(75).stdout("").stderr("");
    }
    assert!(!is_free(&path));
}

#[test]
fn a_path_that_cannot_be_opened_is_66() {
    let scratch = Scratch::new();
    make_script(&scratch.join("file"), "");
    for path in [Path::new("/dev/null"), &scratch.join("file/x.lock")] {
        let output = locket_wait(&[], path).output().expect("it should run");
        assert_eq!(output.status.code(), Some(66));
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("locket: cannot open "));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_system_error_is_71() {
    if !has("a_system_error_is_71", "strace", &["-qq", "true"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    std::fs::write(&path, "").expect("the directory should be writable");
    let code = |inject: &str| {
        let mut run = Command::new("strace");
        run.args(["-f", "-qq", "-o", "/dev/null", "-e", inject, LOCKET, "wait"]).arg(&path);
        run.output().expect("strace should run").status.code()
    };
    assert_eq!(code("inject=flock:error=ENOLCK"), Some(71));
    // Without an injection no error occurs.
    assert_eq!(code("inject=flock:delay_exit=1"), Some(0));
}
