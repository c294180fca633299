//! - L9: a hold is on the file that the path names at the moment of acquisition. A file that is
//!   unlinked, renamed away or replaced while somebody waits is noticed, and the waiter moves on to
//!   the new one within the same deadline. A guard tells whether the path still names its file, and
//!   releasing is no error even if it does not.
#![cfg(unix)]
#![allow(clippy::panic, reason = "that is how a test fails")]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;

use crate::support::{Outcome, Peer, Scratch, until_waiting, word, words_of};
use locket::{State, lock_file};

type Fate = fn(&Path) -> io::Result<()>;

/// What may happen to a lock file behind everybody's back.
const FATES: [(&str, Fate); 8] = [
    ("unlinked", |path| fs::remove_file(path)),
    ("renamed away", |path| fs::rename(path, path.with_extension("old"))),
    ("unlinked and made anew", |path| {
        fs::remove_file(path)?;
        File::create_new(path).map(drop)
    }),
    ("another renamed over it", |path| {
        File::create_new(path.with_extension("new"))?;
        fs::rename(path.with_extension("new"), path)
    }),
    ("a link to another renamed over it", |path| {
        File::create_new(path.with_extension("target"))?;
        symlink(path.with_extension("target"), path.with_extension("link"))?;
        fs::rename(path.with_extension("link"), path)
    }),
    ("a dangling link renamed over it", |path| {
        symlink(path.with_extension("nowhere"), path.with_extension("link"))?;
        fs::rename(path.with_extension("link"), path)
    }),
    ("directory replaced", |path| {
        let dir = path.parent().expect("it is in a directory");
        fs::rename(dir, dir.with_extension("old"))?;
        fs::create_dir(dir)?;
        File::create_new(path).map(drop)
    }),
    ("directory removed and made anew", |path| {
        let dir = path.parent().expect("it is in a directory");
        fs::remove_dir_all(dir)?;
        fs::create_dir(dir)
    }),
];

/// Does to a new lock file, in a directory of its own, what may happen to one.
fn for_every_fate(mut check: impl FnMut(&Path, &dyn Fn()) -> Outcome) -> Outcome {
    for (name, befall) in FATES {
        let scratch = Scratch::new();
        let path = lock_path_in_dir(&scratch)?;
        check(&path, &|| befall(&path).unwrap_or_else(|error| panic!("{name}: {error}")))
            .map_err(|error| format!("{name}: {error}"))?;
        eprintln!("{name}: ok"); // Shown if the next one fails.
    }
    Ok(())
}

fn lock_path_in_dir(scratch: &Scratch) -> io::Result<PathBuf> {
    fs::create_dir(scratch.join("dir"))?;
    Ok(scratch.join("dir").join("test.lock"))
}

#[test]
fn l9_the_guard_tells() -> Outcome {
    for_every_fate(|path, befall| {
        let guard = lock_file(path).lock()?;
        assert!(guard.is_current()?);
        befall();
        assert!(!guard.is_current()?);
        assert_eq!(lock_file(path).state(), State::HeldExclusive, "it is still held");
        guard.release()?;
        assert_eq!(lock_file(path).state(), State::Unlocked);
        Ok(())
    })
}

#[test]
fn l9_a_release_ends_no_hold_on_the_new_file() -> Outcome {
    for_every_fate(|path, befall| {
        let mut other = Peer::with_handle("a", path, "");
        let mut third = Peer::with_handle("a", path, "");
        let lock = lock_file(path);
        lock.acquire()?;
        let guard = lock_file(path).timeout(std::time::Duration::ZERO).lock();
        assert!(guard.is_err());
        befall();
        other.ok("acquire a");
        lock.release()?;
        assert!(!third.finds_free("a"));
        lock.try_lock().expect_err("the new file is held");
        Ok(())
    })
}

#[test]
fn l9_a_waiter_moves_on() -> Outcome {
    for_every_fate(|path, befall| {
        for options in ["", "timeout=600000"] {
            let mut holder = Peer::with_handle("a", path, "");
            let mut waiter = Peer::with_handle("a", path, options);
            holder.ok("acquire a");
            holder.ok(&format!("open_foreign old {}", word(path)));
            waiter.start_waiting("w", "lock a g", path);
            if options.is_empty() {
                befall();
            } else {
                File::create_new(path.with_extension("second"))?;
                fs::rename(path.with_extension("second"), path)?;
            }
            waiter.assert_waiting("w");
            holder.ok("release a");
            waiter.wait_ok("w");
            assert_eq!(waiter.ok("is_current g"), "true");
            assert!(!holder.finds_free("a"), "the hold is on the file that is there");
            assert_eq!(holder.ok("try_foreign old exclusive"), "granted", "and on no other");
        }
        Ok(())
    })
}

#[test]
fn l9_a_waiter_waits_for_the_new_files_holder() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::with_handle("a", &path, "");
    let mut waiter = Peer::with_handle("a", &path, "timeout=600000");
    holder.ok("lock a g0");
    waiter.start_waiting("w", "lock a g", &path);
    for n in 1..4 {
        // The holder takes the next file, puts it there, and lets the last one go.
        let next = scratch.join(&n.to_string());
        holder.handle("next", &next, "");
        holder.ok(&format!("lock next g{n}"));
        fs::rename(&next, &path)?;
        holder.ok(&format!("drop_guard g{}", n - 1));
        until_waiting(waiter.pid(), &path, 1);
        waiter.assert_waiting("w");
    }
    holder.ok("drop_guard g3");
    waiter.wait_ok("w");
    assert_eq!(waiter.ok("is_current g"), "true");
    Ok(())
}

/// Whoever holds the old file for ever is in nobody's way for longer than the deadline.
#[test]
fn l9_the_deadline_finds_the_new_file() {
    // Long enough for it to happen meanwhile, on a busy machine too. So all wait at the same time.
    const TIMEOUT: &str = "timeout=5000";
    thread::scope(|scope| {
        for (name, befall) in FATES {
            scope.spawn(move || {
                let scratch = Scratch::new();
                let path = &lock_path_in_dir(&scratch).expect("the directory is ours");
                let mut holder = Peer::with_handle("a", path, "");
                let mut waiter = Peer::with_handle("a", path, TIMEOUT);
                holder.ok("acquire a");
                waiter.start_waiting("w", "lock a g", path);
                befall(path).unwrap_or_else(|error| panic!("{name}: {error}"));
                waiter.wait_ok("w");
                assert_eq!(waiter.ok("is_current g"), "true", "{name}");
                assert_eq!(holder.ok("state a"), "exclusive", "{name}");
            });
        }
    });
}

/// A try meets the file that is there, not the one whose descriptor is still at hand.
#[test]
fn l9_a_kept_descriptor_is_not_trusted() -> Outcome {
    for_every_fate(|path, befall| {
        let lock = lock_file(path);
        lock.acquire()?;
        lock.release()?;
        befall();
        lock.try_acquire()?;
        let mut other = Peer::with_handle("a", path, "");
        assert!(!other.finds_free("a"));
        lock.release()?;
        assert!(other.finds_free("a"));
        Ok(())
    })
}

/// Somebody else still holds the old file, on which the kept descriptor would meet contention.
#[test]
fn l9_an_old_holder_is_in_nobodys_way() -> Outcome {
    for_every_fate(|path, befall| {
        let mut holder = Peer::with_handle("a", path, "");
        let mut peer = Peer::with_handle("a", path, "");
        peer.handle("timed", path, "timeout=3600000");
        for again in ["try_acquire a", "acquire timed", "acquire a"] {
            peer.ok("acquire a");
            peer.ok("release a");
            holder.ok("lock a old");
            if again == "try_acquire a" {
                befall();
            } else {
                fs::remove_file(path)?;
            }
            // It does not wait for what is held, as that is not the lock any more.
            peer.ok(again);
            peer.ok("release a");
            holder.ok("drop_guard old");
        }
        Ok(())
    })
}

#[test]
fn l9_what_a_waiter_finds_may_be_no_lock_file() -> Outcome {
    let fates: [(Fate, &str, i32); 3] = [
        (|path| fs::create_dir(path), "open", libc::EISDIR),
        (|path| symlink(path, path), "check", libc::ELOOP),
        (
            |path| fs::remove_dir(path.parent().expect("it is in a directory")),
            "create",
            libc::ENOENT,
        ),
    ];
    for (befall, class, code) in fates {
        let scratch = Scratch::new();
        let path = lock_path_in_dir(&scratch)?;
        let mut holder = Peer::with_handle("a", &path, "");
        let mut waiter = Peer::with_handle("a", &path, "");
        holder.ok("acquire a");
        waiter.start_waiting("w", "acquire a", &path);
        fs::remove_file(&path)?;
        befall(&path)?;
        holder.ok("release a");
        let refusal = waiter.wait("w").outcome.expect_err("there is nothing to lock");
        let cause = format!("{}: {}", path.display(), words_of(code));
        assert!(refusal.message.contains(&cause), "{refusal:?}");
        assert_eq!(refusal.class, class, "{refusal:?}");
        assert_eq!(waiter.ok("state a"), "unlocked");
    }
    Ok(())
}

/// Who makes no file has nothing left to wait for when it is gone.
#[test]
fn l9_a_deleted_file_ends_the_wait_of_who_makes_none() -> Outcome {
    let scratch = Scratch::new();
    let mut holder = Peer::with_handle("a", scratch.lock_path(), "");
    holder.ok("acquire a");
    let waiter = scratch.lock().create(false);
    let waiting = std::thread::spawn(move || waiter.lock().map(drop));
    until_waiting(std::process::id(), &scratch.lock_path(), 1);
    fs::remove_file(scratch.lock_path())?;
    holder.ok("release a");
    let outcome = waiting.join().map_err(|_| "the waiter panicked")?;
    let Err(error) = outcome else { panic!("there was something to lock") };
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    assert!(!scratch.lock_path().exists());
    Ok(())
}
