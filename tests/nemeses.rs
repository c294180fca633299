//! Conditions in which other locks have failed.
//!
//! - L1, L3: a stopped holder still holds, and a waiter for it ends at its deadline. A stopped waiter does not block
//!   others. A file is the same lock under all its names and mounts.
//! - L3: the library does not read the wall clock.
//! - L4, L13: of a thousand waiters all acquire the lock, or all time out, and nothing is left of them.
//! - L9: a file with the inode number of another one on another file system is another lock.
//!
//! Other modules test forks, executed programs, users and exhausted descriptors. The stress tests replace lock files.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::prelude::*;

/// Stops the peer, and returns when it is stopped.
#[track_caller]
fn stop(peer: &Peer) {
    peer.signal("STOP");
    until("the peer is stopped", || {
        let status = fs::read_to_string(format!("/proc/{}/status", peer.pid()));
        status.is_ok_and(|status| status.contains("State:\tT"))
    });
}

#[test]
fn l1_a_stopped_holder_holds() {
    for acquire in [Lock("a", "g"), Acquire("a")] {
        let (_scratch, path, [mut holder]) = peers();
        let mut other = Peer::with(&path, &[Timeout(100)]);
        let mut waiter = Peer::with(&path, &[Timeout(600_000)]);
        holder.ok(&acquire);
        stop(&holder);
        assert!(!other.finds_free("a"));
        let answer = other.ask(Acquire("a"));
        assert_eq!(answer.kind(), Some(TimedOut), "{answer:?}");
        let took = answer.took();
        assert!(took >= Duration::from_millis(100) && took < PATIENCE, "{took:?}");
        waiter.start_waiting("w", Acquire("a"), &path);
        holder.signal("CONT");
        assert_eq!(holder.state("a"), HeldExclusive);
        waiter.assert_waiting("w");
        holder.ok(if acquire == Acquire("a") { Release("a") } else { ReleaseGuard("g") });
        waiter.wait_ok("w");
        waiter.release("a");
        // A holder that is killed while it is stopped releases.
        holder.ok(&acquire);
        stop(&holder);
        waiter.start_waiting("w", Acquire("a"), &path);
        holder.kill();
        waiter.wait_ok("w");
    }
}

#[test]
fn l4_a_stopped_waiter_does_not_block_others() {
    for settings in [&[][..], &[Timeout(600_000)]] {
        let (_scratch, path, [mut holder]) = peers();
        let mut stopped = Peer::with(&path, settings);
        let mut next = Peer::with(&path, settings);
        holder.acquire("a");
        stopped.start_waiting("w", Acquire("a"), &path);
        stop(&stopped);
        next.start_waiting("w", Acquire("a"), &path);
        holder.release("a");
        next.wait_ok("w");
        assert!(!holder.finds_free("a"));
        stopped.signal("CONT");
        stopped.assert_waiting("w");
        next.release("a");
        stopped.wait_ok("w");
        assert!(!holder.finds_free("a"));
    }
}

const CROWD: usize = 10;
const EACH: usize = 100;

/// Starts a thousand threads in ten processes. All wait in the kernel's queue, half of them with a deadline.
fn crowd(path: &Path, timeout: Setting) -> Vec<Peer> {
    let mut crowd = vec![];
    for number in 0..CROWD {
        let options = if number % 2 == 0 { timeout } else { NoTimeout };
        let mut peer = Peer::with(path, &[options]);
        for job in 0..EACH {
            peer.start(&format!("w{job}"), repeat(1, [Acquire("a"), Release("a")]));
        }
        crowd.push(peer);
    }
    crowd
}

#[test]
fn l4_a_thousand_waiters_all_acquire_the_lock() {
    let (_scratch, path, [mut holder]) = peers();
    holder.acquire("a");
    let mut crowd = crowd(&path, Timeout(600_000));
    for peer in &crowd {
        until_waiting(peer.pid(), &path, EACH);
    }
    // Kills a tenth of the waiters at the same time.
    crowd.pop().expect("there are ten").kill();
    assert_eq!(holder.state("a"), HeldExclusive);
    holder.release("a");
    for peer in &mut crowd {
        for job in 0..EACH {
            peer.wait_ok(&format!("w{job}"));
        }
        until("the threads have ended", || peer.threads() == 1);
        peer.drop_handle("a");
        // The peer has only the descriptors that a new peer has.
        assert_eq!(peer.descriptors(), Peer::spawn().descriptors());
    }
    assert!(holder.finds_free("a"));
}

#[test]
fn l3_hundreds_of_waiters_time_out_on_time() {
    const TIMEOUT: Duration = Duration::from_millis(1500);
    let (_scratch, path, [mut holder]) = peers();
    holder.acquire("a");
    let mut crowd = crowd(&path, Timeout(1500));
    let mut timed_out = 0;
    for peer in crowd.iter_mut().step_by(2) {
        for job in 0..EACH {
            let answer = peer.wait(&format!("w{job}"));
            assert_eq!(answer.kind(), Some(TimedOut), "{answer:?}");
            let took = answer.took();
            assert!(took >= TIMEOUT && took < TIMEOUT + PATIENCE, "{took:?}");
            timed_out += 1;
        }
        peer.drop_handle("a");
        assert_eq!(peer.descriptors(), Peer::spawn().descriptors());
    }
    assert_eq!(timed_out, CROWD * EACH / 2);
    // The waiters without a deadline are still in the queue.
    for peer in crowd.iter().skip(1).step_by(2) {
        until_waiting(peer.pid(), &path, EACH);
    }
    assert_eq!(holder.state("a"), HeldExclusive);
}

/// A container may see the lock file or its directory under another path.
#[test]
fn l1_a_file_is_one_lock_under_all_its_mounts() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let (file, directory) = (scratch.join("file"), scratch.join("directory"));
    fs::write(&path, "")?;
    fs::write(&file, "")?;
    fs::create_dir(&directory)?;
    let script = "mount --bind $0/test.lock $0/file; mount --bind $0 $0/directory";
    let Some(mut inside) = Peer::with_mounts(scratch.path(), script) else { return Ok(()) };
    let mut outside = Peer::with(&path, &[Timeout(600_000)]);
    for mounted in [file, directory.join("test.lock")] {
        inside.handle("a", &mounted, &[Timeout(600_000)]);
        assert!(inside.finds_free("a"));
        outside.lock("a", "g");
        assert!(!inside.finds_free("a"), "{}", mounted.display());
        inside.start("w", Lock("a", "g"));
        inside.assert_waiting("w");
        outside.release_guard("g");
        inside.wait_ok("w");
        assert!(inside.is_current("g"));
        assert!(!outside.finds_free("a"), "{}", mounted.display());
        outside.start_waiting("w", Lock("a", "g"), &path);
        inside.release_guard("g");
        outside.wait_ok("w");
        outside.release_guard("g");
    }
    // Outside the mount namespace the path names another file.
    let mut other = Peer::on(scratch.join("file"));
    inside.lock("a", "g");
    assert!(other.finds_free("a"));
    Ok(())
}

/// The lock path is a link. It is changed to lead to a file on another file system that has the same inode number.
#[test]
fn l9_the_same_inode_number_on_another_file_system_is_another_file() -> Outcome {
    let scratch = Scratch::new();
    let link = scratch.lock_path();
    let [one, other] = ["one", "other"].map(|name| scratch.join(name));
    fs::create_dir(&one)?;
    fs::create_dir(&other)?;
    let script = "for name in one other; do mount -t tmpfs none $0/$name; \
                  touch $0/$name/test.lock; done";
    let Some(mut peer) = Peer::with_mounts(scratch.path(), script) else { return Ok(()) };
    let number = |directory: &Path| {
        let path = directory.join("test.lock");
        let path = format!("/proc/{}/root{}", peer.pid(), path.display());
        fs::metadata(path).map(|file| file.ino())
    };
    assert_eq!(number(&one)?, number(&other)?, "the inode numbers should be equal");
    symlink(one.join("test.lock"), &link)?;
    peer.handle("a", &link, &[]);
    peer.lock("a", "g");
    assert!(peer.is_current("g"));
    fs::remove_file(&link)?;
    symlink(other.join("test.lock"), &link)?;
    assert!(!peer.is_current("g"));
    // The library does not use the idle descriptor for the other file.
    peer.drop_guard("g");
    peer.lock("a", "g");
    assert!(peer.is_current("g"));
    peer.handle("other", other.join("test.lock"), &[]);
    assert!(!peer.finds_free("other"));
    Ok(())
}

/// A library for `LD_PRELOAD` that aborts the process if it reads the wall clock.
const NO_WALL_CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *time) {
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE || id == CLOCK_TAI) abort();
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    return real(id, time);
}
int gettimeofday(struct timeval *time, void *zone) { (void)time; (void)zone; abort(); }
time_t time(time_t *time) { (void)time; abort(); }
int timer_create(clockid_t id, struct sigevent *event, timer_t *timer) {
    if (id != CLOCK_MONOTONIC) abort();
    static int (*real)(clockid_t, struct sigevent *, timer_t *);
    if (!real) real = dlsym(RTLD_NEXT, "timer_create");
    return real(id, event, timer);
}
"#;

#[test]
fn l3_the_wall_clock_is_not_read() -> Outcome {
    let scratch = Scratch::new();
    let (source, library) = (scratch.join("clock.c"), scratch.join("clock.so"));
    fs::write(&source, NO_WALL_CLOCK)?;
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).output();
    if !built.as_ref().is_ok_and(|output| output.status.success()) {
        skip_this(&format!("C compiler: cc did not build a library: {built:?}"));
        return Ok(());
    }
    let preload = format!("LD_PRELOAD={}", library.display());
    // The check can fail: date(1) reads the wall clock and is aborted.
    let date = Command::new("env").args([&*preload, "date"]).output()?;
    assert!(!date.status.success(), "{date:?}");

    let path = scratch.lock_path();
    let mut holder = Peer::on(&path);
    holder.acquire("a");
    let mut peer = Peer::under(&["env", &preload]);
    for settings in
        [&[Timeout(100)][..], &[Timeout(100), UseSignals(false)], &[Timeout(100), Shared]]
    {
        peer.handle("timed", &path, settings);
        let answer = peer.ask(Acquire("timed"));
        assert_eq!(answer.kind(), Some(TimedOut), "{answer:?}");
        assert!(answer.took() >= Duration::from_millis(100), "{answer:?}");
    }
    peer.handle("a", &path, &[Timeout(600_000)]);
    peer.start_waiting("w", Acquire("a"), &path);
    holder.release("a");
    peer.wait_ok("w");
    assert!(!holder.finds_free("a"));
    let maps = fs::read_to_string(format!("/proc/{}/maps", peer.pid()))?;
    assert!(maps.contains("clock.so"), "the peer should have loaded the library");
    Ok(())
}
