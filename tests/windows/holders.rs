//! - L12: who holds a lock is not guessed at. The system tells who has the file open.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use locket::{Action, LockError, LockStatus, OwnerKind};

use crate::support::{Outcome, Peer, Scratch, word};
use crate::system::is_real_windows;

/// What one who waits is told.
#[track_caller]
fn holders_of(scratch: &Scratch) -> LockStatus {
    let (tell, told) = mpsc::channel();
    let waiter = scratch.lock().on_wait(move |wait| {
        let _ = tell.send(wait.status());
        ControlFlow::Break(())
    });
    assert!(waiter.lock().is_err_and(|error| error.kind() == ErrorKind::Cancelled), "it is held");
    told.recv().expect("the wait was looked at").expect("the system can be asked")
}

#[track_caller]
fn the_only(holders: &LockStatus) -> &OwnerKind {
    assert_eq!((status.holders.len(), status.waiters.len()), (1, 0), "{holders:?}");
    assert_eq!(status.holders[0].mode, None);
    &status.holders[0].by
}

#[test]
fn l12_who_has_the_file_open_is_told() {
    if !is_real_windows("l12_who_has_the_file_open_is_told", "Wine has no Restart Manager") {
        return;
    }
    let scratch = Scratch::new();
    let mut holder = Peer::with_handle("a", scratch.lock_path(), "");
    holder.ok("acquire a");
    let status = holders_of(&scratch);
    let OwnerKind::OpenIn(openers) = the_only(&holders) else { panic!("{holders:?}") };
    let [opener] = &openers[..] else { panic!("{openers:?}") };
    assert_eq!((opener.pid, opener.is_this), (holder.pid(), false));
    assert!(opener.name.as_deref().is_some_and(|name| name.contains("locket-peer")));
    let age = opener.started.and_then(|started| SystemTime::now().duration_since(started).ok());
    assert!(age.is_some_and(|age| age < Duration::from_secs(600)), "{opener:?}");
    assert!(holders.to_string().contains(&format!("pid {}", holder.pid())), "{holders}");
}

/// This process holds the lock, and another one has the file open: that one is no holder.
#[test]
fn l12_who_has_the_file_open_is_not_said_to_hold_the_lock() -> Outcome {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock()?;
    let mut opener = Peer::spawn();
    opener.ok(&format!("open_foreign f {}", word(scratch.lock_path())));
    let status = holders_of(&scratch);
    assert!(matches!(the_only(&holders), OwnerKind::OpenIn(_) | OwnerKind::Unknown), "{holders:?}");
    assert!(holders.to_string().starts_with("an unknown process"), "{holders}");
    Ok(())
}

/// Who asks without having waited learns that nobody can tell, and nothing happens.
#[test]
fn l12_asking_disturbs_nobody() -> Outcome {
    let scratch = Scratch::new();
    let asking = || match scratch.lock().status() {
        Err(error) if error.action() == Action::Query => {
            let kind = error.io_error().map(std::io::Error::kind);
            assert_eq!(kind, Some(ErrorKind::Unsupported), "{error}");
        }
        other => panic!("who told? {other:?}"),
    };
    asking();
    assert!(!scratch.lock_path().exists(), "no file is made");
    let mut holder = Peer::with_handle("a", scratch.lock_path(), "");
    holder.ok("acquire a");
    asking();
    holder.ok("release a");
    scratch.lock().try_lock()?.release()?;
    Ok(())
}
