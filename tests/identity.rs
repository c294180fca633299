//! L9: a hold is on the file that the path names at the moment of acquisition. A waiter notices that the file is unlinked,
//! renamed away or replaced, and moves to the new file within the same deadline. A guard tells whether the path still names
//! its file. A release succeeds also if it does not.
#![cfg(unix)]

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread;

use crate::support::prelude::*;

type Change = fn(&Path) -> io::Result<()>;

/// Changes that other programs may make to a lock file or its directory.
const CHANGES: [(&str, Change); 8] = [
    ("unlinked", |path| fs::remove_file(path)),
    ("renamed away", |path| fs::rename(path, path.with_extension("old"))),
    ("unlinked and created again", |path| {
        fs::remove_file(path)?;
        File::create_new(path).map(drop)
    }),
    ("another file renamed over it", |path| {
        File::create_new(path.with_extension("new"))?;
        fs::rename(path.with_extension("new"), path)
    }),
    ("a link to another file renamed over it", |path| {
        File::create_new(path.with_extension("target"))?;
        symlink(path.with_extension("target"), path.with_extension("link"))?;
        fs::rename(path.with_extension("link"), path)
    }),
    ("a dangling link renamed over it", |path| {
        symlink(path.with_extension("nowhere"), path.with_extension("link"))?;
        fs::rename(path.with_extension("link"), path)
    }),
    ("directory replaced", |path| {
        let dir = path.parent().expect("the file is in a directory");
        fs::rename(dir, dir.with_extension("old"))?;
        fs::create_dir(dir)?;
        File::create_new(path).map(drop)
    }),
    ("directory removed and created again", |path| {
        let dir = path.parent().expect("the file is in a directory");
        fs::remove_dir_all(dir)?;
        fs::create_dir(dir)
    }),
];

/// Runs the check for each change, with a lock file in a new directory. The check makes the change.
fn for_every_change(mut check: impl FnMut(&Path, &dyn Fn()) -> Outcome) -> Outcome {
    for (name, change) in CHANGES {
        let scratch = Scratch::new();
        let path = lock_path_in_dir(&scratch)?;
        check(&path, &|| change(&path).unwrap_or_else(|error| panic!("{name}: {error}")))
            .map_err(|error| format!("{name}: {error}"))?;
        eprintln!("{name}: ok"); // Shown if the next change fails.
    }
    Ok(())
}

fn lock_path_in_dir(scratch: &Scratch) -> io::Result<PathBuf> {
    fs::create_dir(scratch.join("dir"))?;
    Ok(scratch.join("dir").join("test.lock"))
}

#[test]
fn l9_is_current_is_false_after_every_change() -> Outcome {
    for_every_change(|path, change| {
        let guard = lock_file(path).lock()?;
        assert!(guard.is_current()?);
        change();
        assert!(!guard.is_current()?);
        assert_eq!(lock_file(path).state(), HeldExclusive, "the hold should stay");
        guard.release()?;
        assert_eq!(lock_file(path).state(), Unlocked);
        Ok(())
    })
}

#[test]
fn l9_a_release_ends_no_hold_on_the_new_file() -> Outcome {
    for_every_change(|path, change| {
        let mut other = Peer::on(path);
        let mut third = Peer::on(path);
        let lock = lock_file(path);
        lock.acquire()?;
        let guard = lock_file(path).timeout(std::time::Duration::ZERO).lock();
        assert!(guard.is_err());
        change();
        other.acquire("a");
        lock.release()?;
        assert!(!third.finds_free("a"));
        lock.try_lock().expect_err("the new file is held");
        Ok(())
    })
}

#[test]
fn l9_waiter_moves_to_the_replacement_file() -> Outcome {
    for_every_change(|path, change| {
        for settings in [&[][..], &[Timeout(600_000)]] {
            let mut holder = Peer::on(path);
            let mut waiter = Peer::with(path, settings);
            holder.acquire("a");
            holder.open_foreign("old", path);
            waiter.start_waiting("w", Lock("a", "g"), path);
            if settings.is_empty() {
                change();
            } else {
                File::create_new(path.with_extension("second"))?;
                fs::rename(path.with_extension("second"), path)?;
            }
            waiter.assert_waiting("w");
            holder.release("a");
            waiter.wait_ok("w");
            assert!(waiter.is_current("g"));
            assert!(!holder.finds_free("a"), "the hold should be on the new file");
            assert!(holder.try_foreign("old", Mode::Exclusive), "the old file should be free");
        }
        Ok(())
    })
}

#[test]
fn l9_waiter_waits_for_the_holder_of_the_replacement_file() -> Outcome {
    let (scratch, path, [mut holder]) = peers();
    let mut waiter = Peer::with(&path, &[Timeout(600_000)]);
    holder.lock("a", "g0");
    waiter.start_waiting("w", Lock("a", "g"), &path);
    for n in 1..4 {
        // The holder locks the next file, renames it to the path, and releases the previous one.
        let next = scratch.join(&n.to_string());
        holder.handle("next", &next, &[]);
        holder.lock("next", &format!("g{n}"));
        fs::rename(&next, &path)?;
        holder.drop_guard(&format!("g{}", n - 1));
        until_waiting(waiter.pid(), &path, 1);
        waiter.assert_waiting("w");
    }
    holder.drop_guard("g3");
    waiter.wait_ok("w");
    assert!(waiter.is_current("g"));
    Ok(())
}

/// If the old file stays locked forever, a waiter acquires the new file at its deadline.
#[test]
fn l9_waiter_acquires_the_replacement_file_at_its_deadline() {
    // The timeout is long enough for the change on a busy machine. The waits run concurrently, which saves time.
    const TIMEOUT: Setting = Timeout(5000);
    thread::scope(|scope| {
        for (name, change) in CHANGES {
            scope.spawn(move || {
                let scratch = Scratch::new();
                let path = &lock_path_in_dir(&scratch).expect("the test should own the directory");
                let mut holder = Peer::on(path);
                let mut waiter = Peer::with(path, &[TIMEOUT]);
                holder.acquire("a");
                waiter.start_waiting("w", Lock("a", "g"), path);
                change(path).unwrap_or_else(|error| panic!("{name}: {error}"));
                waiter.wait_ok("w");
                assert!(waiter.is_current("g"), "{name}");
                assert_eq!(holder.state("a"), HeldExclusive, "{name}");
            });
        }
    });
}

/// A try uses the file that the path names now, not the file of the idle descriptor.
#[test]
fn l9_an_idle_descriptor_of_an_old_file_is_not_used() -> Outcome {
    for_every_change(|path, change| {
        let lock = lock_file(path);
        lock.acquire()?;
        lock.release()?;
        change();
        lock.try_acquire()?;
        let mut other = Peer::on(path);
        assert!(!other.finds_free("a"));
        lock.release()?;
        assert!(other.finds_free("a"));
        Ok(())
    })
}

/// Another process still holds the old file. The library must not try the idle descriptor of that file.
#[test]
fn l9_a_holder_of_the_old_file_blocks_no_acquisition() -> Outcome {
    for_every_change(|path, change| {
        let mut holder = Peer::on(path);
        let mut peer = Peer::on(path);
        peer.handle("timed", path, &[Timeout(3_600_000)]);
        for again in [TryAcquire("a"), Acquire("timed"), Acquire("a")] {
            peer.acquire("a");
            peer.release("a");
            holder.lock("a", "old");
            if again == TryAcquire("a") {
                change();
            } else {
                fs::remove_file(path)?;
            }
            // The peer does not wait for the old file: it is not the lock any more.
            peer.ok(again);
            peer.release("a");
            holder.drop_guard("old");
        }
        Ok(())
    })
}

#[test]
fn l9_a_replacement_that_is_not_a_file_is_an_error() -> Outcome {
    let changes: [(Change, Action, i32); 3] = [
        (|path| fs::create_dir(path), Action::Open, libc::EISDIR),
        (|path| symlink(path, path), Action::Verify, libc::ELOOP),
        (
            |path| fs::remove_dir(path.parent().expect("the file is in a directory")),
            Action::Create,
            libc::ENOENT,
        ),
    ];
    for (change, action, code) in changes {
        let scratch = Scratch::new();
        let path = lock_path_in_dir(&scratch)?;
        let mut holder = Peer::on(&path);
        let mut waiter = Peer::on(&path);
        holder.acquire("a");
        waiter.start_waiting("w", Acquire("a"), &path);
        fs::remove_file(&path)?;
        change(&path)?;
        holder.release("a");
        let refusal = waiter.wait("w").outcome.expect_err("the path does not name a lock file");
        let cause = format!("{}: {}", path.display(), words_of(code));
        refusal.assert_says(&cause);
        assert_eq!(refusal.action, action, "{refusal:?}");
        assert_eq!(waiter.state("a"), Unlocked);
    }
    Ok(())
}

/// A waiter with `create(false)` returns an error when the file is deleted: it must not create a new one.
#[test]
fn l9_a_deleted_file_ends_a_wait_without_create() -> Outcome {
    let (scratch, _, [mut holder]) = peers();
    holder.acquire("a");
    let waiter = scratch.lock().create(false);
    let waiting = std::thread::spawn(move || waiter.lock().map(drop));
    until_waiting(std::process::id(), &scratch.lock_path(), 1);
    fs::remove_file(scratch.lock_path())?;
    holder.release("a");
    let outcome = waiting.join().map_err(|_| "the waiter panicked")?;
    let Err(error) = outcome else { panic!("the wait should fail") };
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::NotFound);
    assert!(!scratch.lock_path().exists());
    Ok(())
}
