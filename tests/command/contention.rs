//! - A held lock is contention: immediately with `-n`, at the deadline with `-w`. A lock that is released is acquired.
//! - The command does not run without the lock.
//! - There is one deadline, and it includes the time before the wait.
//! - The message names the holder, and a long wait is reported every ten seconds.

use std::time::{Duration, Instant};

use crate::lock_file::{LockFile, run};
use crate::running::{Running, holder};

#[test]
fn a_timeout_of_zero_is_one_attempt() {
    let lock = LockFile::new();
    let holder = holder(&[], &lock);
    let echo = ["--", "echo", "ran"];
    for options in ["-n", "--nonblock", "--nonblocking", "--nb", "-w0", "-w0ms"] {
        let refused = run(&[options], &lock, &echo).code(75).stdout("");
        holder.assert_names_holder(&refused, &format!("{lock} is"));
    }
    assert_eq!(holder.end(), Some(1));
    run(&["-n"], &lock, &echo).code(0).stdout("ran\n");
}

#[test]
fn a_timeout_is_never_early() {
    let lock = LockFile::new();
    let holder = holder(&[], &lock);
    for options in [
        &["-w", "0.1"][..],
        &["-w.1"],
        &["-w", "100ms"],
        &["--timeout", "0.1s"],
        &["--timeout=100ms"],
        &["--wait", "0.1"],
        &["-w", "1h", "-w", "100ms"],
    ] {
        let start = Instant::now();
        let refused = run(options, &lock, &["--", "echo", "ran"]).code(75).stdout("");
        holder.assert_names_holder(&refused, &format!("cannot lock {lock} within 100ms:"));
        assert!(start.elapsed() >= Duration::from_millis(100), "{options:?}");
    }
}

#[test]
fn conflict_exit_code() {
    let lock = LockFile::new();
    let _holder = holder(&[], &lock);
    for (options, code) in [
        (&["-E", "9"][..], 9),
        (&["-E9"], 9),
        (&["--conflict-exit-code", "0"], 0),
        (&["--conflict-exit-code=255"], 255),
    ] {
        run(&[&["-n"], options].concat(), &lock, &["true"]).code(code);
        run(&[&["-w", "1ms"], options].concat(), &lock, &["true"]).code(code);
    }
}

/// Away from a terminal a short wait prints nothing, and a long one prints a line every ten seconds. After a minute, a wait
/// without a limit explains timeouts, once.
#[test]
fn a_long_wait_is_reported_every_ten_seconds_and_explains_timeouts() {
    const LINE: &str =
        "locket: this wait has no limit: -w 10m limits it to ten minutes, -n fails immediately";

    let lock = LockFile::new();
    let holder = holder(&[], &lock);
    let by = if cfg!(target_os = "linux") {
        format!(": held by {}", holder.display_name())
    } else {
        String::new()
    };
    let start = Instant::now();
    let unlimited = Running::with_messages(&[], &lock);
    let mut limited = Running::with_messages(&["-w", "1h"], &lock);
    for seconds in (10..).step_by(10) {
        let line = unlimited.line();
        let least = if line == LINE { 60 } else { seconds };
        assert!(start.elapsed() >= Duration::from_secs(least), "early: {line}");
        if line == LINE {
            break;
        }
        assert!(line.starts_with("locket: waiting "), "{line}");
        assert!(line.ends_with(&format!("s for {lock}{by}")), "{line}");
        assert!(seconds < 120, "there should be a line about timeouts");
    }
    holder.end();
    assert_eq!(limited.wait().code(), Some(0));
    let rest = [unlimited.rest(), limited.rest()].concat();
    assert!(!rest.iter().any(|it| it == LINE), "once, and not where there is a limit: {rest:?}");
}

/// The first attempt takes longer than the timeout, so no time is left for a wait.
#[test]
#[cfg(target_os = "linux")]
fn the_deadline_includes_the_time_before_the_wait() {
    needs!("strace -qq true");
    let lock = LockFile::new();
    let _holder = holder(&[], &lock);
    let waits = |timeout: &str, inject: &str| {
        let options = ["-e", "trace=flock,timer_settime", "-e", inject];
        let (run, log) = lock.strace(&options, &["run", "--quiet", "-w", timeout, &lock, "true"]);
        run.code(75);
        // A timer that expires immediately leaves no time to wait.
        let at_once = "it_value={tv_sec=0, tv_nsec=1}";
        log.lines().any(|line| line.contains("timer_settime(") && !line.contains(at_once))
    };
    assert!(!waits("50ms", "inject=flock:delay_exit=60000:when=1"));
    // Without the delay the check must see a wait. A busy machine may need a longer timeout for that.
    let undisturbed = "inject=flock:delay_exit=1:when=1";
    assert!(["50ms", "500ms", "5s"].into_iter().any(|timeout| waits(timeout, undisturbed)));
}

/// Each command creates and removes a directory. Two commands at the same time collide there.
#[test]
fn l1_commands_of_xargs_exclude_each_other() {
    needs!("xargs -P 2 true");
    let lock = LockFile::new();
    let alone = "mkdir inside && sleep 0.002 && rmdir inside";
    let turns = |run: &str| lock.sh(&format!("seq 40 | xargs -P 8 -n 1 {run} sh -c '{alone}'"));
    turns("$L run f").code(0).stdout("").stderr("");
    turns("$L run -o f").code(0).stdout("").stderr("");
    // Without locket they collide.
    assert!(!turns("env").get_output().status.success());
}
