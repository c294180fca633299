//! - L11: children do not inherit a descriptor.
//! - L12: what Windows cannot do, passing a hold on to children, is an error.

use std::io::ErrorKind;

use locket::{Action, LockError, State, lock_file};

use crate::support::{Outcome, Peer, Scratch, until};
use crate::system::{is_alive, open};

#[test]
fn l11_children_inherit_nothing() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    // The child waits for this lock, and so lives until it is released.
    let gate = scratch.join("gate.lock");
    let closed = lock_file(&gate).lock()?;

    let mut peer = Peer::with_handle("a", &path, "");
    peer.ok("lock a g");
    let child = env!("CARGO_BIN_EXE_locket-command");
    let child = peer.ok(&format!("spawn {child} run {} cmd /c exit", gate.display()));
    let child = child.parse().expect("a process id is a number");
    peer.kill();

    // Nobody else may have it open: only if nobody has it open already, this is granted.
    until("the last descriptor is closed", || open(&path, 0).is_ok());
    scratch.lock().try_lock()?.release()?;
    assert!(is_alive(child), "it would have nothing to inherit");
    drop(closed);
    until("the child ends", || !is_alive(child));
    Ok(())
}

#[test]
fn l12_a_hold_cannot_be_bequeathed() -> Outcome {
    let scratch = Scratch::new();
    match scratch.lock().lock()?.inherit_on_exec() {
        Err(error) if error.action() == Action::Inherit => {
            let kind = error.io_error().map(std::io::Error::kind);
            assert_eq!(kind, Some(ErrorKind::Unsupported), "{error}");
        }
        other => panic!("it should be refused: {other:?}"),
    }
    assert_eq!(scratch.lock().state(), State::Unlocked);
    scratch.lock().try_lock()?.release()?;
    Ok(())
}
