//! The open file descriptors of a process.
//!
//! - L9, L13: the library notices that the host has closed its descriptor. It does not touch another file that has the same
//!   number.
//! - L13: idle descriptors are few, are closed when the process runs out of descriptors, and can be switched off.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use crate::support::prelude::*;

/// The highest number of idle descriptors in a process: see `Lock::keep_open`.
const MOST: usize = 32;

/// Counts the peer's descriptors of files in this directory.
fn open_in(peer: &Peer, directory: &Scratch) -> usize {
    open_files(peer.pid()).iter().filter(|(_, path)| path.starts_with(directory.path())).count()
}

/// Starts a peer with the handles `h0`, `h1` and so on, each for a different file.
fn peer_of_many(scratch: &Scratch, count: usize) -> Peer {
    let mut peer = Peer::spawn();
    for n in 0..count {
        peer.handle(&format!("h{n}"), scratch.join(&n.to_string()), &[]);
    }
    peer
}

/// Sends a request for each of these handles.
fn for_each(
    peer: &mut Peer,
    handles: std::ops::Range<usize>,
    request: impl for<'a> Fn(&'a str) -> Request<&'a str>,
) {
    for n in handles {
        peer.ok(request(&format!("h{n}")));
    }
}

/// Acquires and releases, which leaves an idle descriptor.
fn turn(handle: &str) -> Request<&str> {
    repeat(1, [Acquire(handle), Release(handle)])
}

#[test]
fn l13_idle_descriptors_are_few() {
    let scratch = Scratch::new();
    let mut peer = peer_of_many(&scratch, 2 * MOST);
    for_each(&mut peer, 0..MOST, turn);
    assert_eq!(open_in(&peer, &scratch), MOST);
    // Makes the first descriptor the last one used.
    peer.lock("h0", "g");
    peer.drop_guard("g");
    for n in MOST..2 * MOST - 1 {
        peer.lock(&format!("h{n}"), "g");
        peer.drop_guard("g");
        assert_eq!(open_in(&peer, &scratch), MOST);
        let is_open = |n: usize| peer.descriptor_of(&scratch.join(&n.to_string())).is_some();
        let oldest = n - MOST + 1;
        assert!(is_open(0) && is_open(n) && !is_open(oldest), "{n}");
    }
    // Descriptors of holds do not count as idle, nor does a failed attempt leave more than the limit.
    for_each(&mut peer, 0..2 * MOST, |handle| Acquire(handle));
    assert_eq!(open_in(&peer, &scratch), 2 * MOST);
    for_each(&mut peer, 0..2 * MOST, |handle| attempt(TryAcquire(handle)));
    assert_eq!(open_in(&peer, &scratch), 3 * MOST);
    for_each(&mut peer, 0..2 * MOST, |handle| Release(handle));
    assert_eq!(open_in(&peer, &scratch), MOST);
    for_each(&mut peer, 0..2 * MOST, |handle| DropHandle(handle));
    assert_eq!(open_in(&peer, &scratch), 0);
}

#[test]
fn l13_two_thousand_handles_need_few_descriptors() {
    let scratch = Scratch::new();
    let mut peer = peer_of_many(&scratch, 2_000);
    peer.limit_files(1024);
    for_each(&mut peer, 0..2_000, turn);
    assert_eq!(open_in(&peer, &scratch), MOST);
}

/// When descriptors run out, the library closes idle ones to acquire a lock, to read `/proc`, and to pass a hold on.
#[test]
fn l13_idle_descriptors_are_closed_when_descriptors_run_out() {
    let scratch = Scratch::new();
    let mut peer = peer_of_many(&scratch, 12);
    // The limit is above 9: the library duplicates an inheritable descriptor to a number above 9.
    peer.limit_files(peer.limit_for(10));
    let make_two_idle = |peer: &mut Peer| {
        for_each(peer, 8..10, |handle| Acquire(handle));
        assert_eq!(open_in(peer, &scratch), 10);
        for_each(peer, 8..10, |handle| Release(handle));
        assert_eq!(open_in(peer, &scratch), 10);
    };
    for n in 0..8 {
        peer.lock(&format!("h{n}"), &format!("g{n}"));
    }
    // To acquire a lock.
    make_two_idle(&mut peer);
    peer.lock("h10", "g10");
    peer.drop_guard("g10");
    peer.drop_handle("h10");
    // To read `/proc`.
    make_two_idle(&mut peer);
    let pid = peer.pid().to_string();
    assert!(peer.status("h0").contains(&pid));
    // To pass a hold on.
    make_two_idle(&mut peer);
    peer.inherit_on_exec("g0");
    assert_eq!(open_in(&peer, &scratch), 8);
    // The check above can fail: descriptors of holds are not closed.
    peer.lock("h8", "g8");
    peer.lock("h9", "g9");
    assert_eq!(peer.refuses(Acquire("h11")).kind, ResourceExhausted);
    assert_eq!(peer.refuses(InheritOnExec("g8")).kind, ResourceExhausted);
    peer.acquire("h11");
}

#[test]
fn l13_idle_descriptors_can_be_switched_off() {
    let scratch = Scratch::new();
    let mut peer = Peer::with(scratch.lock_path(), &[KeepOpen(false)]);
    peer.handle("timed", scratch.lock_path(), &[KeepOpen(false), Timeout(1)]);
    peer.handle("open", scratch.lock_path(), &[]);
    for work in [
        [Acquire("a"), Release("a")],
        [Lock("a", "g"), DropGuard("g")],
        [Acquire("a"), Release("open")],
    ] {
        peer.repeat(2, work.clone());
        assert_eq!(open_in(&peer, &scratch), 0, "{work:?}");
    }
    let mut holder = Peer::on(scratch.lock_path());
    holder.acquire("a");
    for work in [Acquire("timed"), TryAcquire("a"), Observe("a")] {
        peer.ok(attempt(work.clone()));
        assert_eq!(open_in(&peer, &scratch), 0, "{work:?}");
    }
    holder.release("a");
    // The check above can fail: another handle keeps its descriptor open.
    peer.repeat(2, [Acquire("open"), Release("a")]);
    assert_eq!(open_in(&peer, &scratch), 1);
}

/// On FUSE and network file systems an open file prevents the removal of its directory, so no descriptor stays idle there.
#[test]
fn l13_no_descriptor_is_idle_on_network_file_systems() {
    // File system types of statfs(2), as bytes in memory: NFS, SMB1, SMB2, FUSE, 9p; and below, ext4.
    let network = ["69690000", "424d53ff", "424d53fe", "46557365", "97190201"];
    for magic in network.into_iter().chain(["53ef0000"]) {
        let scratch = Scratch::new();
        let inject = format!("--inject=fstatfs:poke_exit=@arg2={magic}");
        let Some(mut strace) = Strace::spawn(&[&inject]) else { return };
        strace.handle("a", scratch.lock_path(), &[]);
        let expected = usize::from(!network.contains(&magic));
        for work in [[Acquire("a"), Release("a")], [Lock("a", "g"), ReleaseGuard("g")]] {
            strace.repeat(3, work.clone());
            assert_eq!(open_in(&strace, &scratch), expected, "{magic}: {work:?}");
        }
        let mut holder = Peer::on(scratch.lock_path());
        holder.acquire("a");
        strace.refuses(TryAcquire("a"));
        assert_eq!(open_in(&strace, &scratch), expected, "{magic}");
        strace.end();
    }
}

/// The host closes an idle descriptor, as `closefrom(3)` and daemon(7) do. The next file that it opens gets the number.
#[test]
fn l13_another_file_under_the_number_is_not_touched() {
    for closed_by in [Acquire("a"), DropHandle("a"), Lock("a", "g")] {
        let (scratch, path, [mut peer]) = peers();
        let other = scratch.join("other");
        let mut neighbour = Peer::on(&other);
        peer.ok(turn("a"));
        let number = peer.replace_descriptor(&path, &other);
        peer.ok(&closed_by);
        assert_eq!(peer.descriptor_of(&other), Some(number), "{closed_by:?}");
        assert!(neighbour.finds_free("a"), "{closed_by:?}");
        if closed_by == Lock("a", "g") {
            assert!(peer.is_current("g"));
            peer.drop_guard("g");
        }
        // The host's descriptor still works.
        assert!(peer.try_foreign("f", Mode::Exclusive), "{closed_by:?}");
        assert!(!neighbour.finds_free("a"), "{closed_by:?}");
    }
}

/// The host has opened the lock file itself under the number of the idle descriptor. The library must not use it.
#[test]
fn l13_the_hosts_descriptor_of_the_lock_file_is_not_touched() {
    let (_scratch, path, [mut peer, mut other]) = peers();
    peer.ok(turn("a"));
    peer.replace_descriptor(&path, &path);
    peer.acquire("a");
    // The library has the lock through another open file. If it had used the host's, this attempt would succeed.
    assert!(!peer.try_foreign("f", Mode::Exclusive));
    peer.release("a");
    peer.drop_handle("a");
    assert!(peer.try_foreign("f", Mode::Exclusive));
    assert!(!other.finds_free("a"));
}

/// The number is not open. The library closes nothing twice, and the next acquisition opens the file again.
#[test]
fn l13_a_closed_idle_descriptor_is_opened_again() {
    let (_scratch, path, [mut peer, mut other]) = peers();
    peer.ok(turn("a"));
    peer.lose_descriptor(&path);
    peer.acquire("a");
    assert!(!other.finds_free("a"));
    peer.release("a");
    peer.lose_descriptor(&path);
    peer.drop_handle("a");
    peer.ok(Pid);
}

/// The host closes the descriptor of a hold, which ends the hold. `is_current` returns false, and the release is an error.
#[test]
fn l9_a_hold_whose_descriptor_was_closed_is_not_current() {
    for is_taken in [false, true] {
        let (scratch, path, [mut peer]) = peers();
        peer.lock("a", "g");
        assert!(peer.is_current("g"));
        peer.lose_descriptor(&path);
        if is_taken {
            peer.open_foreign("f", scratch.join("other"));
        }
        assert!(!peer.is_current("g"));
        peer.drop_guard("g");
        assert_eq!(peer.state("a"), ReleasedError);
        if is_taken {
            assert!(peer.try_foreign("f", Mode::Exclusive));
        }
        peer.acquire("a");
    }
}

#[test]
fn l13_a_guard_lends_its_descriptor_and_has_its_path() -> Outcome {
    let scratch = Scratch::new();
    let guard = scratch.lock().lock()?;
    assert_eq!(guard.path(), scratch.lock_path());
    let copy = File::from(guard.as_fd().try_clone_to_owned()?);
    assert_eq!(copy.metadata()?.ino(), fs::metadata(scratch.lock_path())?.ino());
    guard.release()?;
    scratch.lock().try_lock()?.release()?;
    Ok(())
}

/// The caller reads the file through the guard's descriptor, which moves its offset. The library still recognizes the
/// descriptor afterwards.
#[test]
fn l13_a_lent_descriptor_reads_the_file_and_is_used_again() -> Outcome {
    let scratch = Scratch::new();
    fs::write(scratch.lock_path(), "as it was")?;
    let lock = scratch.lock();
    let guard = lock.lock()?;
    let mut text = String::new();
    File::from(guard.as_fd().try_clone_to_owned()?).read_to_string(&mut text)?;
    assert_eq!(text, "as it was");
    guard.release()?;
    for _ in 0..2 {
        let guard = lock.lock()?;
        assert!(guard.is_current()?);
    }
    Ok(())
}
