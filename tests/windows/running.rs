//! `locket run` keeps the same promises as on Unix (`tests/command/`), by other means.
//!
//! - L1, L7: a process that runs under the lock does not outlive it, even if locket is killed.
//! - L11: the command inherits no descriptor of the lock.
//! - L12: the system does not report lock holders. `locket status` says so, and not that the lock is free. `locket wait` and
//!   a refused `locket run` report a holder without a name.

use std::path::Path;
use std::thread;
use std::time::Duration;

use locket::Guard;

use crate::support::prelude::*;
use crate::system::{is_alive, is_free, is_real_windows, open, press_ctrl_break};

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
    let (missing, plain) = (scratch.join("nosuch").join("x.lock"), scratch.join("plain.exe"));
    std::fs::write(&plain, "no program").expect("the directory should be writable");
    let plain = plain.to_str().expect("it should be UTF-8");
    for (path, command, code, expected) in [
        (&*missing, "hostname", 66, "cannot create"),
        (scratch.path(), "hostname", 66, "cannot open"),
        (&path, "no-such-command", 127, "cannot run no-such-command: "),
        (&path, plain, 126, "cannot run "),
    ] {
        for options in BOTH_WAYS {
            let run = locket_run().args(options).arg(path).arg(command).assert().code(code);
            let text = String::from_utf8_lossy(&run.stdout("").get_output().stderr).into_owned();
            assert!(text.contains(expected) && text.lines().count() == 1, "{text}");
            assert!(is_free(&scratch), "a command that cannot be run should hold no lock");
        }
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

/// Starts a process that lives until the lock `gate` is free. Returns that lock, held, and the process.
#[track_caller]
fn left_running(scratch: &Scratch, peer: &mut Peer) -> (Guard, u32) {
    let gate = scratch.join("gate.lock");
    let held = locket::lock_file(&gate).lock().expect("it is free");
    let gate = gate.to_str().expect("the path is Unicode");
    (held, peer.start_program(&[LOCKET, "run", gate, "cmd", "/c", "exit"]))
}

#[test]
fn l1_a_process_left_running_keeps_the_lock() -> Outcome {
    let scratch = Scratch::new();
    let mut command = holder(&scratch.lock_path(), &[]);
    let (gate, child) = left_running(&scratch, &mut command);
    command.hang_up();
    until("the command ends", || !is_alive(command.pid()));
    thread::sleep(Duration::from_millis(200));
    assert!(!is_free(&scratch) && is_alive(child), "the child keeps the lock");
    gate.release()?;
    until("the lock is free", || is_free(&scratch));
    assert!(!is_alive(child));
    command.end();
    Ok(())
}

#[test]
fn l11_with_close_a_process_left_running_does_not_keep_the_lock() -> Outcome {
    let scratch = Scratch::new();
    let mut command = holder(&scratch.lock_path(), &["-o"]);
    let (gate, child) = left_running(&scratch, &mut command);
    command.end();
    // Opening with a share mode of 0 succeeds only if no other handle is open.
    assert!(open(&scratch.lock_path(), 0).is_ok(), "the last handle is closed");
    assert!(is_alive(child), "the child should still run");
    gate.release()?;
    until("the child ends", || !is_alive(child));
    Ok(())
}

/// No process goes on without the lock: not the command, and not its children, even under another locket.
#[test]
fn l7_killing_locket_ends_the_command() {
    let scratch = Scratch::new();
    for options in BOTH_WAYS {
        let mut command = holder(&scratch.lock_path(), options);
        let (_gate, child) = left_running(&scratch, &mut command);
        assert!(is_alive(child) && !is_free(&scratch));
        command.kill_wrapper();
        until("the command ends", || !is_alive(command.pid()));
        until("the command's child ends", || !is_alive(child));
        until("the lock is free", || is_free(&scratch));
    }
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

/// Runs locket. Returns the exit code and the output, standard error included.
fn locket(arguments: &[&str], path: &Path) -> Result<(Option<i32>, String), std::io::Error> {
    let mut command = assert_cmd::Command::new(LOCKET);
    let output = command.args(arguments).arg(path).timeout(PATIENCE).output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn l12_status_does_not_guess() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let (code, said) = locket(&["status"], &path)?;
    assert_eq!(code, Some(71), "{said}");
    assert!(said.contains("lock holders are not available on this platform"), "{said}");
    assert!(!path.exists());
    Ok(())
}

#[test]
fn wait_reports_whether_the_lock_is_free() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    assert_eq!(locket(&["wait", "-n"], &path)?, (Some(0), String::new()));
    assert!(!path.exists());
    let held = scratch.lock().lock()?;
    let refused = |text: &str| (Some(75), format!("locket: {}{text}\n", path.display()));
    assert_eq!(locket(&["wait", "-n"], &path)?, refused(" is held by another process"));
    let late = refused(" was not free within 150ms: held by another process");
    assert_eq!(locket(&["wait", "-w", "150ms"], &path)?, late);
    held.release()?;
    assert_eq!(locket(&["wait"], &path)?, (Some(0), String::new()));
    Ok(())
}
