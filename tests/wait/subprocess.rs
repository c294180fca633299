//! Runs a test in a process of its own. Tests that change signal actions or limits of the whole process need one.

use std::env;
use std::process::{Command, Stdio};
use std::sync::Once;

use super::signals;
use super::support::PATIENCE;
use super::support::skip_log::{self, SkipLog};
use super::ways::start;

const SUBPROCESS: &str = "LOCKET_WAIT_SUBPROCESS";
const EXHAUSTED: &str = "LOCKET_WAIT_EXHAUSTED";

/// Runs the body in a new process, as the only test there. The body is a closure of the test.
#[track_caller]
pub(crate) fn in_subprocess<F: FnOnce()>(body: F) {
    // `wait::MODULE::TEST::{{closure}}`
    let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    let test = name.split_once("::").map_or(name, |(_, test)| test);
    if env::var_os(SUBPROCESS).is_some() {
        return body();
    }
    let passed = run(&[test, "--exact"], |command| command.env(SUBPROCESS, test));
    assert_eq!(passed, 1, "no such test: {test}");
}

/// A resource that a process can run out of. Waits then retry, and the laws stay the same.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resource {
    Signals,
    Timers,
}

/// Runs the tests of a module in a new process that has run out of the resource. Returns how many tests passed.
#[track_caller]
pub(crate) fn run_without(module: &str, resource: Resource) -> usize {
    run(&[&format!("{module}::")], |command| command.env(EXHAUSTED, format!("{resource:?}")))
}

/// Uses up the resource that this process was started to run without.
pub(crate) fn exhaust_resource() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| match env::var(EXHAUSTED).as_deref() {
        Ok("Signals") => signals::take_all_real_time_signals(),
        Ok("Timers") => signals::allow_no_queued_signals(),
        _ => {}
    });
}

/// Forks. Returns the child's process id in the parent, and `None` in the child, which ends after a minute.
#[allow(unsafe_code)]
pub(crate) fn fork() -> Option<u32> {
    // SAFETY: the children of the callers make system calls only, and exit.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: the call has no conditions.
        unsafe { libc::alarm(60) };
        return None;
    }
    Some(child.try_into().expect("fork should succeed"))
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

/// Forks a child that does nothing until it is killed, or for a minute.
#[allow(unsafe_code)]
pub(crate) fn fork_idle() -> u32 {
    fork().unwrap_or_else(|| {
        loop {
            // SAFETY: the call has no conditions.
            unsafe { libc::pause() };
        }
    })
}

#[track_caller]
fn run(arguments: &[&str], set: impl FnOnce(&mut Command) -> &mut Command) -> usize {
    let this = env::current_exe().expect("the path of the test program should be known");
    let mut command = Command::new(this);
    command.args(arguments).args(["--nocapture", "--test-threads=2"]);
    if let Some(log) = SkipLog::of_this_run() {
        command.env(skip_log::VARIABLE, log.0);
    }
    set(&mut command).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the test program should start again");
    let pid = child.id();
    let ended = start(move || child.wait_with_output().expect("the output is piped"));
    // The tests there have limits of their own. Thousands of waits take long on a busy machine.
    let Some(output) = ended.result_within(PATIENCE * 10) else {
        signals::kill(pid, libc::SIGKILL);
        panic!("{arguments:?}: still running after {:?}", PATIENCE * 10);
    };
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {}\n{out}{err}", output.status);
    // The new process has already counted what it skipped; its lines are only repeated here.
    eprint!("{}", err.lines().filter(|line| line.starts_with("SKIPPED")).collect::<String>());
    let passed = out.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next());
    passed.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{arguments:?}: {out}"))
}
