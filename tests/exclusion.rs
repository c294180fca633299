//! - L1: a file has at most one exclusive hold, among all threads, handles and processes and for every spelling of the path.
//! - L2: a try makes one attempt and does not sleep. It acquires a free lock and returns `WouldBlock` for a held one.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::prelude::*;

#[test]
fn l1_two_handles_exclude_each_other() -> Outcome {
    let scratch = Scratch::new();
    let (one, other) = (scratch.lock(), scratch.lock());

    let guard = one.lock()?;
    assert!(other.try_lock().is_err());
    assert!(other.try_acquire().is_err());
    guard.release()?;

    other.acquire()?;
    assert!(one.try_lock().is_err());
    assert!(one.try_acquire().is_err());
    other.release()?;

    one.lock()?.release()?;
    Ok(())
}

#[test]
fn l1_threads_take_turns() {
    const THREADS: u32 = 6;
    const TURNS: u32 = 300;
    let scratch = Scratch::new();
    let shared = scratch.lock();
    let occupied = AtomicBool::new(false);
    let turns = AtomicU32::new(0);
    let work = || {
        assert!(!occupied.swap(true, Ordering::SeqCst), "two threads are in the critical section");
        // The increment is not atomic, so two threads at the same time would lose an update.
        let before = turns.load(Ordering::Relaxed);
        thread::yield_now();
        turns.store(before + 1, Ordering::Relaxed);
        occupied.store(false, Ordering::SeqCst);
    };
    thread::scope(|scope| {
        for thread in 0..THREADS {
            // A shared handle, separate handles, and every kind of wait.
            let lock = match thread % 3 {
                0 => shared.clone(),
                1 => scratch.lock().timeout(Duration::from_secs(600)),
                _ => scratch
                    .lock()
                    .timeout(Duration::from_secs(600))
                    .use_signals(false)
                    .retry_period(Duration::from_micros(100)),
            };
            let work = &work;
            scope.spawn(move || {
                for _ in 0..TURNS {
                    let guard = lock.lock().expect("the lock should become free");
                    work();
                    drop(guard);
                }
            });
        }
    });
    assert_eq!(turns.into_inner(), THREADS * TURNS);
}

#[test]
fn l1_processes_exclude_each_other() {
    let (_scratch, path, [mut one, mut other]) = peers();
    for _ in 0..2 {
        one.lock("a", "g");
        assert!(!other.finds_free("a"));
        assert_eq!(other.refuses(TryAcquire("a")).kind, WouldBlock);
        other.start_waiting("w", Acquire("a"), &path);
        one.drop_guard("g");
        other.wait_ok("w");
        assert!(!one.finds_free("a"));
        other.release("a");
        assert!(one.finds_free("a"));
        std::mem::swap(&mut one, &mut other);
    }
}

/// The time from the acquisition of a hold to the begin of its release, on the clock that all peers share.
type Hold = (Duration, Duration);

/// Acquires and releases repeatedly, and returns the times of the holds.
fn holds_of(peer: &mut Peer, turns: usize) -> Vec<Hold> {
    let mut turn = || {
        let acquired = peer.ask(Acquire("a"));
        acquired.outcome.expect("the lock should become free");
        let released = peer.ask(Release("a"));
        released.outcome.expect("the release should succeed");
        (acquired.done, released.begun)
    };
    (0..turns).map(|_| turn()).collect()
}

fn first_overlap(mut holds: Vec<Hold>) -> Option<(Hold, Hold)> {
    holds.sort_unstable();
    let mut pairs = holds.windows(2).map(|pair| (pair[0], pair[1]));
    pairs.find(|((_, end), (begin, _))| begin < end)
}

#[test]
fn l1_holds_of_processes_do_not_overlap() {
    const TURNS: usize = 40;
    let (_scratch, path) = Scratch::with_path();
    let options =
        [&[][..], &[Timeout(600_000)], &[Timeout(600_000), UseSignals(false), RetryPeriod(1)], &[]];
    let holds: Vec<Hold> = thread::scope(|scope| {
        let peers = options.map(|options| {
            let mut peer = Peer::with(&path, options);
            scope.spawn(move || holds_of(&mut peer, TURNS))
        });
        peers.into_iter().flat_map(|peer| peer.join().expect("no panic")).collect()
    });
    assert_eq!(holds.len(), TURNS * options.len());
    assert_eq!(first_overlap(holds), None, "two processes held the lock at the same time");
}

/// The checks above can fail: they detect a kernel that grants every lock, which strace simulates.
#[cfg(target_os = "linux")]
#[test]
fn l1_a_kernel_that_grants_every_lock_is_detected() {
    let (_scratch, path) = Scratch::with_path();
    let Some(mut always_granted) = Strace::spawn(&["--inject=flock:retval=0"]) else {
        return;
    };
    always_granted.peer.handle("a", &path, &[]);
    let mut holder = Peer::on(&path);
    let begun = holder.ask(Acquire("a")).done;
    let mut holds = holds_of(&mut always_granted.peer, 2);
    assert_eq!(first_overlap(holds.clone()), None);
    assert!(always_granted.peer.finds_free("a"));
    holds.push((begun, holder.ask(Release("a")).begun));
    assert!(first_overlap(holds).is_some());
}

/// Returns spellings of the path of the lock file. The last two are relative to its directory.
fn spellings(scratch: &Scratch) -> io::Result<Vec<PathBuf>> {
    let file = scratch.lock_path();
    fs::create_dir(scratch.join("sub"))?;
    File::create(&file)?;
    fs::hard_link(&file, scratch.join("hard_link"))?;
    let names = ["./test.lock", "sub/../test.lock", "sub/.././/test.lock", "hard_link"];
    let names = names.into_iter().chain(links(scratch)?).map(|name| scratch.join(name));
    Ok(names.chain(["test.lock".into(), "./test.lock".into()]).collect())
}

#[cfg(unix)]
fn links(scratch: &Scratch) -> io::Result<Vec<&'static str>> {
    use std::os::unix::fs::symlink;
    symlink(scratch.lock_path(), scratch.join("link"))?;
    symlink("link", scratch.join("link_to_link"))?;
    symlink(".", scratch.join("link_to_dir"))?;
    Ok(vec!["link", "link_to_link", "link_to_dir/test.lock"])
}

/// Returns no links: on Windows not every user may make them.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "on Unix it may fail")]
fn links(_: &Scratch) -> io::Result<Vec<&'static str>> {
    Ok(vec![])
}

#[test]
fn l1_spellings_exclude_each_other() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let spellings = spellings(&scratch)?;
    let mut one = Peer::on(&path);
    let mut other = Peer::on(&path);
    for peer in [&mut one, &mut other] {
        peer.change_directory(scratch.path());
    }
    for spelling in spellings {
        one.handle("alias", &spelling, &[]);
        other.handle("alias", &spelling, &[]);
        let shown = spelling.display();
        one.lock("alias", "g");
        assert!(!one.finds_free("a"), "{shown}, in the holding process");
        assert!(!other.finds_free("a"), "{shown}, in another process");
        assert!(!other.finds_free("alias"), "{shown}, the same spelling in both processes");
        one.drop_guard("g");
        one.lock("a", "g");
        assert!(!one.finds_free("alias"), "{shown}, in the holding process");
        assert!(!other.finds_free("alias"), "{shown}, in another process");
        one.drop_guard("g");
    }
    Ok(())
}

#[test]
fn l2_a_try_takes_a_free_lock() -> Outcome {
    let (_scratch, lock) = Scratch::with_lock();
    lock.try_lock()?.release()?;
    lock.try_acquire()?;
    lock.release()?;
    lock.shared().try_lock()?.release()?;
    Ok(())
}

/// A try does not wait, for any timeout of the handle.
#[test]
fn l2_a_try_does_not_wait() -> Outcome {
    let (scratch, lock) = Scratch::with_lock();
    let _held = lock.lock()?;
    for timeout in [None, Some(Duration::from_secs(1_000_000)), Some(Duration::ZERO)] {
        let lock = lock.clone().timeout(timeout);
        for error in [lock.try_lock().err(), lock.try_acquire().err()] {
            match error {
                Some(error) if error.kind() == WouldBlock => {
                    assert_eq!(error.path(), scratch.lock_path());
                    assert_eq!(error.elapsed(), Duration::ZERO);
                }
                other => panic!("the error should be WouldBlock: {other:?}"),
            }
        }
    }
    Ok(())
}

#[test]
fn l2_contention_would_block() {
    let (scratch, _, [mut holder]) = peers();
    holder.acquire("a");
    let error = scratch.lock().try_lock().expect_err("the lock is held");
    let path = scratch.lock_path();
    let message = format!("cannot lock {}: held by another process", path.display());
    assert_eq!(error.to_string(), message);
    assert_eq!(io::Error::from(error).kind(), io::ErrorKind::WouldBlock);
}

/// The error names this process only if this process holds the lock. A hold that has ended or a hold of a replaced file
/// does not count.
#[cfg(unix)]
#[test]
fn l12_a_try_says_that_this_process_holds_the_lock() -> Outcome {
    let (scratch, path, [mut other]) = peers();
    let this = format!(": held by this process (pid {})", std::process::id());
    let another = ": held by another process";
    let message =
        |lock: locket::Lock| lock.try_lock().map(drop).expect_err("the lock is held").to_string();
    for (first, second) in [
        (scratch.lock(), scratch.lock()),
        (scratch.lock(), scratch.lock().shared()),
        (scratch.lock().shared(), scratch.lock()),
    ] {
        let guard = first.lock()?;
        assert!(message(second.clone()).ends_with(&this));
        guard.release()?;
        other.acquire("a");
        assert!(message(second).ends_with(another));
        other.release("a");
    }
    let old = scratch.lock().lock()?;
    std::fs::remove_file(&path)?;
    other.acquire("a");
    assert!(message(scratch.lock()).ends_with(another));
    drop(old);
    Ok(())
}
