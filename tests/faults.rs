//! Every error of the system at every system call of the lock. strace injects the errors.
//!
//! - L3: the error is returned by the deadline.
//! - L6: an unlock that fails still ends the hold.
//! - L12: the error has the path, the action and the cause. An interrupted call is not an error.
//! - L13: no descriptor is leaked, and the lock is free for other processes.
#![cfg(target_os = "linux")]
#![allow(clippy::panic, reason = "that is how a test fails")]

use std::fs;
use std::time::Duration;

use crate::support::{Outcome, PATIENCE, Peer, Scratch, Strace, words_of};

const CONTENTS: &str = "as it was";

const ERRORS: [(&str, i32); 14] = [
    ("ENOLCK", libc::ENOLCK),
    ("EIO", libc::EIO),
    ("EMFILE", libc::EMFILE),
    ("ENFILE", libc::ENFILE),
    ("ENOSPC", libc::ENOSPC),
    ("EDQUOT", libc::EDQUOT),
    ("EACCES", libc::EACCES),
    ("EPERM", libc::EPERM),
    ("EROFS", libc::EROFS),
    ("EOPNOTSUPP", libc::EOPNOTSUPP),
    ("ENOSYS", libc::ENOSYS),
    ("EDEADLK", libc::EDEADLK),
    ("ESTALE", libc::ESTALE),
    ("ENOMEM", libc::ENOMEM),
];

/// Returns the kind of each error on a local file system.
fn kind_of(errno: i32) -> &'static str {
    match errno {
        libc::EACCES | libc::EPERM | libc::EROFS => "permissiondenied",
        libc::EOPNOTSUPP | libc::ENOSYS => "unsupported",
        libc::ESTALE => "stalehandle",
        libc::EIO | libc::EDEADLK => "other",
        _ => "resourceexhausted",
    }
}

/// One system call of the lock.
#[derive(Clone, Copy, Debug)]
struct Point {
    calls: &'static str,
    /// Which of these calls on the lock file, counted from 1.
    nth: u32,
    /// The action in the error.
    class: &'static str,
    /// Whether the lock file exists.
    existed: bool,
    /// Whether another process holds the lock until the error is returned.
    held: bool,
}

const OPEN: &str = "?open,openat";
const STAT: &str = "?stat,?newfstatat,statx";

const POINTS: [Point; 7] = [
    Point { calls: OPEN, nth: 1, class: "open", existed: true, held: false },
    Point { calls: OPEN, nth: 2, class: "create", existed: false, held: false },
    Point { calls: "fstat", nth: 1, class: "open", existed: true, held: false },
    Point { calls: "flock", nth: 1, class: "lock", existed: true, held: false },
    Point { calls: "flock", nth: 2, class: "lock", existed: true, held: true },
    // Before the file is opened, and after it is locked.
    Point { calls: STAT, nth: 1, class: "open", existed: true, held: false },
    Point { calls: STAT, nth: 2, class: "verify", existed: true, held: false },
];
const UNLOCK: Point = Point { calls: "flock", nth: 2, class: "unlock", existed: true, held: false };

/// A peer whose system call fails, and another peer without faults.
struct Scene {
    scratch: Scratch,
    strace: Strace,
    holder: Peer,
    descriptors: usize,
    point: Point,
    what: String,
}

impl Scene {
    /// Makes the scene. Returns `None` if strace does not work here.
    fn new(check: &str, point: Point, fault: &str, options: &str) -> Option<Self> {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        if point.existed {
            fs::write(&path, CONTENTS).expect("the test should own the directory");
        }
        let only = format!("--trace-path={}", path.display());
        let inject = format!("--inject={}:{fault}", point.calls);
        let mut strace = Strace::spawn(check, &[&only, &inject])?;
        strace.peer.handle("a", &path, options);
        let descriptors = strace.peer.descriptors();
        let mut holder = Peer::with_handle("a", &path, "");
        if point.held {
            holder.ok("acquire a");
        }
        let what = format!("{point:?} {fault} {options}");
        Some(Self { scratch, strace, holder, descriptors, point, what })
    }

    /// Asserts that the command fails with this class and cause, by its deadline.
    #[track_caller]
    fn refused(&mut self, command: &str, class: &str, errno: i32) {
        let what = &self.what;
        let answer = self.strace.peer.ask(command);
        assert!(answer.took() < PATIENCE, "{what}: {:?}", answer.took());
        let refusal = answer.outcome.expect_err(what);
        assert_eq!(refusal.class, class, "{what}: {refusal:?}");
        let cause = format!("{}: {}", self.scratch.lock_path().display(), words_of(errno));
        assert!(refusal.message.contains(&cause), "{what}: {refusal:?}");
        assert_eq!(refusal.kind, kind_of(errno), "{what}: {refusal:?}");
    }

    #[track_caller]
    fn ok(&mut self, command: &str) -> String {
        let answer = self.strace.peer.ask(command);
        answer.outcome.unwrap_or_else(|refusal| panic!("{}: {command}: {refusal:?}", self.what))
    }

    /// Asserts that the lock is free and that descriptors, threads and the file are as before.
    #[track_caller]
    fn leaves_nothing(mut self) {
        let what = &self.what;
        let path = self.scratch.lock_path();
        if self.point.held {
            assert_eq!(self.holder.ok("state a"), "exclusive", "{what}");
            self.holder.ok("release a");
        }
        assert!(self.holder.finds_free("a"), "{what}");
        self.strace.peer.ok("drop_handle a");
        assert_eq!(self.strace.peer.descriptors(), self.descriptors, "{what}");
        assert_eq!(self.strace.peer.threads(), 1, "{what}");
        let contents = fs::read_to_string(path).expect("the lock file should exist");
        assert_eq!(contents, if self.point.existed { CONTENTS } else { "" }, "{what}");
        self.strace.end();
    }
}

/// Asserts that an acquisition that fails once changes nothing, and that the next acquisition succeeds.
fn refused_once(check: &str, point: Point, acquire: &str, release: &str) {
    for (name, errno) in ERRORS {
        // The library tries some calls a second time in another way: it opens for writing if it may not read, and it
        // locks through a read-write descriptor if a read-only one fails. Both attempts have to fail.
        let fails_twice = match (name, point.calls) {
            ("EACCES" | "EPERM", OPEN) => point.existed,
            ("EIO", "flock") => true,
            _ => false,
        };
        let nth = point.nth;
        let fault = if fails_twice {
            format!("error={name}:when={nth}..{}", nth + 1)
        } else {
            format!("error={name}:when={nth}")
        };
        let Some(mut scene) = Scene::new(check, point, &fault, "timeout=5000") else { return };
        scene.refused(acquire, point.class, errno);
        assert_eq!(scene.ok("state a"), "unlocked", "{}", scene.what);
        if point.held {
            scene.holder.ok("release a");
        }
        scene.ok(acquire);
        assert_eq!(scene.ok("state a"), "exclusive", "{}", scene.what);
        assert!(!scene.holder.finds_free("a"), "{}", scene.what);
        scene.ok(release);
        assert_eq!(scene.ok("state a"), "unlocked", "{}", scene.what);
        if point.held {
            scene.holder.ok("acquire a");
        }
        scene.leaves_nothing();
    }
}

#[test]
fn l12_every_error_of_acquire_is_reported() {
    for point in POINTS {
        refused_once("l12_every_error_of_acquire_is_reported", point, "acquire a", "release a");
    }
}

#[test]
fn l12_every_error_of_lock_is_reported() {
    for point in POINTS {
        refused_once("l12_every_error_of_lock_is_reported", point, "lock a g", "release_guard g");
    }
}

#[test]
fn l6_every_error_of_an_unlock_is_reported() {
    for (acquire, release) in [("acquire a", "release a"), ("lock a g", "release_guard g")] {
        for (name, errno) in ERRORS {
            let fault = format!("error={name}:when=2");
            let check = "l6_every_error_of_an_unlock_is_reported";
            let Some(mut scene) = Scene::new(check, UNLOCK, &fault, "") else { return };
            scene.ok(acquire);
            scene.refused(release, "unlock", errno);
            assert_eq!(scene.ok("state a"), "released_error", "{}", scene.what);
            assert!(scene.holder.finds_free("a"), "{}", scene.what);
            // The handle stays usable.
            scene.ok(acquire);
            assert_eq!(scene.ok("state a"), "exclusive", "{}", scene.what);
            scene.ok(release);
            assert_eq!(scene.ok("state a"), "unlocked", "{}", scene.what);
            scene.leaves_nothing();
        }
    }
}

/// A call that is interrupted once, five times or ninety times in a row is made again.
#[test]
fn l12_interrupted_calls_are_retried() {
    let check = "l12_interrupted_calls_are_retried";
    for point in POINTS.into_iter().filter(|point| !point.held).chain([UNLOCK]) {
        for times in [1, 5, 90] {
            for options in ["", "timeout=600000", "timeout=0"] {
                let (first, last) = (point.nth, point.nth + times - 1);
                let fault = format!("error=EINTR:when={first}..{last}");
                let Some(mut scene) = Scene::new(check, point, &fault, options) else { return };
                scene.ok("acquire a");
                assert!(!scene.holder.finds_free("a"), "{}", scene.what);
                scene.ok("release a");
                assert_eq!(scene.ok("state a"), "unlocked", "{}", scene.what);
                scene.leaves_nothing();
            }
        }
    }
}

/// Interrupted calls of queries are made again, too.
#[test]
fn l12_interrupted_calls_of_queries_are_retried() {
    let check = "l12_interrupted_calls_of_queries_are_retried";
    for (query, calls, nth) in [("is_current g", STAT, 3), ("status a", OPEN, 2)] {
        let point = Point { calls, nth, class: "query", existed: true, held: false };
        for times in [1, 5, 90] {
            let fault = format!("error=EINTR:when={nth}..{}", times + nth - 1);
            let Some(mut scene) = Scene::new(check, point, &fault, "") else { return };
            scene.ok("lock a g");
            let answer = scene.ok(query);
            let pid = scene.strace.peer.pid();
            let expected = if query == "status a" { pid.to_string() } else { "true".into() };
            assert!(answer.contains(&expected), "{}: {answer}", scene.what);
            scene.ok("release_guard g");
            scene.leaves_nothing();
        }
    }
}

/// A waiter whose wait is interrupted repeatedly continues to wait and does not time out earlier.
#[test]
fn l3_signals_neither_shorten_nor_prolong_a_wait() {
    let check = "l3_signals_neither_shorten_nor_prolong_a_wait";
    let point = POINTS[4];
    assert!(point.held);
    for fault in ["error=EINTR:when=2", "error=EINTR:when=2..6", "error=EINTR:when=2+2"] {
        for options in ["timeout=100", "timeout=100 shared"] {
            let Some(mut scene) = Scene::new(check, point, fault, options) else { return };
            let answer = scene.strace.peer.ask("acquire a");
            assert_eq!(answer.class(), "timed_out", "{}: {answer:?}", scene.what);
            let took = answer.took();
            assert!(took >= Duration::from_millis(100) && took < PATIENCE, "{took:?}");
            scene.leaves_nothing();
        }
    }
}

/// If every call is interrupted forever, the call returns an error that mentions signals, at the deadline and not before.
#[test]
fn l12_endless_interruptions_are_an_error_at_the_deadline() -> Outcome {
    let check = "l12_endless_interruptions_are_an_error_at_the_deadline";
    for point in POINTS {
        for timeout in [0, 100] {
            let fault = format!("error=EINTR:when={}+", if point.held { 1 } else { point.nth });
            let options = format!("timeout={timeout}");
            let Some(mut scene) = Scene::new(check, point, &fault, &options) else {
                return Ok(());
            };
            let answer = scene.strace.peer.ask("acquire a");
            let took = answer.took();
            assert!(took >= Duration::from_millis(timeout) && took < PATIENCE, "{took:?}");
            let refusal = answer.outcome.expect_err(&scene.what);
            // After an interrupted creation the library first opens the file again.
            let class = if point.class == "create" { "open" } else { point.class };
            assert_eq!(refusal.class, class, "{}: {refusal:?}", scene.what);
            assert!(refusal.message.contains("signals"), "{}: {refusal:?}", scene.what);
            assert_eq!(scene.ok("state a"), "unlocked", "{}", scene.what);
            if !point.existed {
                fs::write(scene.scratch.lock_path(), "")?;
            }
            scene.leaves_nothing();
        }
    }
    Ok(())
}

/// If a timer cannot be made or started, the wait retries and keeps its deadline.
#[test]
fn l3_without_a_timer_the_deadline_is_kept() {
    let check = "l3_without_a_timer_the_deadline_is_kept";
    for fault in ["timer_create:error=EAGAIN", "timer_settime:error=EINVAL"] {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        let Some(mut strace) = Strace::spawn(check, &[&format!("--inject={fault}")]) else {
            return;
        };
        strace.peer.handle("short", &path, "timeout=100");
        strace.peer.handle("long", &path, "timeout=600000");
        let descriptors = strace.peer.descriptors();
        let mut holder = Peer::with_handle("a", &path, "");
        holder.ok("acquire a");
        let answer = strace.peer.ask("acquire short");
        assert_eq!(answer.class(), "timed_out", "{fault}: {answer:?}");
        assert!(answer.took() >= Duration::from_millis(100), "{fault}: {answer:?}");
        strace.peer.ok("start w acquire long");
        strace.peer.assert_waiting("w");
        holder.ok("release a");
        strace.peer.wait_ok("w");
        assert!(!holder.finds_free("a"));
        strace.peer.ok("release long");
        assert!(holder.finds_free("a"));
        strace.peer.ok("drop_handle short");
        strace.peer.ok("drop_handle long");
        assert_eq!(strace.peer.descriptors(), descriptors, "{fault}");
        let trace = strace.end();
        assert!(trace.count("(INJECTED)") > 0, "the fault was not injected");
    }
}

/// If a hold cannot be passed on, it ends, and the error gives the reason.
#[test]
fn l12_a_failed_inherit_on_exec_ends_the_hold() {
    let check = "l12_a_failed_inherit_on_exec_ends_the_hold";
    let point = Point { calls: "fcntl", nth: 1, class: "inherit", existed: true, held: false };
    for (name, errno) in ERRORS {
        // Without a descriptor beyond 10 a lower one is tried.
        let times = if ["EMFILE", "EINVAL"].contains(&name) { "1..2" } else { "1" };
        let fault = format!("error={name}:when={times}");
        let Some(mut scene) = Scene::new(check, point, &fault, "") else { return };
        scene.ok("lock a g");
        scene.refused("inherit_on_exec_guard g", "inherit", errno);
        assert_eq!(scene.ok("state a"), "unlocked", "{}", scene.what);
        assert!(scene.holder.finds_free("a"), "{}", scene.what);
        scene.leaves_nothing();
    }
}
