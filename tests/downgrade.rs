//! Downgrades of an exclusive hold to a shared hold.
//!
//! - L1: readers acquire the lock, and no writer acquires it in between.
//! - L6, L12: if the system refuses, the hold stays exclusive and the error gives the reason.
//! - L11: a child of `fork` cannot downgrade its parent's hold.

use crate::support::{Outcome, Peer, Scratch};
#[cfg(windows)]
use locket::ErrorKind;
use locket::State;

#[cfg(unix)]
#[test]
fn l1_a_downgrade_admits_readers_and_no_writer() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut reader = Peer::with_handle("a", &path, "shared");
    let mut writer = Peer::with_handle("a", &path, "");
    let lock = scratch.lock();
    let mut guard = lock.lock()?;
    writer.start_waiting("w", "acquire a", &path);
    reader.start_waiting("w", "acquire a", &path);

    guard.downgrade()?;
    assert_eq!(lock.state(), State::HeldShared(1));
    assert!(guard.is_current()?);
    // The reader was in the queue behind the writer.
    reader.wait_ok("w");
    writer.assert_waiting("w");
    let second = lock.clone().shared().lock()?;
    assert_eq!(lock.state(), State::HeldShared(2));
    // A downgrade of a shared hold changes nothing.
    guard.downgrade()?;
    assert_eq!(lock.state(), State::HeldShared(2));
    drop(second);

    guard.release()?;
    writer.assert_waiting("w");
    reader.ok("release a");
    writer.wait_ok("w");
    assert_eq!(lock.state(), State::Unlocked);
    assert!(lock.shared().try_lock().is_err());
    Ok(())
}

/// Writers wait in the queue, and others try without waiting. If a writer acquired the lock during a downgrade, the
/// downgrade would fail.
#[cfg(unix)]
#[test]
fn l1_no_writer_acquires_during_a_downgrade() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut writers = [(); 3].map(|()| Peer::with_handle("a", &path, ""));
    for writer in &mut writers {
        writer.ok("start turns repeat 1000000 lock a g ; drop_guard g");
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
        writer.ok("stop turns");
        writer.wait_ok("turns");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn l11_a_child_cannot_downgrade_its_parents_hold() {
    let scratch = Scratch::new();
    let mut peer = Peer::with_handle("a", scratch.lock_path(), "");
    let mut other = Peer::with_handle("a", scratch.lock_path(), "shared");
    peer.ok("lock a g");
    peer.ok("fork c");
    let refusal = peer.refused("child c downgrade g");
    assert_eq!(refusal.class, "not_locked");
    assert!(refusal.message.starts_with("cannot downgrade unlocked lock: "), "{refusal:?}");
    assert_eq!(peer.ok("state a"), "exclusive");
    assert!(!other.finds_free("a"));
    peer.ok("downgrade g");
    assert!(other.finds_free("a"));
    peer.ok("end_child c");
}

/// Answers of the system that strace injects.
#[cfg(target_os = "linux")]
mod refused {
    use super::*;
    use crate::support::Strace;

    /// Starts a peer with an exclusive guard `g`, and another peer with a shared handle.
    fn scene(check: &str, inject: &str) -> Option<(Scratch, Strace, Peer)> {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        let mut strace = Strace::spawn(check, &[&format!("--inject={inject}")])?;
        strace.peer.handle("a", &path, "");
        strace.peer.ok("lock a g");
        let other = Peer::with_handle("a", &path, "shared");
        Some((scratch, strace, other))
    }

    /// flock(2) does not guarantee that a conversion is atomic. On NFS, SMB, FUSE and 9p it is not.
    #[test]
    fn l12_a_downgrade_is_unsupported_on_network_file_systems() {
        let check = "l12_a_downgrade_is_unsupported_on_network_file_systems";
        for magic in ["69690000", "424d53ff", "424d53fe", "46557365", "97190201"] {
            let inject = format!("fstatfs:poke_exit=@arg2={magic}");
            let Some((_scratch, mut strace, mut other)) = scene(check, &inject) else { return };
            let refusal = strace.peer.refused("downgrade g");
            assert_eq!((&*refusal.class, &*refusal.kind), ("lock", "unsupported"), "{magic}");
            assert!(refusal.message.contains("may let another process in"), "{refusal:?}");
            assert_eq!(strace.peer.ok("state a"), "exclusive", "{magic}");
            assert!(!other.finds_free("a"), "{magic}");
            strace.peer.ok("release_guard g");
            strace.end();
        }
    }

    #[test]
    fn l12_a_failed_downgrade_leaves_the_hold_exclusive() {
        let check = "l12_a_failed_downgrade_leaves_the_hold_exclusive";
        let Some((_scratch, mut strace, mut other)) = scene(check, "flock:error=ENOLCK:when=2")
        else {
            return;
        };
        let refusal = strace.peer.refused("downgrade g");
        assert_eq!((&*refusal.class, &*refusal.kind), ("lock", "resourceexhausted"), "{refusal:?}");
        assert_eq!(strace.peer.ok("state a"), "exclusive");
        assert!(!other.finds_free("a"));
        strace.peer.ok("downgrade g");
        assert_eq!(strace.peer.ok("state a"), "shared 1");
        assert!(other.finds_free("a"));
        strace.peer.ok("release_guard g");
        strace.end();
    }

    #[test]
    fn l12_interrupted_calls_are_retried() {
        let inject = "flock:error=EINTR:when=2..6";
        let Some((_scratch, mut strace, mut other)) =
            scene("l12_interrupted_calls_are_retried", inject)
        else {
            return;
        };
        strace.peer.ok("downgrade g");
        assert!(other.finds_free("a"));
        strace.end();
    }

    /// During the conversion another process gets the lock (EAGAIN). The hold is lost, and every later call reports that.
    #[test]
    fn l12_a_lost_hold_is_reported_by_every_call() {
        let check = "l12_a_lost_hold_is_reported_by_every_call";
        for end in ["release_guard g", "inherit_on_exec_guard g"] {
            let Some((_scratch, mut strace, mut other)) = scene(check, "flock:error=EAGAIN:when=2")
            else {
                return;
            };
            assert_eq!(strace.peer.refused("downgrade g").class, "timed_out");
            assert_eq!(strace.peer.ok("state a"), "unlocked");
            assert_eq!(strace.peer.ok("is_current g"), "false");
            assert_eq!(strace.peer.refused("downgrade g").class, "not_locked");
            assert_eq!(strace.peer.refused(end).class, "not_locked");
            assert_eq!(strace.peer.ok("state a"), "unlocked");
            assert!(other.finds_free("a"), "the descriptor should be closed");
            strace.end();
        }
    }
}

#[cfg(windows)]
#[test]
fn l12_a_downgrade_is_unsupported_on_windows() -> Outcome {
    let scratch = Scratch::new();
    let lock = scratch.lock();
    let mut guard = lock.lock()?;
    assert_eq!(guard.downgrade().map_err(|error| error.kind()), Err(ErrorKind::Unsupported));
    assert_eq!(lock.state(), State::HeldExclusive);
    assert!(!Peer::with_handle("a", scratch.lock_path(), "shared").finds_free("a"));
    guard.release()?;
    Ok(())
}
