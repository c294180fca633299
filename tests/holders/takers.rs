//! L12: who took a lock is not always who holds it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use locket::{Mode, lock_file};

use super::{holder, pids};
use crate::support::{Outcome, Peer, Scratch, is_root, kill, skip, until, word};

/// A shell that holds the lock as shells do: flock(1) takes it, on the shell's descriptor, and
/// ends.
struct Shell(Child);

impl Shell {
    /// `None` if there is no flock(1). Afterwards it runs the script, with the lock on 9.
    #[track_caller]
    fn holding(check: &str, path: &Path, script: &str) -> Option<Self> {
        if Command::new("flock").arg("--version").output().is_err() {
            skip(check, "flock(1): not installed");
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
    kill(&sleeper.to_string());
    until("the lock is free", || lock_file(&path).try_lock().is_ok());
    Ok(())
}

/// As shells do that keep one while they redirect the other.
#[test]
fn l12_two_descriptors_of_a_hold_are_one_holder() {
    let check = "l12_two_descriptors_of_a_hold_are_one_holder";
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let Some(shell) = Shell::holding(check, &path, "exec 8>&9") else { return };
    assert_eq!(holder(&path).pid, shell.pid());
}

/// A child that holds what its living parent took, and has closed.
#[test]
fn l12_a_taker_without_the_lock_is_not_named() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut peer = Peer::spawn();
    peer.ok(&format!("open_foreign f {}", word(&path)));
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
        skip(
            check,
            "ns_last_pid: this system does not give a process the number that is asked for",
        );
        return Ok(());
    };
    assert_eq!(holder(&path).pid, shell.pid());
    let message = Peer::with_handle("a", &path, "timeout=1000").refused("acquire a").message;
    assert!(!message.contains(&format!("held by pid {} ", double.pid())), "{message}");
    Ok(())
}

/// Who may not look into the shell is told as much as is known.
#[test]
fn l12_heirs_that_may_not_be_looked_into() -> Outcome {
    let check = "l12_heirs_that_may_not_be_looked_into";
    if !is_root() {
        skip(check, "root: no other user may become another user");
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
