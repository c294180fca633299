//! `locket run` keeps the same promises as on Unix (`tests/command/`), by other means.
//!
//! - L1, L7: a process that runs under the lock does not outlive it, even if locket is killed.
//! - L11: the command inherits no descriptor of the lock.

use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::support::prelude::*;
use crate::system::{is_alive, is_real_windows, open, press_ctrl_break};

const LOCKET: &str = env!("CARGO_BIN_EXE_locket-command");
const BOTH_WAYS: [&[&str]; 2] = [&[], &["-o"]];

fn locket_run() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(LOCKET);
    command.arg("run").timeout(PATIENCE);
    command
}

/// A command that holds the lock: a peer.
#[track_caller]
fn holder(path: &Path, options: &[&str]) -> Peer {
    let path = path.to_str().expect("it should be UTF-8");
    Peer::under(&[&[LOCKET, "run"], options, &[path, "--"]].concat())
}

#[track_caller]
fn is_free(scratch: &Scratch) -> bool {
    match scratch.lock().try_lock() {
        Ok(guard) => guard.release().is_ok(),
        Err(error) if error.is_contended() => false,
        Err(error) => panic!("an error of another kind: {error}"),
    }
}

#[test]
fn the_exit_code_is_that_of_the_command() {
    let scratch = Scratch::new();
    for options in BOTH_WAYS {
        for code in [0, 1, 64, 75, 259, -1] {
            let exit = format!("exit {code}");
            for command in [&["cmd", "/c", &exit][..], &["-c", &exit]] {
                let mut run = locket_run();
                run.args(options).arg(scratch.lock_path()).args(command);
                run.assert().code(code).stdout("").stderr("");
            }
            assert!(is_free(&scratch));
        }
    }
}

#[test]
fn each_failure_has_its_exit_code() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for options in BOTH_WAYS {
        let run = |path: &Path, command: &str, code| {
            let run = locket_run().args(options).arg(path).arg(command).assert().code(code);
            let text = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
            assert!(run.get_output().stdout.is_empty(), "nothing ran");
            assert_eq!(text.lines().count(), 1, "{text}");
            text
        };
        let missing = scratch.join("nosuch").join("x.lock");
        assert!(run(&missing, "hostname", 66).contains("cannot create"));
        assert!(run(scratch.path(), "hostname", 66).contains("cannot open"));
        assert!(run(&path, "no-such-command", 127).contains("cannot run no-such-command: "));
        let plain = scratch.join("plain.exe");
        std::fs::write(&plain, "no program").expect("the directory should be writable");
        let plain = plain.to_str().expect("it should be UTF-8");
        assert!(run(&path, plain, 126).contains("cannot run "));
        assert!(is_free(&scratch), "a command that cannot be run should hold no lock");
    }
    assert_cmd::Command::new(LOCKET).args(["run", "--nosuch"]).assert().code(64);
}

#[test]
fn a_string_is_run_by_cmd() {
    let scratch = Scratch::new();
    let run = |string: &str| locket_run().arg(scratch.lock_path()).args(["-c", string]).assert();
    run("echo one& echo two").code(0).stdout("one\r\ntwo\r\n");
    run(r#"echo "a  b""#).code(0).stdout("\"a  b\"\r\n");
}

#[test]
fn l2_l3_contention_exits_with_75() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for options in BOTH_WAYS {
        let holder = holder(&path, options);
        for (options, code) in [(&["-n"][..], 75), (&["-w", "20ms"], 75), (&["-nE", "9"], 9)] {
            let mut run = locket_run();
            run.args(options).arg(&path).args(["cmd", "/c", "echo ran"]);
            let refused = run.assert().code(code).stdout("");
            assert_ne!(refused.get_output().stderr, b"");
        }
        holder.end();
        locket_run().args(["-n"]).arg(&path).args(["cmd", "/c", "exit 3"]).assert().code(3);
    }
}

#[test]
fn l1_shared_holds_coexist() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _reader = holder(&path, &["-s"]);
    locket_run().args(["-s", "-n"]).arg(&path).args(["cmd", "/c", "exit 3"]).assert().code(3);
    locket_run().args(["-x", "-n"]).arg(&path).args(["cmd", "/c", "exit 3"]).assert().code(75);
}

/// Starts a process that waits for the lock `gate`, so it lives until that is free.
#[track_caller]
fn waiter_at(gate: &Path, peer: &mut Peer) -> u32 {
    let gate = gate.to_str().expect("the path is Unicode");
    peer.start_program(&[LOCKET, "run", gate, "cmd", "/c", "exit"])
}

#[test]
fn l1_a_process_left_running_keeps_the_lock() -> Outcome {
    let scratch = Scratch::new();
    let gate = scratch.join("gate.lock");
    let gate_lock = locket::lock_file(&gate).lock()?;
    let mut command = holder(&scratch.lock_path(), &[]);
    let child = waiter_at(&gate, &mut command);
    command.hang_up();
    until("the command ends", || !is_alive(command.pid()));
    thread::sleep(Duration::from_millis(200));
    assert!(!is_free(&scratch) && is_alive(child), "the child keeps the lock");
    gate_lock.release()?;
    until("the lock is free", || is_free(&scratch));
    assert!(!is_alive(child));
    command.end();
    Ok(())
}

#[test]
fn l11_with_close_a_process_left_running_does_not_keep_the_lock() -> Outcome {
    let scratch = Scratch::new();
    let gate = scratch.join("gate.lock");
    let gate_lock = locket::lock_file(&gate).lock()?;
    let mut command = holder(&scratch.lock_path(), &["-o"]);
    let child = waiter_at(&gate, &mut command);
    command.end();
    // Opening with a share mode of 0 succeeds only if no other handle is open.
    assert!(open(&scratch.lock_path(), 0).is_ok(), "the last handle is closed");
    assert!(is_alive(child), "the child should still run");
    gate_lock.release()?;
    until("the child ends", || !is_alive(child));
    Ok(())
}

/// No process goes on without the lock: not the command, and not its children, even under another locket.
#[test]
fn l7_killing_locket_ends_the_command() -> Outcome {
    let scratch = Scratch::new();
    let gate = scratch.join("gate.lock");
    let _gate_lock = locket::lock_file(&gate).lock()?;
    for options in BOTH_WAYS {
        let mut command = holder(&scratch.lock_path(), options);
        let child = waiter_at(&gate, &mut command);
        assert!(is_alive(child) && !is_free(&scratch));
        command.kill_wrapper();
        until("the command ends", || !is_alive(command.pid()));
        until("the command's child ends", || !is_alive(child));
        until("the lock is free", || is_free(&scratch));
    }
    Ok(())
}

/// The command ignores Ctrl-Break, so locket must go on holding the lock.
#[test]
fn l1_locket_outlives_ctrl_c() -> Outcome {
    if !is_real_windows("l1_locket_outlives_ctrl_c", "Wine has no console without a terminal") {
        return Ok(());
    }
    let scratch = Scratch::new();
    for options in BOTH_WAYS {
        let mut command = holder(&scratch.lock_path(), options);
        command.ok(IgnoreCtrlC);
        press_ctrl_break(command.wrapper())?;
        until("the command gets Ctrl-Break", || command.ok(HasSeenCtrlC) == Value::Flag(true));
        assert!(!is_free(&scratch), "the command goes on");
        command.end();
    }
    Ok(())
}
