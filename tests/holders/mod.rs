//! Who holds a lock, and who waits for it.
//!
//! - L8, L13: to ask creates nothing and leaves nothing behind.
//! - L4: to ask disturbs nobody in the kernel's queue.
//! - L12: a timeout says who held the lock; nobody is named who does not, and what is not told is
//!   not guessed at.
//!
//! - `asked`: by `Lock::holders` and `system_locks`.
//! - `told`: in the error of a timeout, and to an observer.
//! - `takers`: of locks whose takers are gone, or have given them away.
//!
//! Whose holders and files are hard to tell apart has a test of its own, `holders_abroad`.
#![cfg(target_os = "linux")]

mod asked;
mod takers;
mod told;

use std::path::Path;

use locket::{Mode, Owner, OwnerKind, Process, lock_file};

/// The processes that hold or wait, and how; all of them must be told.
#[track_caller]
fn pids(claims: &[Owner]) -> Vec<(Mode, u32)> {
    let pid = |owner: &Owner| match (&owner.kind, owner.mode) {
        (OwnerKind::Process(process), Some(mode)) => (mode, process.pid),
        _ => panic!("who is {owner:?}?"),
    };
    claims.iter().map(pid).collect()
}

/// The only process that holds.
#[track_caller]
fn holder(path: &Path) -> Process {
    let status = lock_file(path).status().expect("the system should be able to tell");
    match &status.holders[..] {
        [Owner { kind: OwnerKind::Process(process), .. }] => process.clone(),
        held => panic!("one process should hold the lock: {held:?}"),
    }
}
