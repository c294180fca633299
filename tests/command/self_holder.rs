//! Holders that are this process itself or its ancestors:
//! - a locket that has inherited the locked descriptor does not wait for itself: 75, immediately;
//! - a holder that started this process is reported immediately, and waited for;
//! - a holder that is stopped is shown as stopped: in messages, in `status`, and as JSON;
//! - `status` does not list itself.

use nix::sys::signal::Signal;

use crate::lock_file::{LockFile, answer, run, said};
use crate::running::{Running, holder};
use crate::support::until;

#[test]
fn an_inherited_lock_is_not_waited_for() {
    let lock = LockFile::new();
    for (outer, inner) in [
        ("", "run f true"),
        ("", "run -w 1h f true"),
        ("", "run -n f true"),
        ("", "run -s f true"),
        ("-s", "run -x f true"),
        ("-F", "run f true"),
        ("", "wait f"),
    ] {
        let text = said(&lock.sh(&format!("$L run {outer} f $L {inner}")).code(75));
        let expected = "is held by this process itself, through its inherited";
        assert!(text.starts_with("locket: ") && text.contains(expected), "{inner}: {text}");
    }
    lock.sh("$L run f $L run -E 9 -q f true").code(9).stderr("");
    // A lock that does not conflict is acquired: shared beside shared, and the lock of another file.
    lock.sh("$L run -s f $L run -s -n f true").code(0);
    lock.sh("$L run f $L run -n other true").code(0);
}

#[test]
fn a_holder_that_started_this_process_is_reported_immediately() {
    let lock = LockFile::new();
    // It is reported away from a terminal too, where a short wait is not. The wait goes on until its deadline.
    let script = r#""$0" run -o "$1" "$0" run -w 700ms "$1" true 2>&1"#;
    let mut run = Running::sh(script, &[&lock]);
    let line = run.line();
    assert!(line.starts_with(&format!("locket: waiting for {lock}: held by pid ")), "{line}");
    assert!(line.ends_with(", which started this process"), "{line}");
    assert!(run.line().starts_with("locket: cannot lock "));
    assert_eq!(run.wait().code(), Some(75));
}

#[test]
fn a_stopped_holder_is_shown_as_stopped() {
    let lock = LockFile::new();
    let holder = holder(&[], &lock);
    let shows = |option: &str, text: &str| {
        answer(&lock.sh(&format!("$L status {option} f"))).contains(text)
    };
    assert!(!shows("", "(stopped)") && shows("--json", "\"stopped\": false"));
    holder.signal_all(Signal::SIGSTOP);
    until("status shows it", || shows("", "(stopped)"));
    assert!(shows("--json", "\"stopped\": true"));
    let text = said(&run(&["-n"], &lock, &["true"]));
    let named = format!("pid {} (locket-command: sh, stopped)", holder.pid());
    assert!(text.contains(&named), "{text}");
    holder.signal_all(Signal::SIGCONT);
    holder.end();
}

#[test]
fn status_does_not_list_itself() {
    needs!("flock --version");
    let lock = LockFile::new();
    // The process that acquired the lock has ended. The process that it started has the descriptor: the shell holds the lock
    // and is listed. locket is not.
    let script = "sh -c 'exec 9>f; flock 9; $L status f; $L status --all' & wait; :";
    let text = answer(&lock.sh(script).code(0));
    assert!(text.starts_with("f: held\n"), "{text}");
    assert!(!text.contains("locket-command status"), "{text}");
}
