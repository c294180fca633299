//! Every refusal of the system at every call of the lock, which strace makes it say.
//!
//! - L3: it is told by the deadline.
//! - L6: an unlock that is refused is the end of the hold all the same.
//! - L12: the error has the path, what was being done and the cause; a signal is no answer.
//! - L13: no descriptor is lost, and the lock is free for others.
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

/// What sort of trouble each is, on a local file system.
fn kind_of(errno: i32) -> &'static str {
    match errno {
        libc::EACCES | libc::EPERM | libc::EROFS => "permission",
        libc::EOPNOTSUPP | libc::ENOSYS => "unsupported",
        libc::ESTALE => "stale",
        libc::EIO | libc::EDEADLK => "other",
        _ => "exhausted",
    }
}

/// One of the places where the lock asks the system for something.
#[derive(Clone, Copy, Debug)]
struct Point {
    calls: &'static str,
    /// Of the calls that concern the lock file.
    nth: u32,
    /// What the lock says it was doing.
    class: &'static str,
    existed: bool,
    /// By somebody else, until the fault is seen.
    held: bool,
}

const OPEN: &str = "?open,openat";
const LOOK: &str = "?stat,?newfstatat,statx";

const POINTS: [Point; 7] = [
    Point { calls: OPEN, nth: 1, class: "open", existed: true, held: false },
    Point { calls: OPEN, nth: 2, class: "create", existed: false, held: false },
    Point { calls: "fstat", nth: 1, class: "open", existed: true, held: false },
    Point { calls: "flock", nth: 1, class: "lock", existed: true, held: false },
    Point { calls: "flock", nth: 2, class: "lock", existed: true, held: true },
    // Before it is opened, and with the lock on it.
    Point { calls: LOOK, nth: 1, class: "open", existed: true, held: false },
    Point { calls: LOOK, nth: 2, class: "check", existed: true, held: false },
];
const UNLOCK: Point = Point { calls: "flock", nth: 2, class: "unlock", existed: true, held: false };

/// A peer that meets the fault and others that do not.
struct Scene {
    scratch: Scratch,
    strace: Strace,
    holder: Peer,
    descriptors: usize,
    point: Point,
    what: String,
}

impl Scene {
    /// `None`: it cannot be played here.
    fn new(check: &str, point: Point, fault: &str, options: &str) -> Option<Self> {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        if point.existed {
            fs::write(&path, CONTENTS).expect("the directory is ours");
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

    /// The command is refused for this reason, and by its deadline.
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

    /// The lock is free, and everything as it was before.
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
        let contents = fs::read_to_string(path).expect("it is there now");
        assert_eq!(contents, if self.point.existed { CONTENTS } else { "" }, "{what}");
        self.strace.end();
    }
}

/// The acquisition is refused once and changes nothing; the next one is not.
fn refused_once(check: &str, point: Point, acquire: &str, release: &str) {
    for (name, errno) in ERRORS {
        // What may not be read is opened for writing, and what cannot be locked so, for both.
        let is_twofold = match (name, point.calls) {
            ("EACCES" | "EPERM", OPEN) => point.existed,
            ("EIO", "flock") => true,
            _ => false,
        };
        let nth = point.nth;
        let fault = if is_twofold {
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
fn l12_every_refusal_of_acquire() {
    for point in POINTS {
        refused_once("l12_every_refusal_of_acquire", point, "acquire a", "release a");
    }
}

#[test]
fn l12_every_refusal_of_lock() {
    for point in POINTS {
        refused_once("l12_every_refusal_of_lock", point, "lock a g", "release_guard g");
    }
}

#[test]
fn l6_every_refusal_of_an_unlock() {
    for (acquire, release) in [("acquire a", "release a"), ("lock a g", "release_guard g")] {
        for (name, errno) in ERRORS {
            let fault = format!("error={name}:when=2");
            let check = "l6_every_refusal_of_an_unlock";
            let Some(mut scene) = Scene::new(check, UNLOCK, &fault, "") else { return };
            scene.ok(acquire);
            scene.refused(release, "unlock", errno);
            assert_eq!(scene.ok("state a"), "released_error", "{}", scene.what);
            assert!(scene.holder.finds_free("a"), "{}", scene.what);
            // And it stays usable.
            scene.ok(acquire);
            assert_eq!(scene.ok("state a"), "exclusive", "{}", scene.what);
            scene.ok(release);
            assert_eq!(scene.ok("state a"), "unlocked", "{}", scene.what);
            scene.leaves_nothing();
        }
    }
}

/// Once, five times, and more often than anybody would bear.
#[test]
fn l12_signals_are_outlasted() {
    let check = "l12_signals_are_outlasted";
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

/// By those too who only ask.
#[test]
fn l12_signals_are_outlasted_by_questions() {
    let check = "l12_signals_are_outlasted_by_questions";
    for (question, calls, nth) in [("is_current g", LOOK, 3), ("status a", OPEN, 2)] {
        let point = Point { calls, nth, class: "ask", existed: true, held: false };
        for times in [1, 5, 90] {
            let fault = format!("error=EINTR:when={nth}..{}", times + nth - 1);
            let Some(mut scene) = Scene::new(check, point, &fault, "") else { return };
            scene.ok("lock a g");
            let answer = scene.ok(question);
            let pid = scene.strace.peer.pid();
            let expected = if question == "status a" { pid.to_string() } else { "true".into() };
            assert!(answer.contains(&expected), "{}: {answer}", scene.what);
            scene.ok("release_guard g");
            scene.leaves_nothing();
        }
    }
}

/// A waiter that is interrupted again and again goes on waiting, and times out no earlier.
#[test]
fn l3_signals_neither_shorten_a_wait_nor_lengthen_it() {
    let check = "l3_signals_neither_shorten_a_wait_nor_lengthen_it";
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

/// For ever: then it is told as what it is, at the deadline and not before.
#[test]
fn l12_signals_for_ever_are_an_error_at_the_deadline() -> Outcome {
    let check = "l12_signals_for_ever_are_an_error_at_the_deadline";
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
            // Interrupted as it creates the file, it looks again whether there is one.
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

/// No timer to be had, or none that starts: the wait retries, and keeps its deadline.
#[test]
fn l3_without_a_timer() {
    let check = "l3_without_a_timer";
    for fault in ["timer_create:error=EAGAIN", "timer_settime:error=EINVAL"] {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        let Some(mut strace) = Strace::spawn(check, &[&format!("--inject={fault}")]) else {
            return;
        };
        strace.peer.handle("hasty", &path, "timeout=100");
        strace.peer.handle("patient", &path, "timeout=600000");
        let descriptors = strace.peer.descriptors();
        let mut holder = Peer::with_handle("a", &path, "");
        holder.ok("acquire a");
        let answer = strace.peer.ask("acquire hasty");
        assert_eq!(answer.class(), "timed_out", "{fault}: {answer:?}");
        assert!(answer.took() >= Duration::from_millis(100), "{fault}: {answer:?}");
        strace.peer.ok("start w acquire patient");
        strace.peer.assert_waiting("w");
        holder.ok("release a");
        strace.peer.wait_ok("w");
        assert!(!holder.finds_free("a"));
        strace.peer.ok("release patient");
        assert!(holder.finds_free("a"));
        strace.peer.ok("drop_handle hasty");
        strace.peer.ok("drop_handle patient");
        assert_eq!(strace.peer.descriptors(), descriptors, "{fault}");
        let trace = strace.end();
        assert!(trace.count("(INJECTED)") > 0, "the fault was not met");
    }
}

/// The hold cannot be passed on: it ends, and the error says why.
#[test]
fn l12_a_refused_bequest() {
    let check = "l12_a_refused_bequest";
    let point = Point { calls: "fcntl", nth: 1, class: "inherit", existed: true, held: false };
    for (name, errno) in ERRORS {
        let fault = format!("error={name}:when=1");
        let Some(mut scene) = Scene::new(check, point, &fault, "") else { return };
        scene.ok("lock a g");
        scene.refused("inherit_on_exec_guard g", "inherit", errno);
        assert_eq!(scene.ok("state a"), "unlocked", "{}", scene.what);
        assert!(scene.holder.finds_free("a"), "{}", scene.what);
        scene.leaves_nothing();
    }
}
