//! - L11: children do not inherit the file.
//! - L12: passing a hold on to a child is not supported on Windows, and is an error.

use std::io::ErrorKind;

use locket::{Action, State, lock_file};

use crate::support::prelude::*;
use crate::system::{assert_refused, is_alive, open};

#[test]
fn l11_children_inherit_nothing() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    // The child waits for this lock, so it lives until the lock is released.
    let gate = scratch.join("gate.lock");
    let gate_lock = lock_file(&gate).lock()?;

    let mut peer = Peer::on(&path);
    peer.lock("a", "g");
    let child = env!("CARGO_BIN_EXE_locket-command");
    let gate = gate.to_str().expect("the path is Unicode");
    let child = peer.start_program(&[child, "run", gate, "cmd", "/c", "exit"]);
    peer.kill();

    // Opening with a share mode of 0 succeeds only if no other handle is open.
    until("the last handle is closed", || open(&path, 0).is_ok());
    scratch.lock().try_lock()?.release()?;
    assert!(is_alive(child), "the child should still run");
    drop(gate_lock);
    until("the child ends", || !is_alive(child));
    Ok(())
}

#[test]
fn l12_inherit_on_exec_is_unsupported() -> Outcome {
    let scratch = Scratch::new();
    let passed_on = scratch.lock().lock()?.inherit_on_exec();
    assert_refused(passed_on, Action::Inherit, ErrorKind::Unsupported);
    assert_eq!(scratch.lock().state(), State::Unlocked);
    scratch.lock().try_lock()?.release()?;
    Ok(())
}
