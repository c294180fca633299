//! Tests that change a whole process, its signals' actions or its limits, run in one of their own.

use std::env;
use std::process::{Command, Stdio};
use std::sync::Once;

use super::signals;
use super::support::PATIENCE;
use super::support::skip_log::{self, SkipLog};
use super::ways::start;

const ALONE: &str = "LOCKET_WAIT_ALONE";
const WANT: &str = "LOCKET_WAIT_WANT";

/// Runs the body in a new process, as the only test there. `test` is the path of the calling test
/// in this crate.
#[track_caller]
pub(crate) fn alone(test: &str, body: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return body();
    }
    let passed = run(&[test, "--exact"], |command| command.env(ALONE, test));
    assert_eq!(passed, 1, "no such test: {test}");
}

/// What a process may lack: then waits have to retry, and keep the same laws.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Want {
    Signals,
    Timers,
}

/// Runs the tests of a module in a new process that lacks something; how many have passed.
#[track_caller]
pub(crate) fn in_want(module: &str, want: Want) -> usize {
    run(&[&format!("{module}::")], |command| command.env(WANT, format!("{want:?}")))
}

/// In a process that was started to lack something, it does from here on.
pub(crate) fn suffer_want() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| match env::var(WANT).as_deref() {
        Ok("Signals") => signals::take_all_real_time_signals(),
        Ok("Timers") => signals::allow_no_queued_signals(),
        _ => {}
    });
}

/// Returns the child's number to the parent, and `None` to the child, which ends after a minute.
#[allow(unsafe_code)]
pub(crate) fn fork() -> Option<u32> {
    // SAFETY: the callers' children make system calls only, and end.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: the call has no conditions.
        unsafe { libc::alarm(60) };
        return None;
    }
    Some(child.try_into().expect("there should be a child"))
}

/// Waits until a child has ended, and returns its exit status.
#[allow(unsafe_code)]
#[track_caller]
pub(crate) fn exit_status(child: u32) -> i32 {
    let mut status = 0;
    // SAFETY: the call fills the status.
    let ended = unsafe {
        libc::waitpid(child.try_into().expect("a process id is small"), &raw mut status, 0)
    };
    assert!(ended > 0 && libc::WIFEXITED(status), "the child did not exit: {status:#x}");
    libc::WEXITSTATUS(status)
}

/// A child that does nothing until it is killed, or for a minute.
#[allow(unsafe_code)]
pub(crate) fn fork_idle() -> u32 {
    // SAFETY: the child makes system calls only.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            libc::alarm(60);
            loop {
                libc::pause();
            }
        }
        child.try_into().expect("there should be a child")
    }
}

#[track_caller]
fn run(arguments: &[&str], set: impl FnOnce(&mut Command) -> &mut Command) -> usize {
    let this = env::current_exe().expect("a test knows where it is");
    let mut command = Command::new(this);
    command.args(arguments).args(["--nocapture", "--test-threads=2"]);
    if let Some(log) = SkipLog::of_this_run() {
        command.env(skip_log::VARIABLE, log.0);
    }
    set(&mut command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the test should start once more");
    let pid = child.id();
    let ended = start(move || child.wait_with_output().expect("its output is piped"));
    // The tests there watch over themselves; thousands of waits take long on a busy machine.
    let Some(output) = ended.result_within(PATIENCE * 10) else {
        signals::kill(pid, libc::SIGKILL);
        panic!("{arguments:?}: not over within {:?}", PATIENCE * 10);
    };
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {}\n{out}{err}", output.status);
    // What was skipped there was skipped here, and is counted already.
    eprint!("{}", err.lines().filter(|line| line.starts_with("SKIPPED")).collect::<String>());
    let passed = out.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next());
    passed.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{arguments:?}: {out}"))
}
