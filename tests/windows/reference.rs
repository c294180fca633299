//! - L14: locket.py 1.0.0 excludes, and is excluded.
//! - L7: when either of the two is killed, the lock is free.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::support::prelude::*;

/// The Python that has the reference installed.
const PYTHON: &str = "LOCKET_PYTHON";

/// A process that runs the reference: `holder.py`.
struct Reference {
    process: Child,
    output: BufReader<ChildStdout>,
}

impl Reference {
    /// Starts it. Without a Python, reports the check as skipped and returns `None`.
    fn start(check: &str, path: &Path, timeout: &str) -> Option<Self> {
        let Some(python) = env::var_os(PYTHON) else {
            skip(check, &format!("locket.py: {PYTHON} names no Python that has it"));
            return None;
        };
        let mut process = Command::new(&python)
            .args(["-u", "-c", include_str!("holder.py")])
            .args([path.as_os_str(), timeout.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{python:?}: {error}"));
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        Some(Self { process, output })
    }

    #[track_caller]
    fn expect_line(&mut self, expected: &str) {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it should be text");
        assert_eq!(line.trim_end(), expected);
    }

    fn send_line(&mut self) {
        let input = self.process.stdin.as_mut().expect("it is piped");
        input.write_all(b"\n").expect("it should listen");
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn l14_the_reference_excludes() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let Some(mut python) = Reference::start("l14_the_reference_excludes", &path, "0") else {
        return Ok(());
    };
    python.expect_line("held");
    for lock in [scratch.lock(), scratch.lock().shared()] {
        let error = lock.try_lock().expect_err("the reference holds it");
        assert!(error.is_contended(), "{error}");
    }
    let mut waiter = Peer::on(&path);
    waiter.handle("timed", &path, &[Timeout(600_000)]);
    waiter.start_waiting("w", Acquire("a"), &path);
    python.send_line();
    python.expect_line("released");
    waiter.wait_ok("w");
    waiter.release("a");
    scratch.lock().try_lock()?.release()?;
    Ok(())
}

#[test]
fn l14_the_reference_is_excluded() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for lock in [scratch.lock(), scratch.lock().shared()] {
        let held = lock.lock()?;
        let check = "l14_the_reference_is_excluded";
        let Some(mut short) = Reference::start(check, &path, "0.1") else { return Ok(()) };
        short.expect_line("timed out");
        let Some(mut long) = Reference::start(check, &path, "60") else { return Ok(()) };
        held.release()?;
        long.expect_line("held");
        lock.try_lock().expect_err("the reference holds it");
        long.send_line();
        long.expect_line("released");
        lock.try_lock()?.release()?;
    }
    Ok(())
}

#[test]
fn l7_a_killed_reference_leaves_the_lock_free() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let check = "l7_a_killed_reference_leaves_the_lock_free";
    let Some(mut python) = Reference::start(check, &path, "0") else { return };
    python.expect_line("held");
    scratch.lock().try_lock().expect_err("the reference holds it");
    drop(python);
    until("the lock is free", || scratch.lock().try_lock().is_ok());
}

#[test]
fn l7_the_reference_gets_the_lock_of_a_killed_holder() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut peer = Peer::on(&path);
    peer.acquire("a");
    let check = "l7_the_reference_gets_the_lock_of_a_killed_holder";
    let Some(mut python) = Reference::start(check, &path, "60") else { return };
    peer.kill();
    python.expect_line("held");
}
