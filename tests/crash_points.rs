//! - L7: a holder or waiter that is killed at any system call of its work, whatever it concerns,
//!   leaves the lock free for the next at once, and the file as it was.
//!
//! The system calls are counted from the moment at which strace is attached to a process that is
//! ready to begin; a first run tells which they are, and each of them is then the last one of a
//! process of its own.
#![cfg(target_os = "linux")]
#![allow(clippy::panic, reason = "that is how a test fails")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{Outcome, Peer, Scratch, kill, skip, until};

const CONTENTS: &str = "as it was";

/// What the victim finds when it begins, and how it asks.
#[derive(Clone, Copy, Debug)]
struct Scene {
    options: &'static str,
    /// Somebody holds the lock until the victim waits for it.
    held: bool,
    existed: bool,
}

/// strace at a running process.
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
        let messages = attached.0.stderr.as_mut().expect("it is piped");
        BufReader::new(messages).read_line(&mut line).expect("strace should say something");
        assert!(line.contains("attached"), "{line}");
        // Interrupted by then, and soon back in the call at which it was met; which is counted, and
        // may be its end.
        until("the process goes on", || {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            ["State:\tS", "State:\tZ"].iter().any(|state| status.contains(state))
        });
        attached
    }

    /// Its process has ended.
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

/// Plays the scene; the system calls that the victim made, if it is to survive.
fn play(scene: Scene, kill: Option<&str>) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    if scene.existed {
        fs::write(&path, CONTENTS)?;
    }
    let mut holder = Peer::with_handle("a", &path, "");
    if scene.held {
        holder.ok("acquire a");
    }
    let mut victim = Peer::with_handle("a", &path, scene.options);
    let logs = Scratch::new();
    let log = logs.join("strace.log");
    let strace = Attached::to(victim.pid(), &log, kill);

    let (pid, over) = (victim.pid(), AtomicBool::new(false));
    let survived = thread::scope(|scope| {
        scope.spawn(|| {
            // Until it waits, or never does.
            while !over.load(Ordering::Relaxed) && !waits(pid) {
                thread::sleep(Duration::from_millis(1));
            }
            if scene.held {
                assert_eq!(holder.ok("state a"), "exclusive", "{scene:?} {kill:?}");
                holder.ok("release a");
            }
        });
        let survived = victim.tries_to("repeat 2 acquire a ; release a").is_some();
        over.store(true, Ordering::Relaxed);
        survived
    });
    assert_eq!(survived, kill.is_none(), "{scene:?} {kill:?}");
    if survived {
        victim.end();
    } else {
        victim.kill();
    }
    // At once.
    assert!(Peer::with_handle("a", &path, "").finds_free("a"), "{scene:?} {kill:?}");
    let contents = fs::read_to_string(&path)?;
    assert_eq!(contents, if scene.existed { CONTENTS } else { "" }, "{scene:?} {kill:?}");
    assert_eq!(fs::read_dir(scratch.path())?.count(), 1, "{scene:?} {kill:?}");
    strace.end();
    Ok(fs::read_to_string(log)?.lines().filter_map(name_of).collect())
}

/// Is it in the kernel's queue?
fn waits(pid: u32) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words[..], [_, "->", "FLOCK", _, _, waiter, ..] if waiter.parse() == Ok(pid))
    })
}

fn holds(pid: u32) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words[..], [_, "FLOCK", _, _, holder, ..] if holder.parse() == Ok(pid))
    })
}

/// `4242 openat(AT_FDCWD, ...) = 3` is `openat`. Signals and ends have no name.
fn name_of(line: &str) -> Option<String> {
    let call = line.split_once(' ')?.1.trim_start();
    let (name, _) = call.split_once('(')?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_name.then(|| name.into())
}

fn killed_everywhere(check: &str, scene: Scene) -> Outcome {
    let traces = Command::new("strace").args(["-qq", "true"]).output();
    if !traces.is_ok_and(|it| it.status.success()) {
        skip(check, "strace: not installed, or not allowed to trace");
        return Ok(());
    }
    let names = play(scene, None)?;
    // Up to the answer: what comes after is the end of the process.
    let last = names.iter().rposition(|name| name == "write").expect("it answers");
    let mut counts = BTreeMap::new();
    // Whether it gives way is up to the clock, and no two runs do it alike: it has no lock then.
    let gives_way = |name: &str| ["prctl", "nanosleep"].contains(&name);
    for name in names[..=last].iter().filter(|name| !gives_way(name)) {
        let nth = counts.entry(name).and_modify(|nth| *nth += 1).or_insert(1);
        play(scene, Some(&format!("{name}:signal=SIGKILL:when={nth}")))?;
    }
    let told: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let all: usize = counts.values().sum();
    let text = format!("{check}: killed at each of {all} calls: {}\n", told.join(", "));
    // Past the harness, which would keep it to itself.
    io::stderr().write_all(text.as_bytes())?;
    let locks = counts[&"flock".to_string()];
    // Try and unlock, twice; and a wait between, which an alarm may come with.
    assert_eq!(locks, 4 + usize::from(scene.held), "{names:?}");
    let timed = scene.held && scene.options.contains("timeout");
    assert_eq!(counts.contains_key(&"timer_create".to_string()), timed, "{names:?}");
    Ok(())
}

#[test]
fn l7_killed_at_every_system_call_of_a_wait() -> Outcome {
    let scene = Scene { options: "", held: true, existed: true };
    killed_everywhere("l7_killed_at_every_system_call_of_a_wait", scene)
}

#[test]
fn l7_killed_at_every_system_call_of_a_timed_wait() -> Outcome {
    let scene = Scene { options: "timeout=600000", held: true, existed: true };
    killed_everywhere("l7_killed_at_every_system_call_of_a_timed_wait", scene)
}

#[test]
fn l7_killed_at_every_system_call_of_a_reader() -> Outcome {
    let scene = Scene { options: "shared timeout=600000", held: true, existed: true };
    killed_everywhere("l7_killed_at_every_system_call_of_a_reader", scene)
}

#[test]
fn l7_killed_at_every_system_call_where_no_file_was() -> Outcome {
    let scene = Scene { options: "", held: false, existed: false };
    killed_everywhere("l7_killed_at_every_system_call_where_no_file_was", scene)
}

/// The check itself: a victim that is not dead, but only stopped, is noticed.
#[test]
fn l7_a_victim_that_lives_is_noticed() {
    if !Command::new("strace").args(["-qq", "true"]).output().is_ok_and(|it| it.status.success()) {
        return skip(
            "l7_a_victim_that_lives_is_noticed",
            "strace: not installed, or not allowed to trace",
        );
    }
    let (scratch, logs) = (Scratch::new(), Scratch::new());
    let path = scratch.lock_path();
    let mut victim = Peer::with_handle("a", &path, "");
    let mut other = Peer::with_handle("a", &path, "");
    let pid = victim.pid();
    // The look at the path, with the lock in hand.
    let inject = "?stat,?newfstatat,statx:signal=SIGSTOP:when=2";
    let strace = Attached::to(victim.pid(), &logs.join("strace.log"), Some(inject));
    thread::scope(|scope| {
        let work = scope.spawn(|| victim.tries_to("repeat 2 acquire a ; release a"));
        // Nobody tries meanwhile: refused, the victim would look at the path without a lock.
        until("it holds the lock", || holds(pid));
        thread::sleep(Duration::from_millis(50));
        assert!(!other.finds_free("a"));
        kill(&pid.to_string());
        assert!(work.join().is_ok_and(|answer| answer.is_none()));
    });
    victim.kill();
    assert!(other.finds_free("a"));
    strace.end();
}
