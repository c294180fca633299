//! Holders that are this process itself or its ancestors:
//! - a locket that has inherited the locked descriptor does not wait for itself: 75, immediately;
//! - a holder that started this process is reported immediately, and waited for;
//! - a holder that is stopped is shown as stopped: in messages, in `status`, and as JSON;
//! - `status` does not list itself.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::running::{HOLD, LOCKET, Running, has, locket_run};
use crate::support::{Scratch, until};

#[test]
fn an_inherited_lock_is_not_waited_for() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let shown = path.to_str().expect("it should be UTF-8");
    for (outer, inner) in [
        (&[][..], &["run"][..]),
        (&[], &["run", "-w", "1h"]),
        (&[], &["run", "-n"]),
        (&[], &["run", "-s"]),
        (&["-s"], &["run", "-x"]),
        (&["-F"], &["run"]),
        (&[], &["wait"]),
    ] {
        let command = if inner[0] == "run" { &["true"][..] } else { &[] };
        let nested = [&[LOCKET], inner, &[shown], command].concat();
        let output = locket_run().args(outer).arg(&path).arg("--").args(nested).output();
        let output = output.expect("it should run");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(75), "{outer:?} {inner:?}: {text}");
        let said = format!("locket: {shown} is held by this process itself, through its inherited");
        assert!(text.starts_with(&said), "{outer:?} {inner:?}: {text}");
    }
    // A lock that does not conflict is acquired: shared beside shared.
    let mut run = locket_run();
    run.arg("-s").arg(&path).args([LOCKET, "run", "-s", "-n"]).arg(&path).arg("true");
    run.assert().code(0);
    // The lock of another file is not mistaken for it.
    let mut run = locket_run();
    run.arg(&path).args([LOCKET, "run", "-n"]).arg(scratch.join("other.lock")).arg("true");
    run.assert().code(0);
    let mut run = locket_run();
    let code = ["run", "-E", "9", "-q"];
    run.arg(&path).arg(LOCKET).args(code).arg(&path).arg("true").assert().code(9).stderr("");
}

#[test]
fn a_holder_that_started_this_process_is_reported_immediately() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let shown = path.to_str().expect("it should be UTF-8");
    // It is reported away from a terminal too, where a short wait is not. The wait goes on until its deadline.
    let mut run = Command::new("sh");
    let script = r#""$0" run -o "$1" "$0" run -w 700ms "$1" true 2>&1"#;
    let mut run = Running::start(run.args(["-c", script, LOCKET, shown]));
    let line = run.line();
    assert!(line.starts_with(&format!("locket: waiting for {shown}: held by pid ")), "{line}");
    assert!(line.ends_with(", which started this process"), "{line}");
    assert!(run.line().starts_with("locket: cannot lock "));
    assert_eq!(run.wait().code(), Some(75));
}

#[test]
fn a_stopped_holder_is_shown_as_stopped() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    let status = |options: &[&str]| {
        let mut status = Command::new(LOCKET);
        let output = status.arg("status").args(options).arg(&path).output();
        String::from_utf8(output.expect("it should run").stdout).expect("it should be UTF-8")
    };
    let json = |word: &str| format!("\"stopped\": {word}");
    assert!(!status(&[]).contains("(stopped)"));
    assert!(status(&["--json"]).contains(&json("false")));
    holder.signal_all(Signal::SIGSTOP);
    until("status shows it", || status(&[]).contains("(stopped)"));
    assert!(status(&["--json"]).contains(&json("true")));
    let output = locket_run().arg("-n").arg(&path).arg("true").output().expect("it should run");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let named = format!("pid {} (locket-command: sh, stopped)", holder.pid());
    assert!(text.contains(&named), "{text}");
    holder.signal_all(Signal::SIGCONT);
    holder.end();
}

#[test]
fn status_does_not_list_itself() {
    if !has("status_does_not_list_itself", "flock", &["--version"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    // The process that acquired the lock has ended. The process that it started has the descriptor.
    let script = r#"exec 9>"$1"; flock 9; "$0" status "$1"; "$0" status --all | grep -c "$1""#;
    let mut run = Command::new("sh");
    run.args(["-c", r#"sh -c "$2" "$0" "$1" & wait; :"#, LOCKET]).arg(&path).arg(script);
    let run = Running::start(&mut run);
    // The shell holds the lock and is listed. locket is not.
    assert_eq!(run.line(), format!("{}: held", path.display()));
    let rest = run.rest().join("\n");
    assert!(!rest.contains("locket-command status"), "{rest}");
}

#[test]
fn a_holder_under_locket_is_named_by_its_command() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut command = Command::new(LOCKET);
    command.arg("run").arg(&path).args(["sh", "-c", HOLD]);
    let holder = Running::start(&mut command);
    holder.line();
    let refused = locket_run().arg("-n").arg(&path).arg("true").assert();
    holder.assert_names_holder(&refused.code(75), &format!("{} is", path.display()));
}
