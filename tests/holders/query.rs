//! `Lock::status` and `system_locks`: what they report, and that a query changes nothing (L4, L8, L13).

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime};

use locket::{Owner, OwnerKind};

use super::{holder, pids, readers};
use crate::support::prelude::*;

#[test]
fn l8_a_missing_file_has_no_holder() -> Outcome {
    let scratch = Scratch::new();
    // A path below a file that is not a directory is missing, too.
    fs::write(scratch.join("file"), "")?;
    for name in ["test.lock", "missing/test.lock", "file/test.lock"] {
        let path = scratch.join(name);
        let status = lock_file(&path).status()?;
        assert_eq!((status.is_held(), status.waiters.len()), (Some(false), 0), "{name}");
        assert!(!path.exists());
    }
    assert_eq!(fs::read_dir(scratch.path())?.count(), 1, "only the file should be there");
    Ok(())
}

#[test]
fn l8_a_free_lock_has_no_holder() -> Outcome {
    let (scratch, _, [mut peer]) = peers();
    peer.acquire("a");
    peer.release("a");
    let status = scratch.lock().status()?;
    // In a container the answer is unknown: a process outside it may hold the lock.
    let expected = if is_container() { None } else { Some(false) };
    assert_eq!(
        (status.is_held(), status.holders.len(), status.waiters.len()),
        (expected, 0, 0),
        "{status:?}"
    );
    Ok(())
}

#[test]
fn a_holder_has_pid_name_user_and_start() -> Outcome {
    let scratch = Scratch::new();
    let before = SystemTime::now();
    let mut peer = Peer::on(scratch.lock_path());
    peer.acquire("a");
    let holder = holder(&scratch.lock_path());
    assert_eq!(holder.pid, peer.pid());
    assert!(!holder.is_this);
    assert_eq!(holder.name.as_deref(), Some("locket-peer"));
    let user = String::from_utf8(Command::new("id").arg("-un").output()?.stdout)?;
    assert_eq!(holder.user.as_deref(), Some(user.trim()));
    // The kernel counts start times in ticks of 10 ms; this is two.
    let tick = Duration::from_millis(20);
    let started = holder.started.ok_or("the start time is missing")?;
    assert!(started + tick >= before && started <= SystemTime::now() + tick, "{holder:?}");
    Ok(())
}

#[test]
fn every_reader_is_listed() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let readers: [Peer; 5] = readers(&path);
    let mut holders = pids(&scratch.lock().status()?.holders);
    holders.sort_by_key(|&(_, pid)| pid);
    let mut expected: Vec<_> = readers.iter().map(|it| (Mode::Shared, it.pid())).collect();
    expected.sort_by_key(|&(_, pid)| pid);
    assert_eq!(holders, expected);
    Ok(())
}

#[test]
fn l4_waiters_are_listed_in_order_and_keep_it() -> Outcome {
    let (scratch, path, [mut holder]) = peers();
    holder.acquire("a");
    let modes = [Mode::Exclusive, Mode::Exclusive, Mode::Shared, Mode::Exclusive];
    let mut waiters = vec![];
    for mode in modes {
        let settings = [Timeout(60_000), Shared];
        let settings = if mode == Mode::Shared { &settings[..] } else { &settings[..1] };
        let mut waiter = Peer::with(&path, settings);
        waiter.start_waiting("w", Acquire("a"), &path);
        waiters.push(waiter);
    }
    let expected: Vec<_> = modes.into_iter().zip(waiters.iter().map(Peer::pid)).collect();
    for _ in 0..20 {
        let status = scratch.lock().status()?;
        assert_eq!(pids(&status.holders), [(Mode::Exclusive, holder.pid())]);
        assert_eq!(pids(&status.waiters), expected);
    }
    let mut last = holder;
    for mut waiter in waiters {
        last.release("a");
        waiter.wait_ok("w");
        assert_eq!(self::holder(&path).pid, waiter.pid());
        last = waiter;
    }
    Ok(())
}

/// Three processes pass the lock around. The status names one of them or an unknown process, never another process.
#[test]
fn l12_no_other_process_is_ever_named() {
    let (scratch, path) = Scratch::with_path();
    let mut peers = [0; 3].map(|_| Peer::on(&path));
    for peer in &mut peers {
        peer.start("w", repeat(1_000_000_000, [Acquire("a"), Release("a")]));
    }
    let pids = peers.each_ref().map(Peer::pid);
    // The number of processes that one status names.
    let named = || {
        let status = scratch.lock().status().expect("the status should be available");
        let is_named = |owner: &&Owner| match &owner.kind {
            OwnerKind::Process(process) => {
                assert!(pids.contains(&process.pid), "{status:?}");
                true
            }
            _ => false,
        };
        status.holders.iter().chain(&status.waiters).filter(is_named).count()
    };
    let total: usize = (0..200).map(|_| named()).sum();
    // On a busy machine every query may find the lock free or changing hands. Then nothing is checked yet.
    until("a process is named", || total + named() > 0);
    for peer in &mut peers {
        peer.stop("w");
        peer.wait_ok("w");
    }
}

/// A process whose first thread has ended still has its descriptors.
#[test]
fn l12_a_process_whose_first_thread_has_ended_is_named() -> Outcome {
    const PROGRAM: &str = "import ctypes, fcntl, os, sys, threading\n\
        def hold():\n    print(flush=True)\n    sys.stdin.read()\n    os._exit(0)\n\
        file = open(sys.argv[1], 'w')\n\
        fcntl.flock(file, fcntl.LOCK_EX)\n\
        threading.Thread(target=hold).start()\n\
        ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)\n";
    let (_scratch, path) = Scratch::with_path();
    let spawned = Command::new("python3")
        .args(["-c", PROGRAM])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = spawned else {
        skip_this("python3: not installed");
        return Ok(());
    };
    let mut line = String::new();
    BufReader::new(python.stdout.as_mut().ok_or("stdout is not piped")?).read_line(&mut line)?;
    until("the first thread has ended", || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", python.id()));
        stat.is_ok_and(|stat| stat.contains(") Z "))
    });
    assert_eq!(holder(&path).pid, python.id());
    drop(python.stdin.take());
    python.wait()?;
    Ok(())
}

#[test]
fn a_waiting_thread_is_listed_as_its_process() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let held = scratch.lock().lock()?;
    thread::scope(|threads| {
        threads.spawn(|| scratch.lock().lock());
        until_waiting(process::id(), &path, 1);
        let waiting = scratch.lock().status().map(|status| status.waiters);
        drop(held);
        assert_eq!(pids(&waiting?), [(Mode::Exclusive, process::id())]);
        Ok(())
    })
}

#[test]
fn a_query_refuses_a_link_that_is_not_followed() {
    let scratch = Scratch::new();
    let link = scratch.join("link");
    std::os::unix::fs::symlink(scratch.lock_path(), &link)
        .expect("the test should own the directory");
    let mut peer = Peer::with(&link, &[FollowLinks(false)]);
    let refusal = peer.refuses(Status("a"));
    assert_eq!(refusal.action, Action::Query);
    let reason = "it is a symbolic link, which this handle does not follow";
    let what = crate::support::words_of(libc::ELOOP);
    let message = format!("cannot query the holders of {}: {what}: {reason}", link.display());
    assert_eq!(refusal.message, message);
}

#[test]
fn l12_another_user_sees_that_the_lock_is_held() {
    if !has_root() {
        return;
    }
    let scratch = Scratch::sticky();
    let path = scratch.lock_path();
    let mut holder_peer = Peer::on(&path);
    holder_peer.become_user(1234);
    holder_peer.acquire("a");
    assert_eq!(holder(&path).user.as_deref(), Some("1234"));
    let mut other = Peer::querying(&path);
    other.become_user(4321);
    let pid = holder_peer.pid();
    let status = format!("exclusive an unknown process (taken by pid {pid}) <- none");
    assert_eq!(other.status("a"), status);
    // Another user cannot check whether that process still holds the lock at the deadline.
    other.refuses(Acquire("a")).assert_ends(": held by another process");
}

#[test]
fn l13_a_query_leaves_nothing_behind() {
    let (scratch, _, [mut holder, mut peer]) = peers();
    peer.handle("missing", scratch.join("missing"), &[]);
    holder.acquire("a");
    let (descriptors, threads) = (peer.descriptors(), peer.threads());
    peer.repeat(100, [Status("a"), Status("missing")]);
    assert_eq!((peer.descriptors(), peer.threads()), (descriptors, threads));
    assert_eq!(peer.state("a"), Unlocked);
}

#[test]
fn system_locks_lists_all_locks() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let _readers: [Peer; 2] = readers(&path);
    let mut waiter = Peer::with(&path, &[Timeout(60_000)]);
    waiter.start_waiting("w", Acquire("a"), &path);
    let locks_of = |path: &Path| -> Outcome<Vec<locket::SystemLock>> {
        let mut locks = locket::system_locks()?;
        locks.retain(|lock| lock.path.as_deref() == Some(path));
        Ok(locks)
    };
    let locks = locks_of(&path)?;
    let [lock] = &locks[..] else { return Err(format!("not one lock: {locks:?}").into()) };
    assert!(!lock.deleted);
    assert_eq!(lock.inode, std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path)?));
    let (mut own, mut listed) = (scratch.lock().status()?, lock.status.clone());
    for status in [&mut own, &mut listed] {
        pids(&status.holders);
        status.holders.sort_by_key(|owner| owner.kind.to_string());
        // The start time is computed from two clocks at each query, so it may differ slightly.
        for owner in status.holders.iter_mut().chain(&mut status.waiters) {
            let OwnerKind::Process(process) = &mut owner.kind else {
                panic!("not a process: {owner:?}")
            };
            process.started = None;
        }
    }
    // `status` looks at the file's mount and `system_locks` at its device. Here both must agree.
    assert_eq!(own, listed);
    assert_eq!(pids(&listed.waiters), [(Mode::Exclusive, waiter.pid())]);

    fs::rename(&path, scratch.join("test.lock (deleted)"))?;
    let locks = locks_of(&scratch.join("test.lock (deleted)"))?;
    assert!(matches!(&locks[..], [lock] if !lock.deleted), "{locks:?}");
    fs::rename(scratch.join("test.lock (deleted)"), &path)?;
    fs::remove_file(&path)?;
    let locks = locks_of(&path)?;
    assert!(matches!(&locks[..], [lock] if lock.deleted), "{locks:?}");
    Ok(())
}
