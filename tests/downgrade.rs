//! From an exclusive hold to a shared one.
//!
//! - L1: readers get in, and no writer gets in between.
//! - L6, L12: where the system refuses, the hold is exclusive as before, and the error says why.
//! - L11: a child of fork cannot downgrade what its parent holds.

use crate::support::{Outcome, Peer, Scratch};
#[cfg(windows)]
use locket::ErrorKind;
use locket::State;

#[cfg(unix)]
#[test]
fn l1_a_downgrade_lets_readers_in_and_no_writer() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut reader = Peer::with_handle("a", &path, "shared");
    let mut writer = Peer::with_handle("a", &path, "");
    let lock = scratch.lock();
    let mut held = lock.lock()?;
    writer.start_waiting("w", "acquire a", &path);
    reader.start_waiting("w", "acquire a", &path);

    held.downgrade()?;
    assert_eq!(lock.state(), State::HeldShared(1));
    assert!(held.is_current()?);
    // The reader was in the queue, and behind the writer.
    reader.wait_ok("w");
    writer.assert_waiting("w");
    let beside = lock.clone().shared().lock()?;
    assert_eq!(lock.state(), State::HeldShared(2));
    // What is shared stays so.
    held.downgrade()?;
    assert_eq!(lock.state(), State::HeldShared(2));
    drop(beside);

    held.release()?;
    writer.assert_waiting("w");
    reader.ok("release a");
    writer.wait_ok("w");
    assert_eq!(lock.state(), State::Unlocked);
    assert!(lock.shared().try_lock().is_err());
    Ok(())
}

/// Writers in the queue, and others that barge in: had one been let in between, the downgrade would have
/// met its lock.
#[cfg(unix)]
#[test]
fn l1_no_writer_gets_in_between() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut writers = [(); 3].map(|()| Peer::with_handle("a", &path, ""));
    for writer in &mut writers {
        writer.ok("start turns repeat 1000000 lock a g ; drop_guard g");
    }
    let (lock, readers) = (scratch.lock(), scratch.lock().shared());
    for turn in 0..2_000 {
        let mut held = lock.lock()?;
        held.downgrade()?;
        // No writer has it.
        assert!(readers.try_lock().is_ok(), "in turn {turn}");
        held.release()?;
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
    assert_eq!(peer.refused("child c downgrade g").class, "not_locked");
    assert_eq!(peer.ok("state a"), "exclusive");
    assert!(!other.finds_free("a"));
    peer.ok("downgrade g");
    assert!(other.finds_free("a"));
    peer.ok("end_child c");
}

/// What the system answers, as strace has it.
#[cfg(target_os = "linux")]
mod refused {
    use super::*;
    use crate::support::Strace;

    /// A peer with an exclusive guard `g`, and another that may only share.
    fn scene(check: &str, inject: &str) -> Option<(Scratch, Strace, Peer)> {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        let mut strace = Strace::spawn(check, &[&format!("--inject={inject}")])?;
        strace.peer.handle("a", &path, "");
        strace.peer.ok("lock a g");
        let other = Peer::with_handle("a", &path, "shared");
        Some((scratch, strace, other))
    }

    /// NFS, SMB, FUSE and 9p: flock(2) does not promise that a conversion is atomic, and theirs is not.
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
    fn l12_a_refused_downgrade_leaves_the_hold_as_it_was() {
        let check = "l12_a_refused_downgrade_leaves_the_hold_as_it_was";
        let Some((_scratch, mut strace, mut other)) = scene(check, "flock:error=ENOLCK:when=2")
        else {
            return;
        };
        let refusal = strace.peer.refused("downgrade g");
        assert_eq!((&*refusal.class, &*refusal.kind), ("lock", "exhausted"), "{refusal:?}");
        assert_eq!(strace.peer.ok("state a"), "exclusive");
        assert!(!other.finds_free("a"));
        strace.peer.ok("downgrade g");
        assert_eq!(strace.peer.ok("state a"), "shared 1");
        assert!(other.finds_free("a"));
        strace.peer.ok("release_guard g");
        strace.end();
    }

    #[test]
    fn l12_signals_are_outlasted() {
        let inject = "flock:error=EINTR:when=2..6";
        let Some((_scratch, mut strace, mut other)) = scene("l12_signals_are_outlasted", inject)
        else {
            return;
        };
        strace.peer.ok("downgrade g");
        assert!(other.finds_free("a"));
        strace.end();
    }

    /// A system that lets another process in between: the hold is over, and says so.
    #[test]
    fn l12_a_hold_that_is_lost_is_no_hold() {
        let check = "l12_a_hold_that_is_lost_is_no_hold";
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
            assert!(other.finds_free("a"), "the descriptor is closed");
            strace.end();
        }
    }
}

#[cfg(windows)]
#[test]
fn l12_windows_converts_no_lock() -> Outcome {
    let scratch = Scratch::new();
    let lock = scratch.lock();
    let mut held = lock.lock()?;
    assert_eq!(held.downgrade().map_err(|error| error.kind()), Err(ErrorKind::Unsupported));
    assert_eq!(lock.state(), State::HeldExclusive);
    assert!(!Peer::with_handle("a", scratch.lock_path(), "shared").finds_free("a"));
    held.release()?;
    Ok(())
}
