//! Adverse conditions, and the options for them:
//! - few descriptors, closed standard streams;
//! - an error names the interpreter of a script, if it is missing or ends with a carriage return;
//! - `--mode` is the mode of a lock file that is created, under any umask; `--no-follow` refuses a symbolic link;
//! - `--hold-warning` warns once about a long hold, and delays nothing.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::lock_file::{LockFile, WAYS, is_free, locket_run, make_script, run, said};
use crate::running::{HOLD, Running};

#[test]
fn few_descriptors_are_enough() {
    let lock = LockFile::new();
    for options in ["", "-o", "-s", "-F", "-w 1h"] {
        let script = format!("ulimit -n 10; exec $L run {options} f sh -c 'exit 3'");
        lock.sh(&script).code(3).stderr("");
    }
    // Descriptor 10 is in use, and the limit allows none beyond it.
    for options in ["", "-F"] {
        let script = format!("exec 10</dev/null; ulimit -n 11; exec $L run {options} f true");
        lock.command("bash", &["-c", &script]).assert().code(0);
    }
    // With too few it fails, and does not run the command without the lock.
    for limit in 4..10 {
        let run = lock.sh(&format!("ulimit -n {limit}; exec $L run -q f sh -c 'exit 3'"));
        let code = run.get_output().status.code();
        assert!(matches!(code, Some(3 | 66 | 71 | 126 | 127)), "{limit}: {code:?}");
        assert!(is_free(&lock));
    }
}

#[test]
fn closed_standard_streams_do_not_matter() {
    let lock = LockFile::new();
    for closed in ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"] {
        for options in ["", "-o", "-F"] {
            lock.sh(&format!("exec $L run {options} f sh -c 'exit 3' {closed}")).code(3);
        }
    }
}

#[test]
fn a_missing_interpreter_is_named() {
    let lock = LockFile::new();
    let path = format!("{}:/usr/bin:/bin", lock.directory().display());
    for (line, named) in [
        ("#!/no/such/shell -e\n", "its interpreter, /no/such/shell, is missing"),
        ("#! /no/such/shell\n", "its interpreter, /no/such/shell, is missing"),
        ("#!/bin/sh\r\nexit 0\r\n", "carriage return (CRLF)"),
    ] {
        make_script(lock.beside("a-script"), line);
        for options in WAYS {
            let run = locket_run(options, &lock, ["a-script"]).env("PATH", &path).assert();
            let text = said(&run.code(126));
            assert!(text.contains("cannot run a-script: ") && text.contains(named), "{text}");
        }
    }
}

#[test]
fn mode_is_the_mode_of_a_new_lock_file() {
    let lock = LockFile::new();
    for (name, options, mode) in [
        ("a", "", 0o600),
        ("b", "--mode 666", 0o666),
        ("c", "--mode=0640 -o", 0o640),
        ("d", "--mode 660 -F", 0o660),
        // An existing file keeps its mode.
        ("a", "--mode 666", 0o600),
    ] {
        // The command has the umask of the caller.
        lock.sh(&format!("umask 077; exec $L run {options} {name} sh -c umask")).stdout("0077\n");
        let created = fs::metadata(lock.beside(name)).expect("it was created").permissions();
        assert_eq!(created.mode() & 0o7777, mode, "{options}");
    }
    for wrong in ["8", "1777", "-1", "rw", ""] {
        run(&["--mode", wrong], &lock, &["true"]).code(64);
    }
}

#[test]
fn a_link_is_followed_unless_no_follow_is_given() {
    let lock = LockFile::new();
    symlink(&*lock, lock.beside("link")).expect("the directory should be writable");
    lock.locket(&["run", "link", "true"]).code(0);
    assert!(lock.directory().join("f").exists());
    let text = said(&lock.locket(&["run", "--no-follow", "link", "true"]).code(66));
    assert!(text.contains("symbolic link"), "{text}");
    lock.locket(&["run", "--no-follow", "f", "true"]).code(0);
}

#[test]
fn a_long_hold_is_reported_once() {
    let lock = LockFile::new();
    let script = r#"exec "$0" run --hold-warning "$1" "$2" sh -c "$3" 2>&1"#;
    for (time, shown) in [("10ms", "10ms"), ("0.25", "250ms"), ("0", "0s")] {
        let mut run = Running::sh(script, &[time, &lock, HOLD]);
        let lines = [run.line(), run.line()];
        let warning = format!("locket: {lock} has been held for {shown} by this command");
        assert!(lines.iter().any(|line| line.starts_with(&warning)), "{lines:?}");
        run.hang_up();
        assert_eq!(run.wait().code(), Some(1));
        assert_eq!(run.rest(), [""; 0]);
    }
    // There is no warning about a short hold, or if locket is asked to be quiet.
    run(&["--hold-warning", "1h"], &lock, &["true"]).code(0).stderr("");
    run(&["-q", "--hold-warning", "1ms"], &lock, &["sleep", "0.3"]).code(0).stderr("");
    run(&["--hold-warning", "1h", "-F"], &lock, &["true"]).code(64);
}

/// Another process has a lease on the file (fcntl(2), `F_SETLEASE`), so it cannot be opened until the lease is released.
/// locket waits for that as it waits for the lock.
#[cfg(target_os = "linux")]
#[test]
fn l3_a_lease_is_waited_for() {
    const LEASE: &str = "\
import fcntl, signal, sys
signal.signal(signal.SIGIO, signal.SIG_IGN)
f = open(sys.argv[1], 'r+')
fcntl.fcntl(f, 1024, fcntl.F_WRLCK)
print('leased', flush=True)
sys.stdin.readline()
fcntl.fcntl(f, 1024, fcntl.F_UNLCK)
";
    needs!("python3 --version");
    let lock = LockFile::new();
    fs::File::create(&lock).expect("the directory should be writable");
    let mut lessor = std::process::Command::new("python3");
    let lessor = Running::start(lessor.args(["-c", LEASE, &lock]));
    assert_eq!(lessor.line(), "leased");
    run(&["-n"], &lock, &["true"]).code(66);
    let mut waiter = Running::with_messages(&["--verbose"], &lock);
    let line = waiter.line();
    assert!(line.starts_with("locket: waiting "), "{line}");
    assert_eq!(lessor.end(), Some(0));
    assert_eq!(waiter.wait().code(), Some(0));
}
