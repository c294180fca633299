//! L12: the process that took a lock is not always the process that holds it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{holder, pids};
use crate::support::prelude::*;

/// A shell that holds the lock in the usual way of shells: flock(1) takes it on the shell's descriptor and exits.
struct Shell {
    process: Child,
    /// The process that took the lock.
    taker: u32,
}

impl Shell {
    /// Starts a shell that takes the lock on descriptor 9 and then runs the script. Returns `None` if there is no
    /// flock(1).
    #[track_caller]
    fn holding(path: &Path, script: &str) -> Option<Self> {
        if Command::new("flock").arg("--version").output().is_err() {
            skip_this("flock(1): not installed");
            return None;
        }
        let take = "exec 9>\"$0\"; flock 9 & taker=$!; wait $taker";
        let script = format!("{take}; {script}; echo $taker; read end");
        let mut process = Command::new("sh")
            .args(["-c", &script])
            .arg(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh should start");
        let mut line = String::new();
        let output = process.stdout.as_mut().expect("stdout is piped");
        BufReader::new(output).read_line(&mut line).expect("the shell should print a line");
        let taker = line.trim().parse().expect("the shell prints the taker's process id");
        Some(Self { process, taker })
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

#[test]
fn l12_a_shell_holds_the_lock_that_flock_took() {
    let (_scratch, path) = Scratch::with_path();
    let Some(shell) = Shell::holding(&path, ":") else { return };
    let holder = holder(&path);
    assert_eq!(holder.pid, shell.pid());
    assert_eq!(holder.name.as_deref(), Some("sh"));
    let end = format!(": held by pid {} (sh)", shell.pid());
    Peer::querying(&path).times_out_naming(&end);
}

#[test]
fn l12_all_processes_that_share_a_hold_are_listed() -> Outcome {
    let (scratch, path) = Scratch::with_path();
    let script = "sleep 60 >/dev/null & echo $! >\"$0\"";
    let Some(shell) = Shell::holding(&path, script) else { return Ok(()) };
    let sleeper = fs::read_to_string(&path)?.trim().parse()?;
    let mut holders = pids(&scratch.lock().status()?.holders);
    holders.sort_by_key(|&(_, pid)| pid);
    let mut expected = [shell.pid(), sleeper].map(|pid| (Mode::Exclusive, pid));
    expected.sort_by_key(|&(_, pid)| pid);
    assert_eq!(holders, expected);

    drop(shell);
    assert_eq!(holder(&path).pid, sleeper);
    kill(sleeper);
    until("the lock is free", || lock_file(&path).try_lock().is_ok());
    Ok(())
}

/// A shell duplicates a descriptor when it redirects the original and restores it later.
#[test]
fn l12_two_descriptors_of_a_hold_are_one_holder() {
    let (_scratch, path) = Scratch::with_path();
    let Some(shell) = Shell::holding(&path, "exec 8>&9") else { return };
    assert_eq!(holder(&path).pid, shell.pid());
}

/// The parent takes the lock, forks, and closes its descriptor. Its child holds the lock.
#[test]
fn l12_a_taker_without_the_lock_is_not_named() {
    let (_scratch, path) = Scratch::with_path();
    let mut peer = Peer::spawn();
    peer.open_foreign("f", &path);
    peer.lock_foreign("f", Mode::Exclusive);
    let child = peer.fork("c");
    // While the taker has the descriptor open, the taker counts as the holder.
    assert_eq!(holder(&path).pid, peer.pid());
    peer.close_foreign("f");
    assert_eq!(holder(&path).pid, child);
    peer.kill_child("c");
    assert!(lock_file(&path).status().expect("the status should be available").holders.is_empty());
}

/// A new process gets the process id of the one that took the lock.
#[test]
fn l12_a_reused_process_id_is_not_named() {
    let scratch = Scratch::sticky();
    let path = scratch.lock_path();
    let Some(shell) = Shell::holding(&path, ":") else { return };
    let before = (shell.taker - 1).to_string();
    let double = (0..100).find_map(|_| {
        fs::write("/proc/sys/kernel/ns_last_pid", &before).ok()?;
        // Another process may start in between and get that id.
        let peer = Peer::spawn();
        (peer.pid() == shell.taker).then_some(peer)
    });
    let Some(double) = double else {
        skip_this("ns_last_pid: this system does not give a process the requested id");
        return;
    };
    assert_eq!(holder(&path).pid, shell.pid());
    let end = format!(": held by pid {} (sh)", shell.pid());
    Peer::querying(&path).times_out_naming(&end);

    // Another user may inspect neither process. It learns only which process id took the lock.
    if !has_root() {
        return;
    }
    let mut stranger = Peer::querying(&path);
    stranger.become_user(1234);
    let status = format!("exclusive an unknown process (taken by pid {}) <- none", double.pid());
    assert_eq!(stranger.status("a"), status);
    stranger.refuses(Acquire("a")).assert_ends(": held by another process");
}

/// A user that may not inspect the shell learns only what the table of locks shows.
#[test]
fn l12_a_holder_that_may_not_be_inspected_is_not_named() {
    if !has_root() {
        return;
    }
    let scratch = Scratch::sticky();
    let path = scratch.lock_path();
    // In a container `/proc/locks` leaves out a lock whose taker has exited (`locks_show` in fs/locks.c, Linux 6.1).
    if is_container() {
        skip_this(
            "initial PID namespace: the table of locks in a container does not show such a lock",
        );
        return;
    }
    let Some(shell) = Shell::holding(&path, ":") else { return };
    let mut peer = Peer::querying(&path);
    peer.become_user(1234);
    let holder = format!("a process that inherited it from pid {} (exited)", shell.taker);
    assert_eq!(peer.status("a"), format!("exclusive {holder} <- none"));
    peer.refuses(Acquire("a")).assert_ends(": held by another process");
}
