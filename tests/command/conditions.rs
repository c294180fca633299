//! Adverse conditions, and the options for them:
//! - few descriptors, closed standard streams;
//! - an error names the interpreter of a script, if it is missing or ends with a carriage return;
//! - `--mode` is the mode of a lock file that is created, under any umask; `--no-follow` refuses a symbolic link;
//! - `--hold-warning` warns once about a long hold, and delays nothing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use crate::running::{HOLD, LOCKET, Running, is_free, locket_run, make_script};
use crate::support::Scratch;

#[test]
fn few_descriptors_are_enough() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for options in ["", "-o", "-s", "-F", "-w 1h"] {
        let script = format!("ulimit -n 10; exec \"$0\" run {options} \"$1\" sh -c 'exit 3'");
        let mut run = Command::new("sh");
        let output = run.args(["-c", &script, LOCKET]).arg(&path).output();
        let output = output.expect("it should run");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*text), (Some(3), ""), "{options}");
    }
    // Descriptor 10 is in use, and the limit allows none beyond it.
    for options in ["", "-F"] {
        let script =
            format!("exec 10</dev/null; ulimit -n 11; exec \"$0\" run {options} \"$1\" true");
        let mut run = Command::new("bash");
        let status = run.args(["-c", &script, LOCKET]).arg(&path).status();
        assert_eq!(status.expect("it should run").code(), Some(0), "{options}");
    }
    // With too few it fails, and does not run the command without the lock.
    for limit in 4..10 {
        let script = format!("ulimit -n {limit}; exec \"$0\" run -q \"$1\" sh -c 'exit 3'");
        let mut run = Command::new("sh");
        let code = run.args(["-c", &script, LOCKET]).arg(&path).status().expect("it runs").code();
        assert!(matches!(code, Some(3 | 66 | 71 | 126 | 127)), "{limit}: {code:?}");
        assert!(is_free(&path));
    }
}

#[test]
fn closed_standard_streams_do_not_matter() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for closed in ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"] {
        for options in ["", "-o", "-F"] {
            let script = format!("exec \"$0\" run {options} \"$1\" sh -c 'exit 3' {closed}");
            let mut run = Command::new("sh");
            let status = run.args(["-c", &script, LOCKET]).arg(&path).status();
            assert_eq!(status.expect("it should run").code(), Some(3), "{options} {closed}");
        }
    }
}

#[test]
fn a_missing_interpreter_is_named() {
    let scratch = Scratch::new();
    let script = scratch.join("a-script");
    for (line, named) in [
        ("#!/no/such/shell -e\n", "its interpreter, /no/such/shell, is missing"),
        ("#! /no/such/shell\n", "its interpreter, /no/such/shell, is missing"),
        ("#!/bin/sh\r\nexit 0\r\n", "carriage return (CRLF)"),
    ] {
        make_script(&script, line);
        for options in [&[][..], &["-o"], &["-F"]] {
            let mut run = locket_run();
            run.env("PATH", format!("{}:/usr/bin:/bin", scratch.path().display()));
            let output = run.args(options).arg(scratch.lock_path()).arg("a-script").output();
            let output = output.expect("it should run");
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(126), "{text}");
            assert!(text.contains("cannot run a-script: ") && text.contains(named), "{text}");
        }
    }
}

#[test]
fn mode_is_the_mode_of_a_new_lock_file() {
    let scratch = Scratch::new();
    let created = |name: &str, options: &str| {
        let path = scratch.join(name);
        let script = format!("umask 077; exec \"$0\" run {options} \"$1\" sh -c umask");
        let mut run = Command::new("sh");
        let output = run.args(["-c", &script, LOCKET]).arg(&path).output().expect("it should run");
        // The command has the umask of the caller.
        assert_eq!(output.stdout.trim_ascii(), b"0077", "{options}");
        fs::metadata(&path).expect("it was created").permissions().mode() & 0o7777
    };
    assert_eq!(created("a", ""), 0o600);
    assert_eq!(created("b", "--mode 666"), 0o666);
    assert_eq!(created("c", "--mode=0640 -o"), 0o640);
    assert_eq!(created("d", "--mode 660 -F"), 0o660);
    // An existing file keeps its mode.
    assert_eq!(created("a", "--mode 666"), 0o600);
    for wrong in ["8", "1777", "-1", "rw", ""] {
        let arguments = ["--mode", wrong, "x.lock", "true"];
        locket_run().current_dir(scratch.path()).args(arguments).assert().code(64);
    }
}

#[test]
fn a_link_is_followed_unless_no_follow_is_given() {
    let scratch = Scratch::new();
    let (path, link) = (scratch.lock_path(), scratch.join("link"));
    symlink(&path, &link).expect("the directory should be writable");
    locket_run().arg(&link).arg("true").assert().code(0);
    assert!(path.exists());
    let output = locket_run().arg("--no-follow").arg(&link).arg("true").output();
    let output = output.expect("it should run");
    assert_eq!(output.status.code(), Some(66));
    assert!(String::from_utf8_lossy(&output.stderr).contains("symbolic link"));
    locket_run().arg("--no-follow").arg(&path).arg("true").assert().code(0);
}

#[test]
fn a_long_hold_is_reported_once() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let script = format!(r#"exec "$0" run --hold-warning 10ms "$1" sh -c '{HOLD}' 2>&1"#);
    let mut run = Command::new("sh");
    let mut run = Running::start(run.args(["-c", &script, LOCKET]).arg(&path));
    let lines = [run.line(), run.line()];
    let warning = lines.iter().find(|line| line.starts_with("locket: "));
    let warning = warning.unwrap_or_else(|| panic!("{lines:?}"));
    assert!(warning.contains(&format!("{} has been held for 10ms", path.display())), "{warning}");
    run.hang_up();
    assert_eq!(run.wait().code(), Some(1));
    assert_eq!(run.rest(), [""; 0]);
    // There is no warning about a short hold.
    locket_run().args(["--hold-warning", "1h"]).arg(&path).arg("true").assert().code(0).stderr("");
    locket_run().args(["--hold-warning", "1h", "-F"]).arg(&path).arg("true").assert().code(64);
}

/// Another process has a lease on the file (fcntl(2), `F_SETLEASE`), so it cannot be opened until the lease is released.
/// locket waits for that as it waits for the lock.
#[cfg(target_os = "linux")]
#[test]
fn l3_a_lease_is_waited_for() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    const LEASE: &str = "\
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
f = open(sys.argv[1], 'r+')
fcntl.fcntl(f, 1024, fcntl.F_WRLCK)
print('leased', flush=True)
sys.stdin.readline()
fcntl.fcntl(f, 1024, fcntl.F_UNLCK)
";
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    fs::File::create(&path).expect("the directory should be writable");
    let mut lessor = Command::new("python3");
    lessor.args(["-c", LEASE]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut lessor) = lessor.spawn() else {
        return crate::support::skip("l3_a_lease_is_waited_for", "python3: it is not here");
    };
    let mut line = String::new();
    let output = lessor.stdout.take().expect("it is piped");
    BufReader::new(output).read_line(&mut line).expect("it says something");
    assert_eq!(line, "leased\n");
    locket_run().arg("-n").arg(&path).arg("true").assert().code(66);
    let mut waiter = Command::new(LOCKET);
    let mut waiter = waiter.arg("run").arg(&path).arg("true").spawn().expect("it should start");
    std::thread::sleep(std::time::Duration::from_millis(100));
    assert!(waiter.try_wait().expect("it is a child").is_none(), "it waits");
    drop(lessor.stdin.take());
    assert!(waiter.wait().expect("it ends").success());
    assert!(lessor.wait().expect("it ends").success());
}
