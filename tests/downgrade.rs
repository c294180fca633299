//! Downgrades of an exclusive hold to a shared hold.
//!
//! - L1: readers acquire the lock, and no writer acquires it in between.
//! - L6, L12: if the system refuses, the hold stays exclusive and the error gives the reason.
//! - L11: a child of `fork` cannot downgrade its parent's hold.

use crate::support::prelude::*;

#[cfg(unix)]
#[test]
fn l1_a_downgrade_admits_readers_and_no_writer() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let mut reader = Peer::with(&path, &[Shared]);
    let mut writer = Peer::on(&path);
    let lock = scratch.lock();
    let mut guard = lock.lock()?;
    writer.start_waiting("w", Acquire("a"), &path);
    reader.start_waiting("w", Acquire("a"), &path);

    guard.downgrade()?;
    assert_eq!(lock.state(), HeldShared(1));
    assert!(guard.is_current()?);
    // The reader was in the queue behind the writer.
    reader.wait_ok("w");
    writer.assert_waiting("w");
    let second = lock.clone().shared().lock()?;
    assert_eq!(lock.state(), HeldShared(2));
    // A downgrade of a shared hold changes nothing.
    guard.downgrade()?;
    assert_eq!(lock.state(), HeldShared(2));
    drop(second);

    guard.release()?;
    writer.assert_waiting("w");
    reader.release("a");
    writer.wait_ok("w");
    assert_eq!(lock.state(), Unlocked);
    assert!(lock.shared().try_lock().is_err());
    Ok(())
}

/// Writers wait in the queue, and others try without waiting. If a writer acquired the lock during a downgrade, the
/// downgrade would fail.
#[cfg(unix)]
#[test]
fn l1_no_writer_acquires_during_a_downgrade() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let mut writers = [(); 3].map(|()| Peer::on(&path));
    for writer in &mut writers {
        writer.start("turns", repeat(1_000_000, [Lock("a", "g"), DropGuard("g")]));
    }
    let (lock, readers) = (scratch.lock(), scratch.lock().shared());
    for turn in 0..2_000 {
        let mut guard = lock.lock()?;
        guard.downgrade()?;
        // No writer has the lock.
        assert!(readers.try_lock().is_ok(), "in turn {turn}");
        guard.release()?;
    }
    for writer in &mut writers {
        writer.stop("turns");
        writer.wait_ok("turns");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn l11_a_child_cannot_downgrade_its_parents_hold() {
    let (scratch, _, [mut peer]) = peers();
    let mut other = Peer::with(scratch.lock_path(), &[Shared]);
    peer.lock("a", "g");
    peer.fork("c");
    let refusal = peer.child("c").refuses(Downgrade("g"));
    assert_eq!(refusal.kind, NotLocked);
    assert!(refusal.message.starts_with("cannot downgrade unlocked lock: "), "{refusal:?}");
    assert_eq!(peer.state("a"), HeldExclusive);
    assert!(!other.finds_free("a"));
    peer.downgrade("g");
    assert!(other.finds_free("a"));
    peer.end_child("c");
}

/// Answers of the system that strace injects.
#[cfg(target_os = "linux")]
mod refused {
    use super::*;

    /// Starts a peer with an exclusive guard `g`, and another peer with a shared handle.
    fn scene(inject: &str) -> Option<(Scratch, Strace, Peer)> {
        let (scratch, path) = Scratch::with_path();
        let mut strace = Strace::spawn(&[&format!("--inject={inject}")])?;
        strace.handle("a", &path, &[]);
        strace.lock("a", "g");
        let other = Peer::with(&path, &[Shared]);
        Some((scratch, strace, other))
    }

    /// flock(2) does not guarantee that a conversion is atomic. On NFS, SMB, FUSE and 9p it is not.
    #[test]
    fn l12_a_downgrade_is_unsupported_on_network_file_systems() {
        for magic in ["69690000", "424d53ff", "424d53fe", "46557365", "97190201"] {
            let inject = format!("fstatfs:poke_exit=@arg2={magic}");
            let Some((_scratch, mut strace, mut other)) = scene(&inject) else { return };
            let refusal = strace.refuses(Downgrade("g"));
            assert_eq!((refusal.action, refusal.kind), (Action::Lock, Unsupported), "{magic}");
            refusal.assert_says("may let another process in");
            assert_eq!(strace.state("a"), HeldExclusive, "{magic}");
            assert!(!other.finds_free("a"), "{magic}");
            strace.release_guard("g");
            strace.end();
        }
    }

    #[test]
    fn l12_a_failed_downgrade_leaves_the_hold_exclusive() {
        let Some((_scratch, mut strace, mut other)) = scene("flock:error=ENOLCK:when=2") else {
            return;
        };
        let refusal = strace.refuses(Downgrade("g"));
        assert_eq!(
            (refusal.action, refusal.kind),
            (Action::Lock, ResourceExhausted),
            "{refusal:?}"
        );
        assert_eq!(strace.state("a"), HeldExclusive);
        assert!(!other.finds_free("a"));
        strace.downgrade("g");
        assert_eq!(strace.state("a"), HeldShared(1));
        assert!(other.finds_free("a"));
        strace.release_guard("g");
        strace.end();
    }

    #[test]
    fn l12_interrupted_calls_are_retried() {
        let inject = "flock:error=EINTR:when=2..6";
        let Some((_scratch, mut strace, mut other)) = scene(inject) else {
            return;
        };
        strace.downgrade("g");
        assert!(other.finds_free("a"));
        strace.end();
    }

    /// During the conversion another process gets the lock (EAGAIN). The hold is lost, and every later call reports that.
    #[test]
    fn l12_a_lost_hold_is_reported_by_every_call() {
        for end in [ReleaseGuard("g"), InheritOnExec("g")] {
            let Some((_scratch, mut strace, mut other)) = scene("flock:error=EAGAIN:when=2") else {
                return;
            };
            assert_eq!(strace.refuses(Downgrade("g")).kind, WouldBlock);
            assert_eq!(strace.state("a"), Unlocked);
            assert!(!strace.is_current("g"));
            assert_eq!(strace.refuses(Downgrade("g")).kind, NotLocked);
            assert_eq!(strace.refuses(end).kind, NotLocked);
            assert_eq!(strace.state("a"), Unlocked);
            assert!(other.finds_free("a"), "the descriptor should be closed");
            strace.end();
        }
    }
}

#[cfg(windows)]
#[test]
fn l12_a_downgrade_is_unsupported_on_windows() -> Outcome {
    let (scratch, lock) = Scratch::with_lock();
    let mut guard = lock.lock()?;
    assert_eq!(guard.downgrade().map_err(|error| error.kind()), Err(Unsupported));
    assert_eq!(lock.state(), HeldExclusive);
    assert!(!Peer::with(scratch.lock_path(), &[Shared]).finds_free("a"));
    guard.release()?;
    Ok(())
}
