//! Runs a test in a process of its own. Tests that change signal actions or limits of the whole process need one.

use std::env;
use std::process::{Command, Stdio};

use super::signals;
use super::support::PATIENCE;
use super::support::skip_log::{self, SkipLog};
use super::ways::start;

const SUBPROCESS: &str = "LOCKET_WAIT_SUBPROCESS";

/// Runs the body in a new process, as the only test there. The body is a closure of the test.
#[track_caller]
pub(crate) fn in_subprocess<F: FnOnce()>(body: F) {
    if env::var_os(SUBPROCESS).is_some() {
        return body();
    }
    // `wait::MODULE::TEST::{{closure}}`
    let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    let test = name.split_once("::").map_or(name, |(_, test)| test);
    let this = env::current_exe().expect("the path of the test program should be known");
    let mut command = Command::new(this);
    command.args([test, "--exact", "--nocapture", "--test-threads=2"]).env(SUBPROCESS, test);
    if let Some(log) = SkipLog::of_this_run() {
        command.env(skip_log::VARIABLE, log.0);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the test program should start again");
    let pid = child.id();
    let ended = start(move || child.wait_with_output().expect("the output is piped"));
    // The test has limits of its own. Thousands of waits take long on a busy machine.
    let Some(output) = ended.result_within(PATIENCE * 10) else {
        signals::kill(pid, libc::SIGKILL);
        panic!("{test}: still running after {:?}", PATIENCE * 10);
    };
    let [out, err] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    assert!(output.status.success(), "{test}: {}\n{out}{err}", output.status);
    assert!(out.contains("test result: ok. 1 passed"), "no such test: {test}\n{out}");
    // The new process has already counted what it skipped; its lines are only repeated here.
    eprint!("{}", err.lines().filter(|line| line.starts_with("SKIPPED")).collect::<String>());
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
