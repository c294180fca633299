//! L7: after a holder or waiter is killed at any instruction, the lock is free and the file is unchanged.

use std::fs;

use crate::support::prelude::*;

#[test]
fn l7_a_killed_holder_leaves_the_lock_free() -> Outcome {
    let (_scratch, path) = Scratch::with_path();
    fs::write(&path, "as it was")?;
    for (settings, request) in
        [(&[][..], Lock("a", "g")), (&[], Acquire("a")), (&[Shared], Acquire("a"))]
    {
        let mut holder = Peer::with(&path, settings);
        let mut other = Peer::on(&path);
        holder.ok(request);
        assert!(!other.finds_free("a"));
        holder.kill();
        assert!(other.finds_free("a"));
        assert_eq!(fs::read_to_string(&path)?, "as it was");
    }
    Ok(())
}

#[test]
fn l7_a_waiter_gets_a_killed_holders_lock() {
    let (_scratch, path) = Scratch::with_path();
    for options in [&[][..], &[Timeout(600_000)]] {
        let mut holder = Peer::on(&path);
        let mut waiter = Peer::with(&path, options);
        holder.acquire("a");
        waiter.start_waiting("w", Lock("a", "g"), &path);
        holder.kill();
        waiter.wait_ok("w");
    }
}

#[test]
fn l7_a_killed_waiter_does_not_block_others() {
    let (_scratch, path, [mut holder]) = peers();
    holder.acquire("a");
    let mut killed = Peer::with(&path, &[Timeout(600_000)]);
    killed.start_waiting("w", Acquire("a"), &path);
    let mut next = Peer::with(&path, &[Timeout(600_000)]);
    next.start_waiting("w", Acquire("a"), &path);
    killed.kill();
    next.assert_waiting("w");
    assert_eq!(holder.state("a"), HeldExclusive);
    holder.release("a");
    next.wait_ok("w");
}

/// A process exits without releasing its holds. The lock is free afterwards.
#[test]
fn l7_a_holder_that_exits_leaves_the_lock_free() {
    let scratch = Scratch::new();
    let mut holder = Peer::with(scratch.lock_path(), &[Shared]);
    for command in [Acquire("a"), Lock("a", "g"), Lock("a", "forgotten"), ForgetGuard("forgotten")]
    {
        holder.ok(command);
    }
    assert_eq!(holder.state("a"), HeldShared(3));
    let mut other = Peer::on(scratch.lock_path());
    assert!(!other.finds_free("a"));
    holder.end();
    assert!(other.finds_free("a"));
}

#[test]
fn l7_a_peer_killed_at_any_time_leaves_the_lock_free() -> Outcome {
    let (_scratch, path) = Scratch::with_path();
    fs::write(&path, "as it was")?;
    let mut other = Peer::on(&path);
    for _ in 0..20 {
        let mut peer = Peer::on(&path);
        peer.start("w", repeat(1_000_000_000, [Acquire("a"), Release("a")]));
        // The test tries without waiting: a process that re-acquires immediately does not have to let a waiter in.
        until("the peer holds the lock", || !other.finds_free("a"));
        peer.kill();
        assert!(other.finds_free("a"));
        assert_eq!(fs::read_to_string(&path)?, "as it was");
    }
    Ok(())
}

/// The peer is killed before each of its system calls on the lock file.
#[cfg(target_os = "linux")]
#[test]
fn l7_a_peer_killed_before_any_system_call_leaves_the_lock_free() -> Outcome {
    for existed in [true, false] {
        // The first run lists the calls.
        let mut names = vec![];
        for nth in 0.. {
            let (_scratch, path) = Scratch::with_path();
            if existed {
                fs::write(&path, "as it was")?;
            }
            let only = format!("--trace-path={}", path.display());
            let kill = names[..nth].last().map(|name: &String| {
                // strace counts the calls of each name separately.
                let number = names[..nth].iter().filter(|&it| it == name).count();
                format!("--inject={name}:signal=SIGKILL:when={number}")
            });
            let options: Vec<&str> = [&*only].into_iter().chain(kill.as_deref()).collect();
            let Some(mut strace) = Strace::spawn(&options) else { return Ok(()) };
            strace.handle("a", &path, &[]);
            let survived = strace.tries_to(repeat(2, [Acquire("a"), Release("a")])).is_some();
            assert_eq!(survived, nth == 0, "the peer's survival of {kill:?}");
            let trace = strace.end();
            if nth == 0 {
                names = trace.calls().map(|call| name_of(call).into()).collect();
            }

            let mut other = Peer::on(&path);
            assert!(other.finds_free("a"), "{kill:?}");
            let contents = fs::read_to_string(&path)?;
            assert_eq!(contents, if existed { "as it was" } else { "" }, "{kill:?}");
            if nth == names.len() {
                break;
            }
        }
        // First turn: stat, open (and a second open that creates the file), fstat, fstatfs, lseek, flock, stat; then lseek and
        // flock to unlock. Second turn: lseek, flock, stat; lseek, flock.
        assert_eq!(names.len(), if existed { 14 } else { 15 }, "{names:?}");
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn name_of(call: &str) -> &str {
    call.split('(').next().unwrap_or_default()
}
