//! - L12: a holder is not guessed. The system reports only which processes have the file open.

use std::io::ErrorKind::Unsupported;
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use locket::{Action, ErrorKind, LockStatus, OwnerKind};

use crate::support::prelude::*;
use crate::system::{assert_refused, is_real_windows};

/// Returns the status that the observer of a waiter gets.
#[track_caller]
fn status_of(scratch: &Scratch) -> LockStatus {
    let (sender, receiver) = mpsc::channel();
    let waiter = scratch.lock().on_wait(move |wait| {
        let _ = sender.send(wait.status());
        ControlFlow::Break(())
    });
    assert!(waiter.lock().is_err_and(|error| error.kind() == ErrorKind::Cancelled), "it is held");
    receiver.recv().expect("the observer was called").expect("the system reports openers")
}

#[track_caller]
fn only_holder(status: &LockStatus) -> &OwnerKind {
    assert_eq!((status.holders.len(), status.waiters.len()), (1, 0), "{status:?}");
    assert_eq!(status.holders[0].mode, None);
    &status.holders[0].kind
}

#[test]
fn l12_processes_with_the_file_open_are_reported() {
    let check = "l12_processes_with_the_file_open_are_reported";
    if !is_real_windows(check, "Wine has no Restart Manager") {
        return;
    }
    let scratch = Scratch::new();
    let mut holder = Peer::on(scratch.lock_path());
    holder.acquire("a");
    let status = status_of(&scratch);
    let OwnerKind::OpenIn(openers) = only_holder(&status) else { panic!("{status:?}") };
    let [opener] = &openers[..] else { panic!("{openers:?}") };
    assert_eq!((opener.pid, opener.is_this), (holder.pid(), false));
    assert!(opener.name.as_deref().is_some_and(|name| name.contains("locket-peer")));
    let age = opener.started.and_then(|started| SystemTime::now().duration_since(started).ok());
    assert!(age.is_some_and(|age| age < Duration::from_secs(600)), "{opener:?}");
    assert!(status.to_string().contains(&format!("pid {}", holder.pid())), "{status}");
}

/// This process holds the lock, and another process has the file open. That process is not the holder.
#[test]
fn l12_a_process_with_the_file_open_is_not_reported_as_holder() -> Outcome {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock()?;
    let mut opener = Peer::spawn();
    opener.open_foreign("f", scratch.lock_path());
    let status = status_of(&scratch);
    let kind = only_holder(&status);
    assert!(matches!(kind, OwnerKind::OpenIn(_) | OwnerKind::Unknown), "{status:?}");
    assert!(status.to_string().starts_with("an unknown process"), "{status}");
    Ok(())
}

/// A query without a wait fails, because the holder is unknown, and has no effect.
#[test]
fn l12_a_query_has_no_effect() -> Outcome {
    let scratch = Scratch::new();
    let query = || assert_refused(scratch.lock().status(), Action::Query, Unsupported);
    query();
    assert!(!scratch.lock_path().exists(), "no file is created");
    let mut holder = Peer::on(scratch.lock_path());
    holder.acquire("a");
    query();
    holder.release("a");
    scratch.lock().try_lock()?.release()?;
    Ok(())
}
