//! L7: after a holder or waiter is killed at any of its system calls, the lock is free immediately and the file is
//! unchanged.
//!
//! strace is attached to a process that is ready to begin, and the system calls are counted from then on. A first run
//! lists the calls. Then, for each call, a new process is killed at that call.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::kill;
use crate::support::prelude::*;

const CONTENTS: &str = "as it was";
/// A deadline that no test reaches.
const LONG: Setting = Timeout(600_000);

/// The state of the lock when the victim begins, and the victim's settings.
#[derive(Clone, Copy, Debug)]
struct Scene {
    settings: &'static [Setting],
    /// Whether another process holds the lock until the victim waits for it.
    held: bool,
    /// Whether the lock file exists.
    existed: bool,
}

/// strace, attached to a running process.
struct Attached(Child);

impl Attached {
    #[track_caller]
    fn to(pid: u32, log: &Path, inject: Option<&str>) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-p", &pid.to_string(), "-o"]).arg(log);
        command.args(inject.map(|inject| format!("--inject={inject}")));
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut attached = Self(command.spawn().expect("strace should start"));
        let mut line = String::new();
        let messages = attached.0.stderr.as_mut().expect("stderr is piped");
        BufReader::new(messages).read_line(&mut line).expect("strace should print a line");
        assert!(line.contains("attached"), "{line}");
        // strace has interrupted the call in which it found the process. The process soon enters that call again. The
        // call is counted, and the process may be killed at it.
        until("the process goes on", || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            ["State:\tS", "State:\tZ"].iter().any(|state| status.contains(state))
        });
        attached
    }

    /// Waits for the end of strace. The traced process has ended.
    #[track_caller]
    fn end(mut self) {
        until("strace ends", || self.0.try_wait().is_ok_and(|status| status.is_some()));
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the scene and returns the names of the victim's system calls. `kill` tells strace where to kill the victim.
fn play(scene: Scene, kill: Option<&str>) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let (scratch, path) = Scratch::with_path();
    if scene.existed {
        fs::write(&path, CONTENTS)?;
    }
    let mut holder = Peer::on(&path);
    if scene.held {
        holder.acquire("a");
    }
    let mut victim = Peer::with(&path, scene.settings);
    let logs = Scratch::new();
    let log = logs.join("strace.log");
    let strace = Attached::to(victim.pid(), &log, kill);

    let (pid, over) = (victim.pid(), AtomicBool::new(false));
    let survived = thread::scope(|scope| {
        scope.spawn(|| {
            // Until the victim waits, or has finished without waiting.
            while !over.load(Ordering::Relaxed)
                && !table_of_locks().iter().any(|it| it.pid == pid && it.is_waiting)
            {
                thread::sleep(Duration::from_millis(1));
            }
            if scene.held {
                assert_eq!(holder.state("a"), HeldExclusive, "{scene:?} {kill:?}");
                holder.release("a");
            }
        });
        let survived = victim.tries_to(repeat(2, [Acquire("a"), Release("a")])).is_some();
        over.store(true, Ordering::Relaxed);
        survived
    });
    assert_eq!(survived, kill.is_none(), "{scene:?} {kill:?}");
    if survived {
        victim.end();
    } else {
        victim.kill();
    }
    // The lock must be free immediately.
    assert!(Peer::on(&path).finds_free("a"), "{scene:?} {kill:?}");
    let contents = fs::read_to_string(&path)?;
    assert_eq!(contents, if scene.existed { CONTENTS } else { "" }, "{scene:?} {kill:?}");
    assert_eq!(fs::read_dir(scratch.path())?.count(), 1, "{scene:?} {kill:?}");
    strace.end();
    Ok(fs::read_to_string(log)?.lines().filter_map(name_of).collect())
}

/// Returns the name of the call: `openat` for `4242 openat(AT_FDCWD, ...) = 3`. Lines for signals and exits have none.
fn name_of(line: &str) -> Option<String> {
    let call = line.split_once(' ')?.1.trim_start();
    let (name, _) = call.split_once('(')?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| name.into())
}

fn killed_everywhere(scene: Scene) -> Outcome {
    if !can_trace() {
        return Ok(());
    }
    let names = play(scene, None)?;
    // The last write is the answer. The calls after it are the exit of the process.
    let last = names.iter().rposition(|name| name == "write").expect("the peer answers");
    let mut counts = BTreeMap::new();
    // The calls of yielding are left out: whether a process yields depends on the clock, so runs differ. It does not hold
    // the lock at that time.
    let is_yield = |name: &str| ["prctl", "nanosleep"].contains(&name);
    for name in names[..=last].iter().filter(|name| !is_yield(name)) {
        let nth = counts.entry(name).and_modify(|nth| *nth += 1).or_insert(1);
        play(scene, Some(&format!("{name}:signal=SIGKILL:when={nth}")))?;
    }
    let counted: Vec<String> =
        counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let all: usize = counts.values().sum();
    let text = format!("{scene:?}: killed at each of {all} calls: {}\n", counted.join(", "));
    // Written to the descriptor: the test harness captures the output of `eprintln!`.
    io::stderr().write_all(text.as_bytes())?;
    let locks = counts[&"flock".to_string()];
    // Two turns of try and unlock, and one wait if the lock is held. A timed wait also has a timer.
    assert_eq!(locks, 4 + usize::from(scene.held), "{names:?}");
    let timed = scene.held && scene.settings.contains(&LONG);
    assert_eq!(counts.contains_key(&"timer_create".to_string()), timed, "{names:?}");
    Ok(())
}

#[test]
fn l7_killed_at_every_system_call_of_a_wait() -> Outcome {
    let scene = Scene { settings: &[], held: true, existed: true };
    killed_everywhere(scene)
}

#[test]
fn l7_killed_at_every_system_call_of_a_timed_wait() -> Outcome {
    let scene = Scene { settings: &[LONG], held: true, existed: true };
    killed_everywhere(scene)
}

#[test]
fn l7_killed_at_every_system_call_of_a_reader() -> Outcome {
    let scene = Scene { settings: &[Shared, LONG], held: true, existed: true };
    killed_everywhere(scene)
}

#[test]
fn l7_killed_at_every_system_call_without_a_file() -> Outcome {
    let scene = Scene { settings: &[], held: false, existed: false };
    killed_everywhere(scene)
}

/// The check above can fail: a victim that is stopped instead of killed still holds the lock.
#[test]
fn l7_a_stopped_victim_is_noticed() {
    if !can_trace() {
        return;
    }
    let (scratch, logs) = (Scratch::new(), Scratch::new());
    let path = scratch.lock_path();
    let mut victim = Peer::on(&path);
    let mut other = Peer::on(&path);
    let pid = victim.pid();
    // The check of the path, which comes while the victim has the lock.
    let inject = "?stat,?newfstatat,statx:signal=SIGSTOP:when=2";
    let strace = Attached::to(victim.pid(), &logs.join("strace.log"), Some(inject));
    thread::scope(|scope| {
        let work = scope.spawn(|| victim.tries_to(repeat(2, [Acquire("a"), Release("a")])));
        // No other process may try before that: then the victim's attempt could fail, and it would check the path without
        // the lock.
        until("the victim holds the lock", || {
            table_of_locks().iter().any(|it| it.pid == pid && !it.is_waiting)
        });
        thread::sleep(Duration::from_millis(50));
        assert!(!other.finds_free("a"));
        kill(pid);
        assert!(work.join().is_ok_and(|answer| answer.is_none()));
    });
    victim.kill();
    assert!(other.finds_free("a"));
    strace.end();
}
