//! Holders and waiters: which processes hold a lock and which wait for it.
//!
//! - L8, L13: a query creates nothing and leaves nothing behind.
//! - L4: a query does not change the kernel's queue.
//! - L12: the error of a timeout names the holders. It names no other process, and it does not guess.
//!
//! - `query`: `Lock::status` and `system_locks`.
//! - `reports`: the error of a timeout, and what an observer gets.
//! - `inherited`: locks whose taker has exited or has passed them on.
//!
//! `holders_ambiguous` checks the cases where the system hides a holder or does not tell files apart.
#![cfg(target_os = "linux")]

mod inherited;
mod query;
mod reports;

use std::path::Path;

use locket::{Owner, OwnerKind, Process};

use crate::support::prelude::*;

/// Returns the mode and process id of each owner. Each owner must be a known process.
#[track_caller]
fn pids(owners: &[Owner]) -> Vec<(Mode, u32)> {
    let pid = |owner: &Owner| match (&owner.kind, owner.mode) {
        (OwnerKind::Process(process), Some(mode)) => (mode, process.pid),
        _ => panic!("not a process: {owner:?}"),
    };
    owners.iter().map(pid).collect()
}

/// Starts readers that hold the lock.
fn readers<const N: usize>(path: &Path) -> [Peer; N] {
    let mut readers = [(); N].map(|()| Peer::with(path, &[Shared]));
    for reader in &mut readers {
        reader.acquire("a");
    }
    readers
}

/// Returns the only holder, which must be a known process.
#[track_caller]
fn holder(path: &Path) -> Process {
    let status = lock_file(path).status().expect("the status should be available");
    match &status.holders[..] {
        [Owner { kind: OwnerKind::Process(process), .. }] => process.clone(),
        holders => panic!("one process should hold the lock: {holders:?}"),
    }
}
