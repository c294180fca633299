//! - L9: a hold is on the file that the path names at the moment of acquisition, whatever becomes
//!   of the one that was there before.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use locket::{Action, LockError, State, lock_file};

use crate::support::{Outcome, Peer, Scratch};
use crate::system::is_real_windows;

struct Fate {
    name: &'static str,
    befall: fn(&Path) -> io::Result<()>,
    /// Why Wine cannot show it.
    wine: Option<&'static str>,
}

/// What may happen to a lock file behind everybody's back.
const FATES: [Fate; 4] = [
    Fate {
        name: "renamed away",
        befall: |path| fs::rename(path, path.with_extension("old")),
        wine: None,
    },
    Fate {
        name: "renamed away and made anew",
        befall: |path| {
            fs::rename(path, path.with_extension("old"))?;
            File::create_new(path).map(drop)
        },
        wine: None,
    },
    Fate {
        name: "another renamed over it",
        befall: |path| {
            File::create_new(path.with_extension("new"))?;
            fs::rename(path.with_extension("new"), path)
        },
        wine: Some("Wine renames nothing over an open file"),
    },
    Fate {
        name: "deleted",
        befall: |path| fs::remove_file(path),
        wine: Some("Wine keeps the name of an open file"),
    },
];

fn for_every_fate(check: &str, mut body: impl FnMut(&Scratch, &dyn Fn()) -> Outcome) -> Outcome {
    for Fate { name, befall, wine } in FATES {
        if wine.is_some_and(|wine| !is_real_windows(&format!("{check} ({name})"), wine)) {
            continue;
        }
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        body(&scratch, &|| befall(&path).unwrap_or_else(|error| panic!("{name}: {error}")))
            .map_err(|error| format!("{name}: {error}"))?;
        eprintln!("{name}: ok"); // Shown if the next one fails.
    }
    Ok(())
}

#[test]
fn l9_the_guard_tells() -> Outcome {
    for_every_fate("l9_the_guard_tells", |scratch, befall| {
        let guard = scratch.lock().lock()?;
        assert!(guard.is_current()?);
        befall();
        assert!(!guard.is_current()?);
        assert_eq!(scratch.lock().state(), State::HeldExclusive, "it is still held");
        guard.release()?;
        Ok(())
    })
}

#[test]
fn l9_a_kept_descriptor_is_not_trusted() -> Outcome {
    for_every_fate("l9_a_kept_descriptor_is_not_trusted", |scratch, befall| {
        let lock = scratch.lock();
        lock.lock()?.release()?;
        befall();
        let guard = lock.try_lock()?;
        assert!(guard.is_current()?);
        let mut other = Peer::with_handle("a", scratch.lock_path(), "");
        assert!(!other.finds_free("a"));
        guard.release()?;
        assert!(other.finds_free("a"));
        Ok(())
    })
}

#[test]
fn l9_a_waiter_moves_on() -> Outcome {
    for_every_fate("l9_a_waiter_moves_on", |scratch, befall| {
        let path = scratch.lock_path();
        let mut holder = Peer::with_handle("a", &path, "");
        let mut waiter = Peer::with_handle("a", &path, "");
        waiter.handle("timed", &path, "timeout=600000 retry_period=1");
        holder.ok("acquire a");
        waiter.start_waiting("w", "lock a g", &path);
        waiter.start_waiting("t", "lock timed h", &path);
        befall();
        waiter.assert_waiting("w");
        waiter.assert_waiting("t");
        holder.ok("release a");
        // They are two, and one waits for the other now.
        let first =
            if waiter_is_done(&mut waiter) { ["w", "g", "t", "h"] } else { ["t", "h", "w", "g"] };
        for pair in first.chunks(2) {
            waiter.wait_ok(pair[0]);
            assert_eq!(waiter.ok(&format!("is_current {}", pair[1])), "true");
            assert!(!holder.finds_free("a"), "the hold is on the file that is there");
            waiter.ok(&format!("drop_guard {}", pair[1]));
        }
        Ok(())
    })
}

/// Which of the two was first?
fn waiter_is_done(waiter: &mut Peer) -> bool {
    let mut done = [false, false];
    crate::support::until("one of them has the lock", || {
        done = ["w", "t"].map(|job| waiter.ok(&format!("poll {job}")) == "done");
        done[0] || done[1]
    });
    done[0]
}

/// Whoever holds the old file for ever is in nobody's way for longer than the deadline.
#[test]
fn l9_the_deadline_finds_the_new_file() -> Outcome {
    for_every_fate("l9_the_deadline_finds_the_new_file", |scratch, befall| {
        let path = scratch.lock_path();
        let mut holder = Peer::with_handle("a", &path, "");
        // Long enough for it to happen meanwhile, on a busy machine too.
        let mut waiter = Peer::with_handle("a", &path, "timeout=3000");
        holder.ok("acquire a");
        waiter.start_waiting("w", "lock a g", &path);
        befall();
        waiter.wait_ok("w");
        assert_eq!(waiter.ok("is_current g"), "true");
        Ok(())
    })
}

#[test]
fn l9_a_file_is_itself_wherever_it_has_been() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let guard = scratch.lock().lock()?;
    fs::rename(&path, scratch.join("elsewhere"))?;
    assert!(!guard.is_current()?);
    fs::rename(scratch.join("elsewhere"), &path)?;
    assert!(guard.is_current()?);
    fs::hard_link(&path, scratch.join("hard"))?;
    fs::rename(&path, scratch.join("old"))?;
    fs::rename(scratch.join("hard"), &path)?;
    assert!(guard.is_current()?);
    Ok(())
}

#[test]
fn l9_a_directory_in_its_place_is_no_lock_file() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let guard = scratch.lock().lock()?;
    fs::rename(&path, scratch.join("old"))?;
    fs::create_dir(&path)?;
    assert!(!guard.is_current()?);
    guard.release()?;
    match lock_file(&path).try_lock() {
        Err(error) if error.action() == Action::Open => {
            let kind = error.io_error().map(std::io::Error::kind);
            assert_eq!(kind, Some(io::ErrorKind::IsADirectory), "{error}");
        }
        other => panic!("it should be refused: {other:?}"),
    }
    Ok(())
}
