//! The descriptors of a process.
//!
//! - L9, L13: one that the host has closed is noticed, and whatever has its number now is left alone.
//! - L13: idle ones are few, given back when descriptors run out, and can be switched off.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::support::{Outcome, Peer, Scratch, Strace, word};

/// As many idle descriptors as a process may have: see `Lock::keep_open`.
const MOST: usize = 32;

/// The descriptors of the peer for files in this directory, by their numbers.
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

/// The descriptor that the peer has for the lock file.
fn number_of(peer: &Peer, scratch: &Scratch) -> Outcome<i32> {
    let open = open_in(peer, scratch.path())?;
    let found = open.iter().find(|(_, path)| *path == scratch.lock_path());
    Ok(found.ok_or("the lock file is not open")?.0)
}

/// The limit (`RLIMIT_NOFILE`) that leaves the peer so many more descriptors, beside those that it has and may have
/// inherited.
fn limit_for(peer: &Peer, more: usize) -> Outcome<usize> {
    let open = fs::read_dir(format!("/proc/{}/fd", peer.pid()))?;
    let open: Vec<usize> =
        open.flatten().filter_map(|it| it.file_name().to_str()?.parse().ok()).collect();
    let last = (0..).filter(|number| !open.contains(number)).nth(more - 1);
    Ok(last.ok_or("numbers have no end")? + 1)
}

/// A peer with the handles `h0`, `h1` and so on, each of a file of its own.
fn peer_of_many(scratch: &Scratch, count: usize) -> Peer {
    let mut peer = Peer::spawn();
    for n in 0..count {
        peer.handle(&format!("h{n}"), scratch.join(&n.to_string()), "");
    }
    peer
}

#[test]
fn l13_idle_descriptors_are_few() -> Outcome {
    let scratch = Scratch::new();
    let mut peer = peer_of_many(&scratch, 2 * MOST);
    for n in 0..MOST {
        peer.ok(&format!("acquire h{n}"));
        peer.ok(&format!("release h{n}"));
    }
    assert_eq!(open_in(&peer, scratch.path())?.len(), MOST);
    // The first is now the last one used.
    peer.ok("lock h0 g");
    peer.ok("drop_guard g");
    for n in MOST..2 * MOST - 1 {
        peer.ok(&format!("lock h{n} g"));
        peer.ok("drop_guard g");
        let open = open_in(&peer, scratch.path())?;
        assert_eq!(open.len(), MOST, "{open:?}");
        let is_open = |n: usize| open.iter().any(|(_, path)| *path == scratch.join(&n.to_string()));
        let oldest = n - MOST + 1;
        assert!(is_open(0) && is_open(n) && !is_open(oldest), "{n}: {open:?}");
    }
    // Holds do not count, and a wait in vain leaves no more than a hold does.
    for n in 0..2 * MOST {
        peer.ok(&format!("acquire h{n}"));
    }
    assert_eq!(open_in(&peer, scratch.path())?.len(), 2 * MOST);
    for n in 0..2 * MOST {
        peer.refused(&format!("try_acquire h{n}"));
    }
    assert_eq!(open_in(&peer, scratch.path())?.len(), 3 * MOST);
    for n in 0..2 * MOST {
        peer.ok(&format!("release h{n}"));
    }
    assert_eq!(open_in(&peer, scratch.path())?.len(), MOST);
    for n in 0..2 * MOST {
        peer.ok(&format!("drop_handle h{n}"));
    }
    assert_eq!(open_in(&peer, scratch.path())?, []);
    Ok(())
}

#[test]
fn l13_two_thousand_handles_need_a_few_descriptors() -> Outcome {
    let scratch = Scratch::new();
    let mut peer = peer_of_many(&scratch, 2_000);
    peer.ok("limit_files 1024");
    for n in 0..2_000 {
        peer.ok(&format!("acquire h{n}"));
        peer.ok(&format!("release h{n}"));
    }
    assert_eq!(open_in(&peer, scratch.path())?.len(), MOST);
    Ok(())
}

/// The last descriptors go to holds and to what the library has to look at, whatever is idle.
#[test]
fn l13_idle_descriptors_are_given_back() -> Outcome {
    let scratch = Scratch::new();
    let mut peer = peer_of_many(&scratch, 12);
    // Past number 9, where a bequeathed copy goes.
    peer.ok(&format!("limit_files {}", limit_for(&peer, 10)?));
    let make_two_idle = |peer: &mut Peer| -> Outcome {
        for n in 8..10 {
            peer.ok(&format!("acquire h{n}"));
        }
        assert_eq!(open_in(peer, scratch.path())?.len(), 10);
        for n in 8..10 {
            peer.ok(&format!("release h{n}"));
        }
        assert_eq!(open_in(peer, scratch.path())?.len(), 10);
        Ok(())
    };
    for n in 0..8 {
        peer.ok(&format!("lock h{n} g{n}"));
    }
    // To hold.
    make_two_idle(&mut peer)?;
    peer.ok("lock h10 g10");
    peer.ok("drop_guard g10");
    peer.ok("drop_handle h10");
    // To look into `/proc`.
    make_two_idle(&mut peer)?;
    let pid = peer.pid().to_string();
    assert!(peer.ok("holders h0").contains(&pid));
    // To pass a hold on.
    make_two_idle(&mut peer)?;
    peer.ok("inherit_on_exec_guard g0");
    assert_eq!(open_in(&peer, scratch.path())?.len(), 8);
    // The counter-proof: what is held is not given back.
    peer.ok("lock h8 g8");
    peer.ok("lock h9 g9");
    assert_eq!(peer.refused("acquire h11").kind, "exhausted");
    assert_eq!(peer.refused("inherit_on_exec_guard g8").kind, "exhausted");
    peer.ok("acquire h11");
    Ok(())
}

#[test]
fn l13_idle_descriptors_can_be_switched_off() -> Outcome {
    let scratch = Scratch::new();
    let mut peer = Peer::with_handle("a", scratch.lock_path(), "keep_open=false");
    peer.handle("hasty", scratch.lock_path(), "keep_open=false timeout=1");
    peer.handle("kept", scratch.lock_path(), "");
    for work in ["acquire a ; release a", "lock a g ; drop_guard g", "acquire a ; release kept"] {
        peer.ok(&format!("repeat 2 {work}"));
        assert_eq!(open_in(&peer, scratch.path())?, [], "{work}");
    }
    let mut holder = Peer::with_handle("a", scratch.lock_path(), "");
    holder.ok("acquire a");
    for work in ["acquire hasty", "try_acquire a", "observe a"] {
        peer.ok(&format!("attempt {work}"));
        assert_eq!(open_in(&peer, scratch.path())?, [], "{work}");
    }
    holder.ok("release a");
    // The counter-proof.
    peer.ok("repeat 2 acquire kept ; release a");
    assert_eq!(open_in(&peer, scratch.path())?.len(), 1);
    Ok(())
}

/// Where an open file keeps its directory from being removed: FUSE and network file systems.
#[test]
fn l13_no_descriptor_is_idle_on_network_file_systems() -> Outcome {
    let check = "l13_no_descriptor_is_idle_on_network_file_systems";
    // The numbers of statfs(2) as bytes in memory: NFS, two of SMB, FUSE, 9p; and ext4.
    let network = ["69690000", "424d53ff", "424d53fe", "46557365", "97190201"];
    for magic in network.into_iter().chain(["53ef0000"]) {
        let scratch = Scratch::new();
        let inject = format!("--inject=fstatfs:poke_exit=@arg2={magic}");
        let Some(mut strace) = Strace::spawn(check, &[&inject]) else { return Ok(()) };
        strace.peer.handle("a", scratch.lock_path(), "");
        let expected = usize::from(!network.contains(&magic));
        for work in ["acquire a ; release a", "lock a g ; release_guard g"] {
            strace.peer.ok(&format!("repeat 3 {work}"));
            assert_eq!(open_in(&strace.peer, scratch.path())?.len(), expected, "{magic}: {work}");
        }
        let mut holder = Peer::with_handle("a", scratch.lock_path(), "");
        holder.ok("acquire a");
        strace.peer.refused("try_acquire a");
        assert_eq!(open_in(&strace.peer, scratch.path())?.len(), expected, "{magic}");
        strace.end();
    }
    Ok(())
}

/// As `closefrom(3)` and the recipe of daemon(7) do: the number of an idle descriptor is closed, and
/// goes to the next file that is opened.
#[test]
fn l13_a_number_that_is_anothers_is_left_alone() -> Outcome {
    for closed_by in ["acquire a", "drop_handle a", "lock a g"] {
        let scratch = Scratch::new();
        let other = scratch.join("other");
        File::create(&other)?;
        let mut peer = Peer::with_handle("a", scratch.lock_path(), "");
        let mut neighbour = Peer::with_handle("other", &other, "");
        peer.ok("acquire a");
        peer.ok("release a");
        let number = number_of(&peer, &scratch)?;
        peer.ok(&format!("close_descriptor {number}"));
        peer.ok(&format!("open_foreign f {}", word(&other)));
        assert!(open_in(&peer, scratch.path())?.contains(&(number, other.clone())));

        peer.ok(closed_by);
        assert!(open_in(&peer, scratch.path())?.contains(&(number, other.clone())), "{closed_by}");
        assert!(neighbour.finds_free("other"), "{closed_by}");
        if closed_by == "lock a g" {
            assert_eq!(peer.ok("is_current g"), "true");
            peer.ok("drop_guard g");
        }
        // The host's descriptor is as good as ever.
        assert_eq!(peer.ok("try_foreign f exclusive"), "granted", "{closed_by}");
        assert!(!neighbour.finds_free("other"), "{closed_by}");
    }
    Ok(())
}

/// The host has opened the lock file itself, by the number of the idle descriptor: it is the host's
/// even so.
#[test]
fn l13_a_number_that_is_the_hosts_own_opening_is_left_alone() -> Outcome {
    let scratch = Scratch::new();
    let mut peer = Peer::with_handle("a", scratch.lock_path(), "");
    let mut other = Peer::with_handle("a", scratch.lock_path(), "");
    peer.ok("acquire a");
    peer.ok("release a");
    let number = number_of(&peer, &scratch)?;
    peer.ok(&format!("close_descriptor {number}"));
    peer.ok(&format!("open_foreign f {}", word(scratch.lock_path())));
    assert_eq!(number_of(&peer, &scratch)?, number);
    peer.ok("acquire a");
    // Another description has the lock: the host's would be granted it.
    assert_eq!(peer.ok("try_foreign f exclusive"), "held");
    peer.ok("release a");
    peer.ok("drop_handle a");
    assert_eq!(peer.ok("try_foreign f exclusive"), "granted");
    assert!(!other.finds_free("a"));
    Ok(())
}

/// The number belongs to no file: nothing is closed twice, and the next acquisition opens anew.
#[test]
fn l13_a_number_that_is_free_is_no_trouble() -> Outcome {
    let scratch = Scratch::new();
    let mut peer = Peer::with_handle("a", scratch.lock_path(), "");
    let mut other = Peer::with_handle("a", scratch.lock_path(), "");
    peer.ok("acquire a");
    peer.ok("release a");
    let number = number_of(&peer, &scratch)?;
    peer.ok(&format!("close_descriptor {number}"));
    peer.ok("acquire a");
    assert!(!other.finds_free("a"));
    peer.ok("release a");
    let number = number_of(&peer, &scratch)?;
    peer.ok(&format!("close_descriptor {number}"));
    peer.ok("drop_handle a");
    peer.ok("pid");
    Ok(())
}

/// A hold ends with its descriptor. The guard says so, and its end is an error and no more.
#[test]
fn l9_a_hold_whose_descriptor_was_closed_is_not_current() -> Outcome {
    let scratch = Scratch::new();
    let other = scratch.join("other");
    File::create(&other)?;
    for is_taken in [false, true] {
        let mut peer = Peer::with_handle("a", scratch.lock_path(), "");
        peer.ok("lock a g");
        assert_eq!(peer.ok("is_current g"), "true");
        let number = number_of(&peer, &scratch)?;
        peer.ok(&format!("close_descriptor {number}"));
        if is_taken {
            peer.ok(&format!("open_foreign f {}", word(&other)));
        }
        assert_eq!(peer.ok("is_current g"), "false");
        peer.ok("drop_guard g");
        assert_eq!(peer.ok("state a"), "released_error");
        if is_taken {
            assert_eq!(peer.ok("try_foreign f exclusive"), "granted");
        }
        peer.ok("acquire a");
    }
    Ok(())
}

#[test]
fn l13_a_guard_lends_its_descriptor_and_tells_its_path() -> Outcome {
    let scratch = Scratch::new();
    let held = scratch.lock().lock()?;
    assert_eq!(held.path(), scratch.lock_path());
    let copy = File::from(held.as_fd().try_clone_to_owned()?);
    assert_eq!(copy.metadata()?.ino(), fs::metadata(scratch.lock_path())?.ino());
    held.release()?;
    scratch.lock().try_lock()?.release()?;
    Ok(())
}

/// From the beginning, and as far as the caller likes; it is known again afterwards.
#[test]
fn l13_a_lent_descriptor_reads_the_file_and_is_used_again() -> Outcome {
    let scratch = Scratch::new();
    fs::write(scratch.lock_path(), "as it was")?;
    let lock = scratch.lock();
    let held = lock.lock()?;
    let mut text = String::new();
    File::from(held.as_fd().try_clone_to_owned()?).read_to_string(&mut text)?;
    assert_eq!(text, "as it was");
    held.release()?;
    for _ in 0..2 {
        let held = lock.lock()?;
        assert!(held.is_current()?);
    }
    Ok(())
}
