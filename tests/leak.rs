//! L13: after every outcome the process has the same descriptors, threads, timers and signal masks as before, and one
//! descriptor more for each hold. One idle descriptor for each file may stay open while a handle exists.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::prelude::*;

/// Resources of a process, as `/proc` shows them.
#[derive(Debug, PartialEq, Eq)]
struct Resources {
    descriptors: usize,
    threads: usize,
    timers: usize,
    /// The blocked and the pending signals.
    signals: Vec<String>,
}

fn resources(peer: &Peer) -> Resources {
    let proc = |name: &str| {
        fs::read_to_string(format!("/proc/{}/{name}", peer.pid()))
            .expect("the peer should be running")
    };
    let signals =
        |line: &&str| ["SigBlk:", "SigPnd:", "ShdPnd:"].iter().any(|it| line.starts_with(it));
    Resources {
        descriptors: peer.descriptors(),
        threads: peer.threads(),
        timers: proc("timers").lines().filter(|line| line.starts_with("ID:")).count(),
        signals: proc("status").lines().filter(signals).map(Into::into).collect(),
    }
}

/// Starts a peer with a handle for every outcome that an acquisition can have.
fn peer_of_all_outcomes(scratch: &Scratch) -> std::io::Result<Peer> {
    let mut peer = Peer::spawn();
    let path = scratch.lock_path();
    let fifo = Command::new("mkfifo").arg(scratch.join("fifo")).status()?;
    assert!(fifo.success(), "mkfifo should succeed");
    symlink("loop", scratch.join("loop"))?;
    peer.handle("free", &path, &[Timeout(600_000)]);
    peer.handle("shared", &path, &[Timeout(600_000), Shared]);
    peer.handle("held", scratch.join("held"), &[]);
    peer.handle("try", scratch.join("held"), &[Timeout(0)]);
    peer.handle("wait", scratch.join("held"), &[Timeout(1)]);
    peer.handle("retry", scratch.join("held"), &[Timeout(1), UseSignals(false), RetryPeriod(1)]);
    peer.handle("missing", scratch.join("missing/test.lock"), &[]);
    peer.handle("directory", scratch.path(), &[]);
    peer.handle("fifo", scratch.join("fifo"), &[]);
    peer.handle("loop", scratch.join("loop"), &[]);
    peer.handle("link", scratch.join("loop"), &[FollowLinks(false)]);
    peer.handle("empty", "", &[]);
    Ok(peer)
}

/// Ten thousand acquisitions. Half of them fail, in different ways.
#[test]
fn l13_ten_thousand_cycles_leave_nothing() -> Outcome {
    let scratch = Scratch::new();
    let mut peer = peer_of_all_outcomes(&scratch)?;
    let mut holder = Peer::on(scratch.join("held"));
    holder.acquire("a");
    let before = resources(&peer);
    let granted = [
        Acquire("free"),
        Release("free"),
        Lock("free", "g"),
        DropGuard("g"),
        Lock("shared", "g"),
        Acquire("shared"),
        Release("shared"),
        ReleaseGuard("g"),
    ];
    let refused = [
        Release("free"),
        Acquire("try"),
        TryLock("held", "g"),
        Acquire("missing"),
        Acquire("directory"),
        Lock("fifo", "g"),
        Acquire("loop"),
        Acquire("link"),
        Acquire("empty"),
    ];
    let cycle = granted.into_iter().chain(refused.map(attempt)).collect();
    // The first request makes ten acquisitions a turn, the second two that wait.
    peer.ok(Repeat(1000, cycle));
    peer.repeat(200, [attempt(Acquire("wait")), attempt(Lock("retry", "g"))]);
    for name in ["free", "shared"] {
        peer.acquire(name);
        peer.release(name);
    }
    let after = resources(&peer);
    // One idle descriptor for each of the two files.
    assert_eq!(after, Resources { descriptors: before.descriptors + 2, ..before });
    for name in ["free", "shared", "held", "try", "wait", "retry"] {
        peer.drop_handle(name);
    }
    assert_eq!(peer.descriptors(), after.descriptors - 2);
    Ok(())
}

#[test]
fn l13_threads_leave_nothing() -> Outcome {
    let jobs = [
        ("guard", [Lock("free", "g0"), ReleaseGuard("g0")]),
        ("reader", [Lock("shared", "g1"), ReleaseGuard("g1")]),
        ("wait", [attempt(Acquire("wait")), attempt(Acquire("directory"))]),
        ("retry", [attempt(Acquire("retry")), attempt(Acquire("missing"))]),
        ("try", [attempt(TryAcquire("free")), attempt(Release("free"))]),
        ("try held", [attempt(Acquire("try")), attempt(TryLock("held", "g2"))]),
    ];
    let scratch = Scratch::new();
    let mut peer = peer_of_all_outcomes(&scratch)?;
    let mut holder = Peer::on(scratch.join("held"));
    holder.acquire("a");
    let before = resources(&peer);
    for (job, work) in jobs.clone() {
        peer.start(job, repeat(200, work));
    }
    for (job, _) in jobs {
        peer.wait_ok(job);
    }
    for name in ["free", "shared", "held", "try", "wait", "retry"] {
        peer.drop_handle(name);
    }
    // `/proc` may still show a thread for a moment after it was joined.
    until("the end of the jobs' threads", || peer.threads() == before.threads);
    assert_eq!(resources(&peer), before);
    Ok(())
}

#[test]
fn l13_one_descriptor_for_each_hold() {
    let scratch = Scratch::new();
    let mut peer = Peer::with(scratch.lock_path(), &[Shared]);
    let before = peer.descriptors();
    for holds in 1..=6 {
        let guard = format!("g{holds}");
        peer.ok(if holds % 2 == 0 { Acquire("a") } else { Lock("a", &guard) });
        assert_eq!(peer.descriptors(), before + holds);
    }
    for release in
        [Release("a"), DropGuard("g1"), ReleaseGuard("g3"), DropGuard("g5"), Release("a")]
    {
        peer.ok(release);
    }
    assert_eq!(peer.descriptors(), before + 2, "one of a hold, one idle");
    peer.release("a");
    assert_eq!(peer.descriptors(), before + 1, "one idle");
    peer.drop_handle("a");
    assert_eq!(peer.descriptors(), before);
}

/// The check above can fail: a waiter's descriptor, thread and timer are counted.
#[test]
fn l13_the_count_sees_a_leak() {
    let (_scratch, path, [mut holder]) = peers();
    holder.acquire("a");
    let mut peer = Peer::with(&path, &[Timeout(600_000)]);
    let before = resources(&peer);
    peer.start_waiting("w", Acquire("a"), &path);
    let waiting = resources(&peer);
    assert_eq!(waiting.descriptors, before.descriptors + 1);
    assert_eq!(waiting.threads, before.threads + 1);
    assert_eq!(waiting.timers, before.timers + 1);
}

/// The library frees what it has stored for a path with the last handle of the path.
#[test]
fn l13_memory_of_a_path_is_freed_with_its_last_handle() {
    let resident = |peer: &Peer| -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", peer.pid()));
        let status = status.expect("the peer should be running");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        kibibytes.expect("the status should contain VmRSS")
    };
    let mut peer = Peer::spawn();
    let long = "x".repeat(200);
    let many = |from: u32, to: u32| {
        let path = |n| Handle("a", format!("/{long}{n}").into(), vec![]);
        Repeat(1, (from..to).flat_map(|n| [path(n), DropHandle("a")]).collect())
    };
    // At first the process's memory grows to its working size.
    peer.ok(many(0, 5_000));
    let before = resident(&peer);
    for thousands in (5..65).step_by(5) {
        peer.ok(many(thousands * 1000, thousands * 1000 + 5_000));
    }
    let grown = resident(&peer).saturating_sub(before);
    // 60,000 paths of 200 bytes would be 12,000 KB.
    assert!(grown < 4_000, "{grown} KiB more");
}
