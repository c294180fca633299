//! L7: after a holder or waiter is killed at any instruction, the lock is free and the file is unchanged.

use std::fs;

use crate::support::prelude::*;

#[test]
fn l7_a_killed_holder_leaves_the_lock_free() -> Outcome {
    let (_scratch, path) = Scratch::with_path();
    fs::write(&path, "as it was")?;
    for (settings, request) in
        [(&[][..], Lock("a", "g")), (&[], Acquire("a")), (&[Shared], Acquire("a"))]
    {
        let mut holder = Peer::with(&path, settings);
        let mut other = Peer::on(&path);
        holder.ok(request);
        assert!(!other.finds_free("a"));
        holder.kill();
        assert!(other.finds_free("a"));
        assert_eq!(fs::read_to_string(&path)?, "as it was");
    }
    Ok(())
}

#[test]
fn l7_a_waiter_gets_a_killed_holders_lock() {
    let (_scratch, path) = Scratch::with_path();
    for settings in [&[][..], &[Timeout(600_000)]] {
        let mut holder = Peer::on(&path);
        let mut waiter = Peer::with(&path, settings);
        holder.acquire("a");
        waiter.start_waiting("w", Lock("a", "g"), &path);
        holder.kill();
        waiter.wait_ok("w");
    }
}

#[test]
fn l7_a_killed_waiter_does_not_block_others() {
    let (_scratch, path, [mut holder]) = peers();
    holder.acquire("a");
    let mut killed = Peer::with(&path, &[Timeout(600_000)]);
    killed.start_waiting("w", Acquire("a"), &path);
    let mut next = Peer::with(&path, &[Timeout(600_000)]);
    next.start_waiting("w", Acquire("a"), &path);
    killed.kill();
    next.assert_waiting("w");
    assert_eq!(holder.state("a"), HeldExclusive);
    holder.release("a");
    next.wait_ok("w");
}

/// A process exits without releasing its holds. The lock is free afterwards.
#[test]
fn l7_a_holder_that_exits_leaves_the_lock_free() {
    let scratch = Scratch::new();
    let mut holder = Peer::with(scratch.lock_path(), &[Shared]);
    for request in [Acquire("a"), Lock("a", "g"), Lock("a", "forgotten"), ForgetGuard("forgotten")]
    {
        holder.ok(request);
    }
    assert_eq!(holder.state("a"), HeldShared(3));
    let mut other = Peer::on(scratch.lock_path());
    assert!(!other.finds_free("a"));
    holder.end();
    assert!(other.finds_free("a"));
}

#[test]
fn l7_a_peer_killed_at_any_time_leaves_the_lock_free() -> Outcome {
    let (_scratch, path) = Scratch::with_path();
    fs::write(&path, "as it was")?;
    let mut other = Peer::on(&path);
    for _ in 0..20 {
        let mut peer = Peer::on(&path);
        peer.start("w", repeat(1_000_000_000, [Acquire("a"), Release("a")]));
        // The test tries without waiting: a process that re-acquires immediately does not have to let a waiter in.
        until("the peer holds the lock", || !other.finds_free("a"));
        peer.kill();
        assert!(other.finds_free("a"));
        assert_eq!(fs::read_to_string(&path)?, "as it was");
    }
    Ok(())
}
