//! The host program closes the descriptor of a hold, as `closefrom(3)` and daemon(7) do, and opens another file, which gets
//! the same descriptor number.
//!
//! - L5: the end of the hold changes neither the other file nor its lock.
//! - L6: the release is an error, and the lock stays usable.
//! - L9: a grant on a descriptor that was closed during the wait is not a hold.
#![cfg(target_os = "linux")]

use std::path::PathBuf;

use crate::support::prelude::*;

/// A peer that has lost the descriptor of its hold, and has locked another file under the same number.
struct Scene {
    scratch: Scratch,
    peer: Peer,
    number: i32,
    /// The file that the peer has opened without Locket.
    foreign: PathBuf,
    /// Another process, with the handles `a`, `foreign` and, for shared locks, `foreign_readers`.
    other: Peer,
}

impl Scene {
    /// Makes the scene. The requests acquire the peer's hold.
    fn after(requests: &[Request<&str>]) -> Self {
        let (scratch, path, [mut other, mut peer]) = peers();
        let foreign = scratch.join("foreign");
        other.handle("foreign", &foreign, &[]);
        other.handle("foreign_readers", &foreign, &[Shared]);
        for request in requests {
            peer.ok(request);
        }
        let number = peer.replace_descriptor(&path, &foreign);
        peer.lock_foreign("f", Mode::Exclusive);
        Self { scratch, peer, number, foreign, other }
    }

    /// Asserts that the other file is still open under its number and still locked.
    fn assert_foreign_unchanged(&mut self, what: &str) {
        assert_eq!(self.peer.descriptor_of(&self.foreign), Some(self.number), "{what}");
        assert!(!self.other.finds_free("foreign"), "{what}");
        assert!(!self.other.finds_free("foreign_readers"), "{what}");
    }

    fn assert_names_cause(&self, refusal: &Refusal, action: Action) {
        assert_eq!((refusal.action, refusal.kind), (action, Other), "{refusal:?}");
        let path = self.scratch.lock_path().display().to_string();
        let cause = format!(" {path}: {}: the program has closed", words_of(libc::EBADF));
        refusal.assert_says(&cause);
    }

    /// Asserts that a second release is an error as usual and that the lock can be acquired again.
    fn assert_usable(&mut self, what: &str) {
        assert_eq!(self.peer.state("a"), ReleasedError, "{what}");
        assert_eq!(self.peer.refuses(Release("a")).kind, NotLocked, "{what}");
        assert!(self.other.finds_free("a"), "{what}");
        self.peer.acquire("a");
        assert!(!self.other.finds_free("a"), "{what}");
        self.peer.release("a");
        assert_eq!(self.peer.state("a"), Unlocked, "{what}");
        self.assert_foreign_unchanged(what);
        // The check above can fail: after an unlock the lock is free.
        self.peer.unlock_foreign("f");
        assert!(self.other.finds_free("foreign"), "{what}");
    }
}

#[test]
fn l5_a_release_does_not_touch_another_file_under_the_number() {
    for (acquire, end) in [
        (&[Acquire("a")][..], Release("a")),
        (&[Lock("a", "g")], ReleaseGuard("g")),
        (&[Lock("a", "g")], InheritOnExec("g")),
        // The caller may have moved the offset, so the library recognizes the descriptor by its file.
        (&[Lock("a", "g"), Lend("g")], ReleaseGuard("g")),
        (&[Lock("a", "g"), Lend("g")], InheritOnExec("g")),
        // The library closes such a hold and does not unlock it.
        (&[Lock("a", "g"), InheritOnFork("g")], ReleaseGuard("g")),
        (&[Lock("a", "g")], DropGuard("g")),
        (&[Lock("a", "g"), InheritOnFork("g")], DropGuard("g")),
    ] {
        let mut scene = Scene::after(acquire);
        let what = format!("{acquire:?}, {end:?}");
        if end == DropGuard("g") {
            scene.peer.ok(end);
        } else {
            let refusal = scene.peer.refuses(end);
            scene.assert_names_cause(&refusal, Action::Unlock);
        }
        scene.assert_foreign_unchanged(&what);
        scene.assert_usable(&what);
    }
}

/// The failed downgrade changes nothing: the guard stays exclusive, and its release reports that the hold is lost.
#[test]
fn l5_a_downgrade_does_not_touch_another_file_under_the_number() {
    for acquire in [&[Lock("a", "g")][..], &[Lock("a", "g"), Lend("g")]] {
        let mut scene = Scene::after(acquire);
        let refusal = scene.peer.refuses(Downgrade("g"));
        scene.assert_names_cause(&refusal, Action::Lock);
        scene.assert_foreign_unchanged("downgrade");
        assert!(!scene.peer.is_current("g"));
        assert_eq!(scene.peer.state("a"), HeldExclusive);
        let refusal = scene.peer.refuses(ReleaseGuard("g"));
        scene.assert_names_cause(&refusal, Action::Unlock);
        scene.assert_usable("downgrade");
    }
}

/// The host has opened the lock file itself under that number and has locked it. The library must not unlock it.
#[test]
fn l5_the_hosts_own_lock_of_the_file_outlives_the_guard() {
    for end in [ReleaseGuard("g"), InheritOnExec("g"), Downgrade("g")] {
        let (_scratch, path) = Scratch::with_path();
        let mut readers = Peer::with(&path, &[Shared]);
        let mut peer = Peer::on(&path);
        peer.lock("a", "g");
        peer.replace_descriptor(&path, &path);
        peer.lock_foreign("f", Mode::Exclusive);
        peer.refuses(&end);
        assert!(!readers.finds_free("a"), "{end:?}");
        peer.unlock_foreign("f");
        assert!(readers.finds_free("a"), "{end:?}");
    }
}

/// The kernel grants the lock to the sleeping thread, and drops it when the last descriptor is closed.
#[test]
fn l9_a_grant_on_a_closed_descriptor_is_not_a_hold() {
    for settings in
        [&[][..], &[Timeout(600_000)], &[Timeout(600_000), UseSignals(false), RetryPeriod(10)]]
    {
        let scratch = Scratch::new();
        let (path, foreign) = (scratch.lock_path(), scratch.join("foreign"));
        let mut holder = Peer::on(&path);
        let mut neighbour = Peer::on(&foreign);
        let mut peer = Peer::with(&path, settings);
        holder.acquire("a");
        peer.start("w", Lock("a", "g"));
        until("the file is open", || peer.descriptor_of(&path).is_some());
        peer.assert_waiting("w");
        peer.replace_descriptor(&path, &foreign);
        holder.release("a");
        let refusal = peer.wait("w").outcome.expect_err("the descriptor is closed");
        assert_eq!(refusal.action, Action::Lock, "{settings:?}: {refusal:?}");
        refusal.assert_says("the program has closed");
        assert_eq!(peer.state("a"), Unlocked, "{settings:?}");
        assert!(holder.finds_free("a"), "{settings:?}");
        assert!(neighbour.finds_free("a"), "{settings:?}");
        peer.acquire("a");
        assert!(!holder.finds_free("a"), "{settings:?}");
    }
}
