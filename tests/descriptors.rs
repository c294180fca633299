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
use std::path::{Path, PathBuf};

use crate::support::prelude::*;

/// The highest number of idle descriptors in a process: see `Lock::keep_open`.
const MOST: usize = 32;

/// Returns the peer's descriptors of files in this directory, ordered by number.
fn open_in(peer: &Peer, directory: &Path) -> Outcome<Vec<(i32, PathBuf)>> {
    let mut open = vec![];
    for entry in fs::read_dir(format!("/proc/{}/fd", peer.pid()))? {
        let entry = entry?;
        let path = fs::read_link(entry.path())?;
        if path.starts_with(directory) {
            open.push((entry.file_name().to_string_lossy().parse()?, path));
        }
    }
    open.sort();
    Ok(open)
}

/// Returns the peer's descriptor of the lock file.
fn number_of(peer: &Peer, scratch: &Scratch) -> Outcome<i32> {
    let open = open_in(peer, scratch.path())?;
    let found = open.iter().find(|(_, path)| *path == scratch.lock_path());
    Ok(found.ok_or("the lock file is not open")?.0)
}

/// Returns the limit (`RLIMIT_NOFILE`) that allows the peer that many more descriptors than it has now. The peer may have
/// inherited descriptors with high numbers.
fn limit_for(peer: &Peer, more: usize) -> Outcome<u64> {
    let open = fs::read_dir(format!("/proc/{}/fd", peer.pid()))?;
    let open: Vec<u64> =
        open.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok()).collect();
    let last = (0..).filter(|number| !open.contains(number)).nth(more - 1);
    Ok(last.ok_or("no free number")? + 1)
}

/// Starts a peer with the handles `h0`, `h1` and so on, each for a different file.
fn peer_of_many(scratch: &Scratch, count: usize) -> Peer {
    let mut peer = Peer::spawn();
    for n in 0..count {
        peer.handle(&format!("h{n}"), scratch.join(&n.to_string()), &[]);
    }
    peer
}

#[test]
fn l13_idle_descriptors_are_few() -> Outcome {
    let scratch = Scratch::new();
    let mut peer = peer_of_many(&scratch, 2 * MOST);
    for n in 0..MOST {
        peer.acquire(&format!("h{n}"));
        peer.release(&format!("h{n}"));
    }
    assert_eq!(open_in(&peer, scratch.path())?.len(), MOST);
    // Makes the first descriptor the last one used.
    peer.lock("h0", "g");
    peer.drop_guard("g");
    for n in MOST..2 * MOST - 1 {
        peer.lock(&format!("h{n}"), "g");
        peer.drop_guard("g");
        let open = open_in(&peer, scratch.path())?;
        assert_eq!(open.len(), MOST, "{open:?}");
        let is_open = |n: usize| open.iter().any(|(_, path)| *path == scratch.join(&n.to_string()));
        let oldest = n - MOST + 1;
        assert!(is_open(0) && is_open(n) && !is_open(oldest), "{n}: {open:?}");
    }
    // Descriptors of holds do not count as idle, nor does a failed attempt leave more than the limit.
    for n in 0..2 * MOST {
        peer.acquire(&format!("h{n}"));
    }
    assert_eq!(open_in(&peer, scratch.path())?.len(), 2 * MOST);
    for n in 0..2 * MOST {
        peer.refuses(TryAcquire(&*format!("h{n}")));
    }
    assert_eq!(open_in(&peer, scratch.path())?.len(), 3 * MOST);
    for n in 0..2 * MOST {
        peer.release(&format!("h{n}"));
    }
    assert_eq!(open_in(&peer, scratch.path())?.len(), MOST);
    for n in 0..2 * MOST {
        peer.drop_handle(&format!("h{n}"));
    }
    assert_eq!(open_in(&peer, scratch.path())?, []);
    Ok(())
}

#[test]
fn l13_two_thousand_handles_need_few_descriptors() -> Outcome {
    let scratch = Scratch::new();
    let mut peer = peer_of_many(&scratch, 2_000);
    peer.limit_files(1024);
    for n in 0..2_000 {
        peer.acquire(&format!("h{n}"));
        peer.release(&format!("h{n}"));
    }
    assert_eq!(open_in(&peer, scratch.path())?.len(), MOST);
    Ok(())
}

/// When descriptors run out, the library closes idle ones to acquire a lock, to read `/proc`, and to pass a hold on.
#[test]
fn l13_idle_descriptors_are_closed_when_descriptors_run_out() -> Outcome {
    let scratch = Scratch::new();
    let mut peer = peer_of_many(&scratch, 12);
    // The limit is above 9: the library duplicates an inheritable descriptor to a number above 9.
    peer.limit_files(limit_for(&peer, 10)?);
    let make_two_idle = |peer: &mut Peer| -> Outcome {
        for n in 8..10 {
            peer.acquire(&format!("h{n}"));
        }
        assert_eq!(open_in(peer, scratch.path())?.len(), 10);
        for n in 8..10 {
            peer.release(&format!("h{n}"));
        }
        assert_eq!(open_in(peer, scratch.path())?.len(), 10);
        Ok(())
    };
    for n in 0..8 {
        peer.lock(&format!("h{n}"), &format!("g{n}"));
    }
    // To acquire a lock.
    make_two_idle(&mut peer)?;
    peer.lock("h10", "g10");
    peer.drop_guard("g10");
    peer.drop_handle("h10");
    // To read `/proc`.
    make_two_idle(&mut peer)?;
    let pid = peer.pid().to_string();
    assert!(peer.status("h0").contains(&pid));
    // To pass a hold on.
    make_two_idle(&mut peer)?;
    peer.inherit_on_exec("g0");
    assert_eq!(open_in(&peer, scratch.path())?.len(), 8);
    // The check above can fail: descriptors of holds are not closed.
    peer.lock("h8", "g8");
    peer.lock("h9", "g9");
    assert_eq!(peer.refuses(Acquire("h11")).kind, ResourceExhausted);
    assert_eq!(peer.refuses(InheritOnExec("g8")).kind, ResourceExhausted);
    peer.acquire("h11");
    Ok(())
}

#[test]
fn l13_idle_descriptors_can_be_switched_off() -> Outcome {
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
        assert_eq!(open_in(&peer, scratch.path())?, [], "{work:?}");
    }
    let mut holder = Peer::on(scratch.lock_path());
    holder.acquire("a");
    for work in [Acquire("timed"), TryAcquire("a"), Observe("a")] {
        peer.ok(attempt(work.clone()));
        assert_eq!(open_in(&peer, scratch.path())?, [], "{work:?}");
    }
    holder.release("a");
    // The check above can fail: another handle keeps its descriptor open.
    peer.repeat(2, [Acquire("open"), Release("a")]);
    assert_eq!(open_in(&peer, scratch.path())?.len(), 1);
    Ok(())
}

/// On FUSE and network file systems an open file prevents the removal of its directory, so no descriptor stays idle there.
#[test]
fn l13_no_descriptor_is_idle_on_network_file_systems() -> Outcome {
    // File system types of statfs(2), as bytes in memory: NFS, SMB1, SMB2, FUSE, 9p; and below, ext4.
    let network = ["69690000", "424d53ff", "424d53fe", "46557365", "97190201"];
    for magic in network.into_iter().chain(["53ef0000"]) {
        let scratch = Scratch::new();
        let inject = format!("--inject=fstatfs:poke_exit=@arg2={magic}");
        let Some(mut strace) = Strace::spawn(&[&inject]) else { return Ok(()) };
        strace.handle("a", scratch.lock_path(), &[]);
        let expected = usize::from(!network.contains(&magic));
        for work in [[Acquire("a"), Release("a")], [Lock("a", "g"), ReleaseGuard("g")]] {
            strace.repeat(3, work.clone());
            assert_eq!(open_in(&strace, scratch.path())?.len(), expected, "{magic}: {work:?}");
        }
        let mut holder = Peer::on(scratch.lock_path());
        holder.acquire("a");
        strace.refuses(TryAcquire("a"));
        assert_eq!(open_in(&strace, scratch.path())?.len(), expected, "{magic}");
        strace.end();
    }
    Ok(())
}

/// The host closes an idle descriptor, as `closefrom(3)` and daemon(7) do. The next file that it opens gets the number.
#[test]
fn l13_another_file_under_the_number_is_not_touched() -> Outcome {
    for closed_by in [Acquire("a"), DropHandle("a"), Lock("a", "g")] {
        let scratch = Scratch::new();
        let other = scratch.join("other");
        File::create(&other)?;
        let mut peer = Peer::on(scratch.lock_path());
        let mut neighbour = Peer::on(&other);
        peer.acquire("a");
        peer.release("a");
        let number = number_of(&peer, &scratch)?;
        peer.close_descriptor(number);
        peer.open_foreign("f", &other);
        assert!(open_in(&peer, scratch.path())?.contains(&(number, other.clone())));

        peer.ok(&closed_by);
        assert!(
            open_in(&peer, scratch.path())?.contains(&(number, other.clone())),
            "{closed_by:?}"
        );
        assert!(neighbour.finds_free("a"), "{closed_by:?}");
        if closed_by == Lock("a", "g") {
            assert!(peer.is_current("g"));
            peer.drop_guard("g");
        }
        // The host's descriptor still works.
        assert!(peer.try_foreign("f", Mode::Exclusive), "{closed_by:?}");
        assert!(!neighbour.finds_free("a"), "{closed_by:?}");
    }
    Ok(())
}

/// The host has opened the lock file itself under the number of the idle descriptor. The library must not use it.
#[test]
fn l13_the_hosts_descriptor_of_the_lock_file_is_not_touched() -> Outcome {
    let (scratch, _, [mut peer, mut other]) = peers();
    peer.acquire("a");
    peer.release("a");
    let number = number_of(&peer, &scratch)?;
    peer.close_descriptor(number);
    peer.open_foreign("f", scratch.lock_path());
    assert_eq!(number_of(&peer, &scratch)?, number);
    peer.acquire("a");
    // The library has the lock through another open file. If it had used the host's, this attempt would succeed.
    assert!(!peer.try_foreign("f", Mode::Exclusive));
    peer.release("a");
    peer.drop_handle("a");
    assert!(peer.try_foreign("f", Mode::Exclusive));
    assert!(!other.finds_free("a"));
    Ok(())
}

/// The number is not open. The library closes nothing twice, and the next acquisition opens the file again.
#[test]
fn l13_a_closed_idle_descriptor_is_opened_again() -> Outcome {
    let (scratch, _, [mut peer, mut other]) = peers();
    peer.acquire("a");
    peer.release("a");
    let number = number_of(&peer, &scratch)?;
    peer.close_descriptor(number);
    peer.acquire("a");
    assert!(!other.finds_free("a"));
    peer.release("a");
    let number = number_of(&peer, &scratch)?;
    peer.close_descriptor(number);
    peer.drop_handle("a");
    peer.ok(Pid);
    Ok(())
}

/// The host closes the descriptor of a hold, which ends the hold. `is_current` returns false, and the release is an error.
#[test]
fn l9_a_hold_whose_descriptor_was_closed_is_not_current() -> Outcome {
    let scratch = Scratch::new();
    let other = scratch.join("other");
    File::create(&other)?;
    for is_taken in [false, true] {
        let mut peer = Peer::on(scratch.lock_path());
        peer.lock("a", "g");
        assert!(peer.is_current("g"));
        let number = number_of(&peer, &scratch)?;
        peer.close_descriptor(number);
        if is_taken {
            peer.open_foreign("f", &other);
        }
        assert!(!peer.is_current("g"));
        peer.drop_guard("g");
        assert_eq!(peer.state("a"), ReleasedError);
        if is_taken {
            assert!(peer.try_foreign("f", Mode::Exclusive));
        }
        peer.acquire("a");
    }
    Ok(())
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
