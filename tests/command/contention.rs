//! - A held lock is contention: immediately with `-n`, at the deadline with `-w`. A lock that is released is acquired.
//! - The command does not run without the lock.
//! - There is one deadline, and it includes the time before the wait.
//! - Shared holds coexist with each other, and not with an exclusive one.
//! - The message names the holder, and a long wait is reported every ten seconds.
//! - A missing lock file is created, and an existing one is not changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use crate::running::has;
use crate::running::{HOLD, LOCKET, Running, locket_run};
use crate::support::{Scratch, until_waiting};

#[test]
fn a_timeout_of_zero_is_one_attempt() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    for options in [&["-n"][..], &["-w", "0"], &["-w", "0ms"]] {
        let refused = locket_run().args(options).arg(&path).args(["--", "echo", "ran"]).assert();
        holder.assert_names_holder(&refused.code(75).stdout(""), &format!("{} is", path.display()));
    }
    assert_eq!(holder.end(), Some(1));
    locket_run().arg("-n").arg(&path).args(["--", "echo", "ran"]).assert().code(0).stdout("ran\n");
}

#[test]
fn a_timeout_is_never_early() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    let start = Instant::now();
    let refused = locket_run().args(["-w", "0.1"]).arg(&path).args(["--", "echo", "ran"]).assert();
    let what = format!("cannot lock {} within 100ms:", path.display());
    holder.assert_names_holder(&refused.code(75).stdout(""), &what);
    assert!(start.elapsed() >= Duration::from_millis(100));
}

#[test]
fn a_waiter_runs_its_command_when_the_lock_is_free() {
    for options in [&[][..], &["-w", "10m"], &["-o"], &["-s", "-w", "1h"]] {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        let holder = Running::holder(&path);
        let waiter = Running::start(
            Command::new(LOCKET).arg("run").args(options).arg(&path).args(["--", "sh", "-c", HOLD]),
        );
        until_waiting(waiter.pid(), &path, 1);
        assert_eq!(holder.end(), Some(1));
        waiter.line();
        waiter.end();
    }
}

/// Away from a terminal a short wait prints nothing, and a long one prints a line every ten seconds.
#[test]
fn a_long_wait_is_reported_every_ten_seconds() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    let start = Instant::now();
    let mut waiter = Running::with_messages(&[], &path);
    let line = waiter.line();
    assert!(line.starts_with("locket: waiting "), "{line}");
    assert!(line.ends_with(&format!("s for {}{}", path.display(), holder.held_by())), "{line}");
    assert!(start.elapsed() >= Duration::from_secs(10), "early: {line}");
    holder.end();
    assert_eq!(waiter.wait().code(), Some(0));
}

/// The first attempt takes longer than the timeout, so no time is left for a wait.
#[test]
#[cfg(target_os = "linux")]
fn the_deadline_includes_the_time_before_the_wait() {
    if !has("the_deadline_includes_the_time_before_the_wait", "strace", &["-qq", "true"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _holder = Running::holder(&path);
    let waits = |timeout: &str, inject: &str| {
        let log = scratch.join("log");
        let status = Command::new("strace")
            .args(["-qq", "-e", "trace=flock,timer_settime", "-e", inject, "-o"])
            .arg(&log)
            .args([LOCKET, "run", "--quiet", "-w", timeout])
            .arg(&path)
            .arg("true")
            .status();
        assert_eq!(status.expect("strace should run").code(), Some(75));
        let log = fs::read_to_string(log).expect("strace should have written it");
        // A timer that expires immediately leaves no time to wait.
        let at_once = "it_value={tv_sec=0, tv_nsec=1}";
        log.lines().any(|line| line.contains("timer_settime(") && !line.contains(at_once))
    };
    assert!(!waits("50ms", "inject=flock:delay_exit=60000:when=1"));
    // Without the delay the check must see a wait. A busy machine may need a longer timeout for that.
    let undisturbed = "inject=flock:delay_exit=1:when=1";
    assert!(["50ms", "500ms", "5s"].into_iter().any(|timeout| waits(timeout, undisturbed)));
}

#[test]
fn shared_holds_coexist() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let reader = Running::holder_with(&path, &["-s"]);
    locket_run().args(["-s", "-n"]).arg(&path).arg("true").assert().code(0);
    locket_run().args(["-x", "-n"]).arg(&path).arg("true").assert().code(75);
    reader.end();
    let _writer = Running::holder_with(&path, &["-x"]);
    locket_run().args(["-s", "-n"]).arg(&path).arg("true").assert().code(75);
}

#[test]
fn a_missing_file_is_created_and_an_existing_one_unchanged() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    locket_run().arg(&path).arg("true").assert().code(0);
    assert_eq!(fs::read(&path).expect("it should be there"), b"");

    fs::write(&path, "precious").expect("it should be possible in the test directory");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640))
        .expect("it should be possible in the test directory");
    let before = fs::metadata(&path).expect("it should exist");
    locket_run().arg(&path).arg("true").assert().code(0);
    let after = fs::metadata(&path).expect("it should be there still");
    assert_eq!(fs::read(&path).expect("it should exist"), b"precious");
    assert_eq!(after.permissions(), before.permissions());
    assert_eq!(after.modified().ok(), before.modified().ok());
}

/// Each command creates and removes a directory. Two commands at the same time collide there.
#[test]
fn commands_under_one_lock_run_one_at_a_time() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let inside = scratch.join("inside");
    let alone = r#"mkdir "$0" && rmdir "$0""#;
    let script = r#"i=0; while [ $i -lt 10 ]; do
        "$0" run "$1" -- sh -c "$2" "$3" || exit; i=$((i + 1)); done"#;
    let mut runs: Vec<Running> = (0..4)
        .map(|_| {
            let mut command = Command::new("sh");
            command.args(["-c", script, LOCKET]).arg(&path).arg(alone).arg(&inside);
            Running::start(&mut command)
        })
        .collect();
    for run in &mut runs {
        assert_eq!(run.wait().code(), Some(0));
    }

    // The check must see a command that is inside.
    let _reader = Running::holder_with(&path, &["-s"]);
    std::fs::create_dir(&inside).expect("it was removed");
    let mut meeting = locket_run();
    meeting.arg("-s").arg(&path).args(["--", "sh", "-c", alone]).arg(&inside).assert().code(1);
}
