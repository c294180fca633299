//! - L9: a hold is on the file to which the path leads at the moment of acquisition, whatever happens to an earlier file.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use locket::{Action, State, lock_file};

use crate::support::prelude::*;
use crate::system::{assert_refused, is_real_windows};

/// What another program can do to a lock file, and why Wine cannot do it.
type Replacement = (&'static str, Option<&'static str>, fn(&Path) -> io::Result<()>);

const REPLACEMENTS: [Replacement; 4] = [
    ("renamed away", None, |path| fs::rename(path, path.with_extension("old"))),
    ("renamed away and created again", None, |path| {
        fs::rename(path, path.with_extension("old"))?;
        File::create_new(path).map(drop)
    }),
    ("another renamed over it", Some("Wine renames nothing over an open file"), |path| {
        File::create_new(path.with_extension("new"))?;
        fs::rename(path.with_extension("new"), path)
    }),
    ("deleted", Some("Wine keeps the name of an open file"), |path| fs::remove_file(path)),
];

fn for_every_replacement(
    check: &str,
    mut body: impl FnMut(&Scratch, &dyn Fn()) -> Outcome,
) -> Outcome {
    for (name, wine, apply) in REPLACEMENTS {
        if wine.is_some_and(|wine| !is_real_windows(&format!("{check} ({name})"), wine)) {
            continue;
        }
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        body(&scratch, &|| apply(&path).unwrap_or_else(|error| panic!("{name}: {error}")))
            .map_err(|error| format!("{name}: {error}"))?;
        eprintln!("{name}: ok"); // Printed if the next replacement fails.
    }
    Ok(())
}

#[test]
fn l9_a_guard_reports_a_replaced_file() -> Outcome {
    for_every_replacement("l9_a_guard_reports_a_replaced_file", |scratch, replace| {
        let guard = scratch.lock().lock()?;
        assert!(guard.is_current()?);
        replace();
        assert!(!guard.is_current()?);
        assert_eq!(scratch.lock().state(), State::HeldExclusive, "it is still held");
        guard.release()?;
        Ok(())
    })
}

#[test]
fn l9_an_idle_handle_is_verified_before_reuse() -> Outcome {
    for_every_replacement("l9_an_idle_handle_is_verified_before_reuse", |scratch, replace| {
        let lock = scratch.lock();
        lock.lock()?.release()?;
        replace();
        let guard = lock.try_lock()?;
        assert!(guard.is_current()?);
        let mut other = Peer::on(scratch.lock_path());
        assert!(!other.finds_free("a"));
        guard.release()?;
        assert!(other.finds_free("a"));
        Ok(())
    })
}

#[test]
fn l9_a_waiter_moves_to_the_replacement_file() -> Outcome {
    for_every_replacement("l9_a_waiter_moves_to_the_replacement_file", |scratch, replace| {
        let path = scratch.lock_path();
        let mut holder = Peer::on(&path);
        let mut waiter = Peer::on(&path);
        waiter.handle("timed", &path, &[Timeout(600_000), RetryPeriod(1)]);
        holder.acquire("a");
        waiter.start_waiting("w", Lock("a", "g"), &path);
        waiter.start_waiting("t", Lock("timed", "h"), &path);
        replace();
        waiter.assert_waiting("w");
        waiter.assert_waiting("t");
        holder.release("a");
        // The two waiters exclude each other, so one of them waits for the other now.
        let first =
            if waiter_is_done(&mut waiter) { ["w", "g", "t", "h"] } else { ["t", "h", "w", "g"] };
        for pair in first.chunks(2) {
            waiter.wait_ok(pair[0]);
            assert!(waiter.is_current(pair[1]));
            assert!(!holder.finds_free("a"), "the hold is on the file that is there");
            waiter.drop_guard(pair[1]);
        }
        Ok(())
    })
}

/// Waits until a waiter has the lock. Returns whether that is the untimed one.
fn waiter_is_done(waiter: &mut Peer) -> bool {
    let mut done = [false, false];
    until("one of them has the lock", || {
        done = ["w", "t"].map(|job| waiter.is_done(job));
        done[0] || done[1]
    });
    done[0]
}

/// A holder that keeps the old file forever does not delay a timed waiter beyond its deadline.
#[test]
fn l9_a_timed_waiter_gets_the_replacement_file() -> Outcome {
    for_every_replacement("l9_a_timed_waiter_gets_the_replacement_file", |scratch, replace| {
        let path = scratch.lock_path();
        let mut holder = Peer::on(&path);
        // Long enough for the replacement to happen during the wait, on a busy machine too.
        let mut waiter = Peer::with(&path, &[Timeout(3000)]);
        holder.acquire("a");
        waiter.start_waiting("w", Lock("a", "g"), &path);
        replace();
        waiter.wait_ok("w");
        assert!(waiter.is_current("g"));
        Ok(())
    })
}

#[test]
fn l9_a_file_renamed_away_and_back_is_current() -> Outcome {
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
fn l9_a_directory_in_place_of_the_file_is_an_error() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let guard = scratch.lock().lock()?;
    fs::rename(&path, scratch.join("old"))?;
    fs::create_dir(&path)?;
    assert!(!guard.is_current()?);
    guard.release()?;
    assert_refused(lock_file(&path).try_lock(), Action::Open, io::ErrorKind::IsADirectory);
    Ok(())
}
