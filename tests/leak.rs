//! - L13: after every outcome the process has the descriptors, threads and timers it had before, plus
//!   one descriptor for each hold; an idle one may be kept while a handle lives. Signal masks are as
//!   they were.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::{Outcome, Peer, Scratch};

/// What a process may have too much of, as the system counts it.
#[derive(Debug, PartialEq, Eq)]
struct Belongings {
    descriptors: usize,
    threads: usize,
    timers: usize,
    /// Blocked, and waiting to be delivered.
    signals: Vec<String>,
}

fn belongings(peer: &Peer) -> Belongings {
    let proc = |name: &str| {
        fs::read_to_string(format!("/proc/{}/{name}", peer.pid()))
            .expect("the peer should be there")
    };
    let signals =
        |line: &&str| ["SigBlk:", "SigPnd:", "ShdPnd:"].iter().any(|it| line.starts_with(it));
    Belongings {
        descriptors: peer.descriptors(),
        threads: peer.threads(),
        timers: proc("timers").lines().filter(|line| line.starts_with("ID:")).count(),
        signals: proc("status").lines().filter(signals).map(Into::into).collect(),
    }
}

/// A peer with a handle for every outcome that an acquisition can have.
fn peer_of_all_outcomes(scratch: &Scratch) -> std::io::Result<Peer> {
    let mut peer = Peer::spawn();
    let path = scratch.lock_path();
    let fifo = Command::new("mkfifo").arg(scratch.join("fifo")).status()?;
    assert!(fifo.success(), "mkfifo is everywhere");
    symlink("loop", scratch.join("loop"))?;
    peer.handle("free", &path, "timeout=600000");
    peer.handle("shared", &path, "timeout=600000 shared");
    peer.handle("held", scratch.join("held"), "");
    peer.handle("try", scratch.join("held"), "timeout=0");
    peer.handle("wait", scratch.join("held"), "timeout=1");
    peer.handle("retry", scratch.join("held"), "timeout=1 use_signals=false retry_period=1");
    peer.handle("missing", scratch.join("missing/test.lock"), "");
    peer.handle("directory", scratch.path(), "");
    peer.handle("fifo", scratch.join("fifo"), "");
    peer.handle("loop", scratch.join("loop"), "");
    peer.handle("link", scratch.join("loop"), "follow_links=false");
    peer.handle("empty", "", "");
    Ok(peer)
}

/// Ten thousand cycles, one in two of which fails in one way or another.
#[test]
fn l13_ten_thousand_cycles_leave_nothing() -> Outcome {
    let scratch = Scratch::new();
    let mut peer = peer_of_all_outcomes(&scratch)?;
    let mut holder = Peer::with_handle("a", scratch.join("held"), "");
    holder.ok("acquire a");
    let before = belongings(&peer);
    let cycle = "acquire free ; release free ; lock free g ; drop_guard g \
                 ; lock shared g ; acquire shared ; release shared ; release_guard g \
                 ; attempt release free ; attempt acquire try ; attempt try_lock held g \
                 ; attempt acquire missing ; attempt acquire directory ; attempt lock fifo g \
                 ; attempt acquire loop ; attempt acquire link ; attempt acquire empty";
    // Ten acquisitions a turn and two that are waited for.
    peer.ok(&format!("repeat 1000 {cycle}"));
    peer.ok("repeat 200 attempt acquire wait ; attempt lock retry g");
    for name in ["free", "shared"] {
        peer.ok(&format!("acquire {name}"));
        peer.ok(&format!("release {name}"));
    }
    let after = belongings(&peer);
    // One idle descriptor for each of the two files that there are.
    assert_eq!(after, Belongings { descriptors: before.descriptors + 2, ..before });
    for name in ["free", "shared", "held", "try", "wait", "retry"] {
        peer.ok(&format!("drop_handle {name}"));
    }
    assert_eq!(peer.descriptors(), after.descriptors - 2);
    Ok(())
}

#[test]
fn l13_threads_leave_nothing() -> Outcome {
    const JOBS: [&str; 5] = [
        "lock free g0 ; release_guard g0",
        "lock shared g1 ; release_guard g1",
        "attempt acquire wait ; attempt acquire directory",
        "attempt acquire retry ; attempt acquire missing",
        "attempt try_lock free g2 ; attempt release_guard g2 ; attempt acquire try",
    ];
    let scratch = Scratch::new();
    let mut peer = peer_of_all_outcomes(&scratch)?;
    let mut holder = Peer::with_handle("a", scratch.join("held"), "");
    holder.ok("acquire a");
    let before = belongings(&peer);
    for (n, job) in JOBS.iter().enumerate() {
        peer.ok(&format!("start {n} repeat 200 {job}"));
    }
    for n in 0..JOBS.len() {
        peer.wait_ok(&n.to_string());
    }
    for name in ["free", "shared", "held", "try", "wait", "retry"] {
        peer.ok(&format!("drop_handle {name}"));
    }
    // A thread has been joined a little before the system stops showing it.
    crate::support::until("the end of the jobs' threads", || peer.threads() == before.threads);
    assert_eq!(belongings(&peer), before);
    Ok(())
}

#[test]
fn l13_one_descriptor_for_each_hold() {
    let scratch = Scratch::new();
    let mut peer = Peer::with_handle("a", scratch.lock_path(), "shared");
    let before = peer.descriptors();
    for holds in 1..=6 {
        peer.ok(&if holds % 2 == 0 { "acquire a".into() } else { format!("lock a g{holds}") });
        assert_eq!(peer.descriptors(), before + holds);
    }
    for release in ["release a", "drop_guard g1", "release_guard g3", "drop_guard g5", "release a"]
    {
        peer.ok(release);
    }
    assert_eq!(peer.descriptors(), before + 2, "one held, one kept");
    peer.ok("release a");
    assert_eq!(peer.descriptors(), before + 1, "one kept");
    peer.ok("drop_handle a");
    assert_eq!(peer.descriptors(), before);
}

/// The counter-proof: what is left behind on purpose is seen.
#[test]
fn l13_the_counting_counts() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::with_handle("a", &path, "");
    holder.ok("acquire a");
    let mut peer = Peer::with_handle("a", &path, "timeout=600000");
    let before = belongings(&peer);
    peer.start_waiting("w", "acquire a", &path);
    let waiting = belongings(&peer);
    assert_eq!(waiting.descriptors, before.descriptors + 1);
    assert_eq!(waiting.threads, before.threads + 1);
    assert_eq!(waiting.timers, before.timers + 1);
}

/// What is known of a path goes with its last handle.
#[test]
fn l13_paths_are_forgotten() {
    let resident = |peer: &Peer| -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", peer.pid()));
        let status = status.expect("the peer should be there");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok());
        kibibytes.expect("the system should tell")
    };
    let mut peer = Peer::spawn();
    let long = "x".repeat(200);
    let many = |from: u32, to: u32| -> String {
        let paths: Vec<String> =
            (from..to).map(|n| format!("handle a path=/{long}{n} ; drop_handle a")).collect();
        format!("repeat 1 {}", paths.join(" ; "))
    };
    // At first the process grows into its work.
    peer.ok(&many(0, 5_000));
    let before = resident(&peer);
    for thousands in (5..65).step_by(5) {
        peer.ok(&many(thousands * 1000, thousands * 1000 + 5_000));
    }
    let grown = resident(&peer).saturating_sub(before);
    // 60,000 paths of 200 bytes.
    assert!(grown < 4_000, "{grown} KiB more");
}
