//! Who holds a lock, and who waits for it.
//!
//! - L8, L13: to ask creates nothing and leaves nothing behind.
//! - L4: to ask disturbs nobody in the kernel's queue.
//! - L12: a timeout says who held the lock; nobody is named who does not, and what is not told is
//!   not guessed at.
//!
//! Whose holders and files are hard to tell apart has a test of its own, `holders_abroad`.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{self, Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime};

use locket::{Claim, Claimant, LockError, Mode, Process, lock_file};
use support::{Outcome, PATIENCE, Peer, Scratch, is_root, skip, until, until_waiting};

/// The processes that hold or wait, and how; all of them must be told.
#[track_caller]
fn pids(claims: &[Claim]) -> Vec<(Mode, u32)> {
    let pid = |claim: &Claim| match (&claim.by, claim.mode) {
        (Claimant::Process(process), Some(mode)) => (mode, process.pid),
        _ => panic!("who is {claim:?}?"),
    };
    claims.iter().map(pid).collect()
}

/// The only process that holds.
#[track_caller]
fn holder(path: &Path) -> Process {
    let holders = lock_file(path).holders().expect("the system should be able to tell");
    match &holders.held[..] {
        [Claim { by: Claimant::Process(process), .. }] => process.clone(),
        held => panic!("one process should hold the lock: {held:?}"),
    }
}

#[test]
fn l8_nobody_holds_what_is_missing() -> Outcome {
    let scratch = Scratch::new();
    for path in [scratch.lock_path(), scratch.join("missing/test.lock")] {
        assert_eq!(lock_file(&path).holders()?, locket::Holders::default());
        assert!(!path.exists());
    }
    assert_eq!(fs::read_dir(scratch.path())?.count(), 0);
    Ok(())
}

#[test]
fn l8_a_free_lock_is_nobody_s() -> Outcome {
    let scratch = Scratch::new();
    let mut peer = Peer::with_handle("a", scratch.lock_path(), "");
    peer.ok("acquire a");
    peer.ok("release a");
    assert_eq!(scratch.lock().holders()?, locket::Holders::default());
    Ok(())
}

#[test]
fn what_is_told_of_a_holder() -> Outcome {
    let scratch = Scratch::new();
    let before = SystemTime::now();
    let mut peer = Peer::with_handle("a", scratch.lock_path(), "");
    peer.ok("acquire a");
    let holder = holder(&scratch.lock_path());
    assert_eq!(holder.pid, peer.pid());
    assert!(!holder.is_this);
    assert_eq!(holder.name.as_deref(), Some("locket-peer"));
    let program = env!("CARGO_BIN_EXE_locket-peer").into();
    assert_eq!(holder.command_line, Some(vec![program]));
    let user = String::from_utf8(Command::new("id").arg("-un").output()?.stdout)?;
    assert_eq!(holder.user.as_deref(), Some(user.trim()));
    // The kernel counts in ticks of 10 ms.
    let tick = Duration::from_millis(20);
    let started = holder.started.ok_or("when did it start?")?;
    assert!(started + tick >= before && started <= SystemTime::now() + tick, "{holder:?}");
    Ok(())
}

#[test]
fn every_reader_is_told() -> Outcome {
    let scratch = Scratch::new();
    let mut readers: Vec<_> =
        (0..5).map(|_| Peer::with_handle("a", scratch.lock_path(), "shared")).collect();
    for reader in &mut readers {
        reader.ok("acquire a");
    }
    let mut told = pids(&scratch.lock().holders()?.held);
    told.sort_by_key(|&(_, pid)| pid);
    let mut expected: Vec<_> = readers.iter().map(|it| (Mode::Shared, it.pid())).collect();
    expected.sort_by_key(|&(_, pid)| pid);
    assert_eq!(told, expected);
    Ok(())
}

#[test]
fn l4_waiters_are_told_in_order_and_keep_it() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::with_handle("a", &path, "");
    holder.ok("acquire a");
    let modes = [Mode::Exclusive, Mode::Exclusive, Mode::Shared, Mode::Exclusive];
    let mut waiters = vec![];
    for mode in modes {
        let options = if mode == Mode::Shared { "shared timeout=60000" } else { "timeout=60000" };
        let mut waiter = Peer::with_handle("a", &path, options);
        waiter.start_waiting("w", "acquire a", &path);
        waiters.push(waiter);
    }
    let expected: Vec<_> = modes.into_iter().zip(waiters.iter().map(Peer::pid)).collect();
    for _ in 0..20 {
        let holders = scratch.lock().holders()?;
        assert_eq!(pids(&holders.held), [(Mode::Exclusive, holder.pid())]);
        assert_eq!(pids(&holders.waiting), expected);
    }
    let mut last = holder;
    for mut waiter in waiters {
        last.ok("release a");
        waiter.wait_ok("w");
        assert_eq!(self::holder(&path).pid, waiter.pid());
        last = waiter;
    }
    Ok(())
}

#[test]
fn l12_a_timeout_names_the_holder() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::with_handle("a", &path, "");
    holder.ok("acquire a");
    for options in ["timeout=1000", "timeout=1000 shared", "timeout=1000 without_signals"] {
        let refusal = Peer::with_handle("a", &path, options).refused("acquire a");
        let start = format!("couldn't lock {} within 1", path.display());
        let end = format!("s: held by pid {} (locket-peer)", holder.pid());
        let message = refusal.message;
        assert!(message.starts_with(&start) && message.ends_with(&end), "{message}");
    }
}

#[test]
fn l12_a_timeout_counts_many_holders() {
    let scratch = Scratch::new();
    let mut readers: Vec<_> =
        (0..5).map(|_| Peer::with_handle("a", scratch.lock_path(), "shared")).collect();
    for reader in &mut readers {
        reader.ok("acquire a");
    }
    let message =
        Peer::with_handle("a", scratch.lock_path(), "timeout=1000").refused("acquire a").message;
    assert_eq!(message.matches(" (locket-peer)").count(), 3, "{message}");
    assert!(message.ends_with(" (locket-peer) and 2 more"), "{message}");
}

/// To ask takes longer than that.
#[test]
fn l12_a_short_timeout_names_nobody() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::with_handle("a", &path, "");
    holder.ok("acquire a");
    let message = Peer::with_handle("a", &path, "timeout=99").refused("acquire a").message;
    assert!(message.ends_with("ms"), "{message}");
    let message = Peer::with_handle("a", &path, "").refused("try_acquire a").message;
    assert!(message.ends_with("it is held elsewhere"), "{message}");
}

#[test]
fn this_process_is_told_as_such() -> Outcome {
    let scratch = Scratch::new();
    let _held = scratch.lock().lock()?;
    let holder = holder(&scratch.lock_path());
    assert!(holder.is_this);
    assert_eq!(holder.pid, process::id());
    let error = scratch.lock().timeout(Duration::from_secs(1)).lock().expect_err("it is held");
    let end = format!(": held by this process (pid {})", process::id());
    assert!(error.to_string().ends_with(&end), "{error}");
    let LockError::TimedOut { holders, .. } = error else { return Err(error.into()) };
    assert_eq!(pids(&holders.held), [(Mode::Exclusive, process::id())]);
    Ok(())
}

/// An observer sees the others' wait and the one that it observes.
#[test]
fn an_observer_may_ask() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::with_handle("a", &path, "");
    let mut waiter = Peer::with_handle("a", &path, "timeout=60000");
    holder.ok("acquire a");
    waiter.start_waiting("w", "acquire a", &path);
    let told = Arc::new(Mutex::new(None));
    let tell = Arc::clone(&told);
    let observer = move |wait: &locket::Wait<'_>| {
        // It is called when the wait begins, which may be before it is in the queue.
        match wait.holders() {
            Ok(holders) if holders.waiting.len() < 2 && wait.waited() < PATIENCE => {
                ControlFlow::Continue(())
            }
            holders => {
                *tell.lock().expect("nobody panics with it") = Some(holders);
                ControlFlow::Break(())
            }
        }
    };
    let lock = lock_file(&path).on_wait(observer).observe_every(Duration::from_millis(1));
    assert!(matches!(lock.lock(), Err(LockError::GivenUp { .. })));
    let holders =
        told.lock().expect("nobody panics with it").take().ok_or("nothing was told")??;
    assert_eq!(pids(&holders.held), [(Mode::Exclusive, holder.pid())]);
    let waiting = [waiter.pid(), process::id()].map(|pid| (Mode::Exclusive, pid));
    assert_eq!(pids(&holders.waiting), waiting);
    Ok(())
}

/// A shell that holds the lock as shells do: flock(1) takes it, on the shell's descriptor, and
/// ends.
struct Shell(Child);

impl Shell {
    /// `None` if there is no flock(1). Afterwards it runs the script, with the lock on 9.
    #[track_caller]
    fn holding(check: &str, path: &Path, script: &str) -> Option<Self> {
        if Command::new("flock").arg("--version").output().is_err() {
            skip(check, "flock(1) is missing");
            return None;
        }
        let script = format!("exec 9>\"$0\"; flock 9; {script}; echo held; read end");
        let mut shell = Command::new("sh")
            .args(["-c", &script])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is always a shell");
        let mut line = String::new();
        let output = shell.stdout.as_mut().expect("it is piped");
        BufReader::new(output).read_line(&mut line).expect("the shell should tell");
        assert_eq!(line, "held\n");
        Some(Self(shell))
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The number in the system's table.
fn taker(path: &Path) -> Result<u32, Box<dyn std::error::Error>> {
    use std::os::unix::fs::MetadataExt;
    let inode = format!(":{} ", fs::metadata(path)?.ino());
    let table = fs::read_to_string("/proc/locks")?;
    let line = table.lines().find(|line| line.contains(&inode)).ok_or("nobody has the lock")?;
    Ok(line.split_whitespace().nth(4).ok_or("a line without a number")?.parse()?)
}

#[test]
fn l12_a_shell_holds_what_flock_took_for_it() -> Outcome {
    let check = "l12_a_shell_holds_what_flock_took_for_it";
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let Some(shell) = Shell::holding(check, &path, ":") else { return Ok(()) };
    assert_ne!(taker(&path)?, shell.pid(), "the shell took it itself: this checks nothing");
    let holder = holder(&path);
    assert_eq!(holder.pid, shell.pid());
    assert_eq!(holder.name.as_deref(), Some("sh"));
    // In a hurry it may not be found, and is not guessed.
    let message = Peer::with_handle("a", &path, "timeout=1000").refused("acquire a").message;
    let found = format!(": held by pid {} (sh)", shell.pid());
    let told = format!(": held by heirs of pid {}, which has ended", taker(&path)?);
    assert!(message.ends_with(&found) || message.ends_with(&told), "{message}");
    Ok(())
}

#[test]
fn l12_all_who_share_a_hold_are_told() -> Outcome {
    let check = "l12_all_who_share_a_hold_are_told";
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let script = "sleep 60 >/dev/null & echo $! >\"$0\"";
    let Some(shell) = Shell::holding(check, &path, script) else { return Ok(()) };
    let sleeper = fs::read_to_string(&path)?.trim().parse()?;
    let mut told = pids(&scratch.lock().holders()?.held);
    told.sort_by_key(|&(_, pid)| pid);
    let mut expected = [shell.pid(), sleeper].map(|pid| (Mode::Exclusive, pid));
    expected.sort_by_key(|&(_, pid)| pid);
    assert_eq!(told, expected);

    drop(shell);
    assert_eq!(holder(&path).pid, sleeper);
    support::kill(&sleeper.to_string());
    until("the lock is free", || lock_file(&path).try_lock().is_ok());
    Ok(())
}

/// A child that holds what its living parent took, and has closed.
#[test]
fn l12_a_taker_without_the_lock_is_not_named() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut peer = Peer::spawn();
    peer.ok(&format!("open_foreign f {}", support::word(&path)));
    peer.ok("lock_foreign f exclusive");
    let child: u32 = peer.ok("fork c").parse().expect("a process id is a number");
    // As long as the taker has it, it is the taker's.
    assert_eq!(holder(&path).pid, peer.pid());
    peer.ok("close_foreign f");
    assert_eq!(holder(&path).pid, child);
    peer.ok("kill_child c");
    assert!(lock_file(&path).holders().expect("it can be told").held.is_empty());
}

/// Another process is given the number of the one that took the lock.
#[test]
fn l12_a_number_used_again_is_not_named() -> Outcome {
    let check = "l12_a_number_used_again_is_not_named";
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let Some(shell) = Shell::holding(check, &path, ":") else { return Ok(()) };
    let taker = taker(&path)?;
    let before = (taker - 1).to_string();
    let double = (0..100).find_map(|_| {
        fs::write("/proc/sys/kernel/ns_last_pid", &before).ok()?;
        // Others may be faster.
        let peer = Peer::spawn();
        (peer.pid() == taker).then_some(peer)
    });
    let Some(double) = double else {
        skip(check, "the system does not give a number that is asked for");
        return Ok(());
    };
    assert_eq!(holder(&path).pid, shell.pid());
    let message = Peer::with_handle("a", &path, "timeout=1000").refused("acquire a").message;
    assert!(!message.contains(&format!("held by pid {} ", double.pid())), "{message}");
    Ok(())
}

/// A lock that goes from hand to hand is told to be whose it is, or somebody's; never another's.
#[test]
fn l12_nobody_else_is_ever_named() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut peers = [0; 3].map(|_| Peer::with_handle("a", &path, ""));
    for peer in &mut peers {
        peer.ok("start w repeat 1000000 acquire a ; release a");
    }
    let pids = peers.each_ref().map(Peer::pid);
    let mut named = 0;
    for _ in 0..200 {
        let holders = scratch.lock().holders()?;
        for claim in holders.held.iter().chain(&holders.waiting) {
            if let Claimant::Process(process) = &claim.by {
                assert!(pids.contains(&process.pid), "{holders:?}");
                named += 1;
            }
        }
    }
    assert!(named > 0, "this checks nothing");
    for peer in &mut peers {
        peer.ok("stop w");
        peer.wait_ok("w");
    }
    Ok(())
}

/// A process whose first thread has ended has its descriptors all the same.
#[test]
fn l12_a_process_outlives_its_first_thread() -> Outcome {
    const PROGRAM: &str = "import ctypes, fcntl, os, sys, threading\n\
        def hold():\n    print(flush=True)\n    sys.stdin.read()\n    os._exit(0)\n\
        file = open(sys.argv[1], 'w')\n\
        fcntl.flock(file, fcntl.LOCK_EX)\n\
        threading.Thread(target=hold).start()\n\
        ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)\n";
    let check = "l12_a_process_outlives_its_first_thread";
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let spawned = Command::new("python3")
        .args(["-c", PROGRAM])
        .arg(&path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = spawned else {
        skip(check, "python3 is missing");
        return Ok(());
    };
    let mut line = String::new();
    BufReader::new(python.stdout.as_mut().ok_or("it is piped")?).read_line(&mut line)?;
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
fn a_thread_that_waits_is_its_process() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let held = scratch.lock().lock()?;
    thread::scope(|threads| {
        threads.spawn(|| scratch.lock().lock());
        until_waiting(process::id(), &path, 1);
        let waiting = scratch.lock().holders().map(|holders| holders.waiting);
        drop(held);
        assert_eq!(pids(&waiting?), [(Mode::Exclusive, process::id())]);
        Ok(())
    })
}

#[test]
fn a_link_that_is_not_followed_is_refused() {
    let scratch = Scratch::new();
    let link = scratch.join("link");
    std::os::unix::fs::symlink(scratch.lock_path(), &link).expect("the directory is ours");
    let mut peer = Peer::with_handle("a", &link, "no_follow");
    let refusal = peer.refused("holders a");
    assert_eq!(refusal.class, "ask");
    let reason = "it is a symbolic link, which this handle does not follow";
    let message = format!("couldn't ask who holds {}: {reason}", link.display());
    assert_eq!(refusal.message, message);
}

#[test]
fn l12_users_see_each_other_s_holds() {
    let check = "l12_users_see_each_other_s_holds";
    if !is_root() {
        return skip(check, "only root may become somebody else");
    }
    let scratch = Scratch::sticky();
    let path = scratch.lock_path();
    let mut one = Peer::with_handle("a", &path, "");
    one.ok("become 1234");
    one.ok("acquire a");
    assert_eq!(holder(&path).user.as_deref(), Some("1234"));
    let mut other = Peer::with_handle("a", &path, "timeout=1000");
    other.ok("become 4321");
    let told = format!("exclusive pid {} (locket-peer) <- nobody", one.pid());
    assert_eq!(other.ok("holders a"), told);
    let message = other.refused("acquire a").message;
    let end = format!(": held by pid {} (locket-peer)", one.pid());
    assert!(message.ends_with(&end), "{message}");
}

/// Who may not look into the shell is told as much as is known.
#[test]
fn l12_heirs_that_may_not_be_looked_into() -> Outcome {
    let check = "l12_heirs_that_may_not_be_looked_into";
    if !is_root() {
        skip(check, "only root may become somebody else");
        return Ok(());
    }
    let scratch = Scratch::sticky();
    let path = scratch.lock_path();
    let Some(_shell) = Shell::holding(check, &path, ":") else { return Ok(()) };
    let mut peer = Peer::with_handle("a", &path, "timeout=1000");
    peer.ok("become 1234");
    let heirs = format!("heirs of pid {}, which has ended", taker(&path)?);
    assert_eq!(peer.ok("holders a"), format!("exclusive {heirs} <- nobody"));
    let message = peer.refused("acquire a").message;
    assert!(message.ends_with(&format!(": held by {heirs}")), "{message}");
    Ok(())
}

#[test]
fn l13_asking_leaves_nothing_behind() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut holder = Peer::with_handle("a", &path, "");
    let mut peer = Peer::with_handle("a", &path, "");
    peer.handle("missing", scratch.join("missing"), "");
    holder.ok("acquire a");
    let (descriptors, threads) = (peer.descriptors(), peer.threads());
    peer.ok("repeat 100 holders a ; holders missing");
    assert_eq!((peer.descriptors(), peer.threads()), (descriptors, threads));
    assert_eq!(peer.ok("state a"), "unlocked");
}

#[test]
fn all_locks_in_use() -> Outcome {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut readers = [0; 2].map(|_| Peer::with_handle("a", &path, "shared"));
    for reader in &mut readers {
        reader.ok("acquire a");
    }
    let mut waiter = Peer::with_handle("a", &path, "timeout=60000");
    waiter.start_waiting("w", "acquire a", &path);
    let of = |path: &Path| -> Outcome<Vec<locket::LockInUse>> {
        let mut locks = locket::locks_in_use()?;
        locks.retain(|lock| lock.path.as_deref() == Some(path));
        Ok(locks)
    };
    let locks = of(&path)?;
    let [lock] = &locks[..] else { return Err(format!("one lock: {locks:?}").into()) };
    assert!(!lock.deleted);
    assert_eq!(lock.inode, std::os::unix::fs::MetadataExt::ino(&fs::metadata(&path)?));
    let (mut alone, mut among) = (scratch.lock().holders()?, lock.holders.clone());
    for holders in [&mut alone, &mut among] {
        pids(&holders.held);
        holders.held.sort_by_key(|claim| claim.by.to_string());
        // It is reckoned from two clocks, each time anew.
        for claim in holders.held.iter_mut().chain(&mut holders.waiting) {
            let Claimant::Process(process) = &mut claim.by else { panic!("who is {claim:?}?") };
            process.started = None;
        }
    }
    assert_eq!(alone, among);
    assert_eq!(pids(&among.waiting), [(Mode::Exclusive, waiter.pid())]);

    fs::rename(&path, scratch.join("test.lock (deleted)"))?;
    let locks = of(&scratch.join("test.lock (deleted)"))?;
    assert!(matches!(&locks[..], [lock] if !lock.deleted), "{locks:?}");
    fs::rename(scratch.join("test.lock (deleted)"), &path)?;
    fs::remove_file(&path)?;
    let locks = of(&path)?;
    assert!(matches!(&locks[..], [lock] if lock.deleted), "{locks:?}");
    Ok(())
}
