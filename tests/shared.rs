//! - L1: a lock has any number of shared holds or one exclusive hold.
//! - L5: a release ends one shared hold of `acquire`, and never a guard's hold.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::prelude::*;

#[test]
fn l1_readers_share() -> Outcome {
    let scratch = Scratch::new();
    let readers = scratch.lock().shared().timeout(PATIENCE);
    let _first = readers.lock()?;
    assert_eq!(readers.state(), HeldShared(1));
    let second = scratch.lock().shared().try_lock()?;
    readers.acquire()?;
    assert_eq!(readers.state(), HeldShared(3));
    assert_eq!(scratch.lock().state(), HeldShared(3), "all handles should share one state");
    second.release()?;
    readers.release()?;
    assert_eq!(readers.state(), HeldShared(1));
    Ok(())
}

#[test]
fn l1_reading_threads_hold_the_lock_together() {
    const THREADS: usize = 8;
    let scratch = Scratch::new();
    let inside = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let readers = scratch.lock().shared().timeout(PATIENCE);
                let _guard = readers.lock().expect("readers share");
                inside.fetch_add(1, Ordering::SeqCst);
                until("all threads hold the lock", || inside.load(Ordering::SeqCst) == THREADS);
            });
        }
    });
    assert_eq!(scratch.lock().state(), Unlocked);
}

#[test]
fn l1_a_reader_and_a_writer_exclude_each_other() -> Outcome {
    let scratch = Scratch::new();
    let (reader, writer) = (scratch.lock().shared(), scratch.lock());
    let reading = reader.lock()?;
    assert!(writer.try_lock().is_err_and(|error| error.is_contended()));
    reading.release()?;
    let writing = writer.lock()?;
    assert!(reader.try_lock().is_err_and(|error| error.is_contended()));
    writing.release()?;
    reader.try_lock()?.release()?;
    Ok(())
}

#[test]
fn l1_a_writer_waits_for_every_reader() {
    let (_scratch, path) = Scratch::with_path();
    for settings in [&[][..], &[Timeout(600_000)]] {
        let mut readers = [(); 3].map(|()| Peer::with(&path, &[Shared]));
        for reader in &mut readers {
            reader.lock("a", "g");
        }
        let mut writer = Peer::with(&path, settings);
        writer.start_waiting("w", Acquire("a"), &path);
        let [first, second, last] = &mut readers;
        first.drop_guard("g");
        writer.assert_waiting("w");
        second.release_guard("g");
        writer.assert_waiting("w");
        last.drop_guard("g");
        writer.wait_ok("w");
        assert!(readers.iter_mut().all(|reader| !reader.finds_free("a")));
    }
}

#[test]
fn l1_readers_wait_for_the_writer() {
    let (_scratch, path, [mut writer]) = peers();
    writer.acquire("a");
    let mut readers = [(); 2].map(|()| Peer::with(&path, &[Shared]));
    for reader in &mut readers {
        reader.start_waiting("w", Lock("a", "g"), &path);
    }
    writer.release("a");
    for reader in &mut readers {
        reader.wait_ok("w");
    }
    assert!(!writer.finds_free("a"));
}

/// Each shared hold has its own descriptor. The end of one hold does not end the others.
#[test]
fn l5_a_release_ends_one_shared_hold() -> Outcome {
    let (scratch, _, [mut writer]) = peers();
    let readers = scratch.lock().shared().timeout(PATIENCE);
    for _ in 0..3 {
        readers.acquire()?;
    }
    for remaining in (0..3).rev() {
        assert!(!writer.finds_free("a"));
        readers.release()?;
        let state = if remaining == 0 { Unlocked } else { HeldShared(remaining) };
        assert_eq!(readers.state(), state);
    }
    assert!(writer.finds_free("a"));
    Ok(())
}

#[test]
fn l5_a_release_leaves_shared_guards() -> Outcome {
    let (scratch, _, [mut writer]) = peers();
    let readers = scratch.lock().shared().timeout(PATIENCE);
    readers.acquire()?;
    let guard = readers.lock()?;
    readers.release()?;
    assert!(readers.release().is_err_and(|error| error.kind() == NotLocked));
    assert_eq!(readers.state(), HeldShared(1), "the guard's hold should stay");
    assert!(!writer.finds_free("a"));
    guard.release()?;
    assert!(writer.finds_free("a"));
    Ok(())
}

/// Many threads acquire and release at the same time. The count of holds is 0 afterwards.
#[test]
fn l5_every_hold_is_counted() {
    // Wine keeps a closed file open while any handle has a lock on it, so there are fewer turns.
    const TURNS: usize = if cfg!(windows) { 100 } else { 20_000 };
    let scratch = Scratch::new();
    let readers = scratch.lock().shared();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..TURNS {
                    drop(readers.try_lock().expect("readers share"));
                }
            });
        }
    });
    assert_eq!(readers.state(), Unlocked);
}
