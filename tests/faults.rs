//! System calls that fail: every error at every call of the lock, and what the library does about some of them. strace
//! injects the errors. `opening` has files that cannot be opened or locked in the usual way.
//!
//! - L1, L8, L12: a file that cannot be opened or locked in the usual way is opened or locked in another way.
//! - L3: the error is returned by the deadline.
//! - L6: an unlock that fails still ends the hold.
//! - L12: the error has the path, the action and the cause. An interrupted call is not an error.
//! - L13: no descriptor is leaked, and the lock is free for other processes.
#![cfg(target_os = "linux")]

mod opening;

use std::borrow::Borrow;
use std::fs;
use std::process::Command;
use std::time::Duration;

use crate::support::prelude::*;

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
fn kind_of(errno: i32) -> ErrorKind {
    match errno {
        libc::EACCES | libc::EPERM | libc::EROFS => PermissionDenied,
        libc::EOPNOTSUPP | libc::ENOSYS => Unsupported,
        libc::ESTALE => StaleHandle,
        libc::EIO | libc::EDEADLK => Other,
        _ => ResourceExhausted,
    }
}

/// One system call of the lock.
#[derive(Clone, Copy, Debug)]
struct Point {
    calls: &'static str,
    /// Which of these calls on the lock file, counted from 1.
    nth: u32,
    /// The action in the error.
    action: Action,
    /// Whether the lock file exists.
    existed: bool,
    /// Whether another process holds the lock until the error is returned.
    held: bool,
}

const OPEN: &str = "?open,openat";
const STAT: &str = "?stat,?newfstatat,statx";

const POINTS: [Point; 7] = [
    Point { calls: OPEN, nth: 1, action: Action::Open, existed: true, held: false },
    Point { calls: OPEN, nth: 2, action: Action::Create, existed: false, held: false },
    Point { calls: "fstat", nth: 1, action: Action::Open, existed: true, held: false },
    Point { calls: "flock", nth: 1, action: Action::Lock, existed: true, held: false },
    Point { calls: "flock", nth: 2, action: Action::Lock, existed: true, held: true },
    // Before the file is opened, and after it is locked.
    Point { calls: STAT, nth: 1, action: Action::Open, existed: true, held: false },
    Point { calls: STAT, nth: 2, action: Action::Verify, existed: true, held: false },
];
const UNLOCK: Point =
    Point { calls: "flock", nth: 2, action: Action::Unlock, existed: true, held: false };

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
    fn new(point: Point, fault: &str, settings: &[Setting]) -> Option<Self> {
        Self::with_faults(point, &[(point.calls, fault)], settings)
    }

    /// Makes a scene with an existing, free lock file.
    fn of_free_lock(faults: &[(&str, &str)]) -> Option<Self> {
        Self::with_faults(POINTS[0], faults, &[])
    }

    fn with_faults(point: Point, faults: &[(&str, &str)], settings: &[Setting]) -> Option<Self> {
        let (scratch, path) = Scratch::with_path();
        if point.existed {
            fs::write(&path, CONTENTS).expect("the test should own the directory");
        }
        let mut options = vec![format!("--trace-path={}", path.display())];
        options.extend(faults.iter().map(|(calls, fault)| format!("--inject={calls}:{fault}")));
        let mut strace = Strace::spawn(&options.iter().map(|it| &**it).collect::<Vec<_>>())?;
        strace.handle("a", &path, settings);
        let descriptors = strace.descriptors();
        let mut holder = Peer::on(&path);
        if point.held {
            holder.acquire("a");
        }
        let what = format!("{point:?} {faults:?} {settings:?}");
        Some(Self { scratch, strace, holder, descriptors, point, what })
    }

    /// Asserts that the request fails with this action and cause, by its deadline.
    #[track_caller]
    fn refused(&mut self, request: &Request<&str>, action: Action, errno: i32) {
        let what = &self.what;
        let answer = self.strace.ask(request);
        assert!(answer.took() < PATIENCE, "{what}: {:?}", answer.took());
        let refusal = answer.outcome.expect_err(what);
        assert_eq!(refusal.action, action, "{what}: {refusal:?}");
        let path = self.scratch.lock_path();
        let start = format!("cannot {action} {}: {}", path.display(), words_of(errno));
        assert!(refusal.message.starts_with(&start), "{what}: {refusal:?}");
        assert_eq!(refusal.kind, kind_of(errno), "{what}: {refusal:?}");
    }

    /// Asserts that the lock is free and that descriptors, threads and the file are as before.
    #[track_caller]
    fn leaves_nothing(mut self) {
        let what = &self.what;
        let path = self.scratch.lock_path();
        if self.point.held {
            assert_eq!(self.holder.state("a"), HeldExclusive, "{what}");
            self.holder.release("a");
        }
        assert!(self.holder.finds_free("a"), "{what}");
        self.strace.drop_handle("a");
        assert_eq!(self.strace.descriptors(), self.descriptors, "{what}");
        assert_eq!(self.strace.threads(), 1, "{what}");
        let contents = fs::read_to_string(path).expect("the lock file should exist");
        assert_eq!(contents, if self.point.existed { CONTENTS } else { "" }, "{what}");
        self.strace.end();
    }
}

impl Requests for Scene {
    #[track_caller]
    fn tries_to<'a>(&mut self, request: impl Borrow<Request<&'a str>>) -> Option<Answer> {
        self.strace.tries_to(request)
    }

    #[track_caller]
    fn ok<'a>(&mut self, request: impl Borrow<Request<&'a str>>) -> Value {
        let request = request.borrow();
        let outcome = self.ask(request).outcome;
        outcome.unwrap_or_else(|refusal| panic!("{}: {request:?}: {refusal:?}", self.what))
    }
}

/// Both ways to hold a lock.
const HOLDS: [(Request<&str>, Request<&str>); 2] =
    [(Acquire("a"), Release("a")), (Lock("a", "g"), ReleaseGuard("g"))];

/// Asserts that an acquisition that fails once changes nothing, and that the next acquisition succeeds.
fn refused_once(point: Point, settings: &[Setting], [acquire, release]: [&Request<&str>; 2]) {
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
        let Some(mut scene) = Scene::new(point, &fault, settings) else { return };
        scene.refused(acquire, point.action, errno);
        assert_eq!(scene.state("a"), Unlocked, "{}", scene.what);
        if point.held {
            scene.holder.release("a");
        }
        scene.ok(acquire);
        assert_eq!(scene.state("a"), HeldExclusive, "{}", scene.what);
        assert!(!scene.holder.finds_free("a"), "{}", scene.what);
        scene.ok(release);
        assert_eq!(scene.state("a"), Unlocked, "{}", scene.what);
        if point.held {
            scene.holder.acquire("a");
        }
        scene.leaves_nothing();
    }
}

#[test]
fn l12_every_error_of_an_acquisition_is_reported() {
    for (acquire, release) in &HOLDS {
        for point in POINTS {
            refused_once(point, &[Timeout(5000)], [acquire, release]);
        }
    }
    // A wait without a deadline.
    let [(acquire, release), _] = &HOLDS;
    refused_once(POINTS[4], &[], [acquire, release]);
}

#[test]
fn l6_every_error_of_an_unlock_is_reported() {
    for (acquire, release) in &HOLDS {
        for (name, errno) in ERRORS {
            let fault = format!("error={name}:when=2");
            let Some(mut scene) = Scene::new(UNLOCK, &fault, &[]) else { return };
            scene.ok(acquire);
            scene.refused(release, Action::Unlock, errno);
            assert_eq!(scene.state("a"), ReleasedError, "{}", scene.what);
            assert!(scene.holder.finds_free("a"), "{}", scene.what);
            assert_eq!(scene.refuses(Release("a")).kind, NotLocked, "{}", scene.what);
            // The handle stays usable.
            scene.ok(acquire);
            assert_eq!(scene.state("a"), HeldExclusive, "{}", scene.what);
            scene.ok(release);
            assert_eq!(scene.state("a"), Unlocked, "{}", scene.what);
            scene.leaves_nothing();
        }
    }
}

#[test]
fn l6_a_dropped_guard_whose_unlock_fails_ends_the_hold() {
    let Some(mut scene) = Scene::new(UNLOCK, "error=ENOLCK:when=2", &[]) else { return };
    scene.lock("a", "g");
    scene.drop_guard("g");
    assert_eq!(scene.state("a"), ReleasedError);
    scene.leaves_nothing();
}

/// While holds remain, the state shows them, not the failed release.
#[test]
fn l6_a_failed_unlock_among_shared_holds_keeps_the_others() {
    let Some(mut scene) = Scene::new(UNLOCK, "error=EIO:when=3", &[Shared]) else { return };
    scene.acquire("a");
    scene.acquire("a");
    assert_eq!(scene.refuses(Release("a")).action, Action::Unlock);
    assert_eq!(scene.state("a"), HeldShared(1));
    assert!(!scene.holder.finds_free("a"));
    scene.release("a");
    assert_eq!(scene.state("a"), Unlocked);
    scene.leaves_nothing();
}

/// A call that is interrupted once, five times or ninety times in a row is made again.
#[test]
fn l12_interrupted_calls_are_retried() {
    for point in POINTS.into_iter().filter(|point| !point.held).chain([UNLOCK]) {
        for times in [1, 5, 90] {
            for settings in [&[][..], &[Timeout(600_000)], &[Timeout(0)], &[UseSignals(false)]] {
                let (first, last) = (point.nth, point.nth + times - 1);
                let fault = format!("error=EINTR:when={first}..{last}");
                let Some(mut scene) = Scene::new(point, &fault, settings) else { return };
                scene.acquire("a");
                assert!(!scene.holder.finds_free("a"), "{}", scene.what);
                scene.release("a");
                assert_eq!(scene.state("a"), Unlocked, "{}", scene.what);
                scene.leaves_nothing();
            }
        }
    }
}

/// Interrupted calls of queries are made again, too.
#[test]
fn l12_interrupted_calls_of_queries_are_retried() {
    for (query, calls, nth) in [(IsCurrent("g"), STAT, 3), (Status("a"), OPEN, 2)] {
        let point = Point { calls, nth, action: Action::Query, existed: true, held: false };
        for times in [1, 5, 90] {
            let fault = format!("error=EINTR:when={nth}..{}", times + nth - 1);
            let Some(mut scene) = Scene::new(point, &fault, &[]) else { return };
            scene.lock("a", "g");
            match scene.ok(&query) {
                Value::Flag(is_current) => assert!(is_current, "{}", scene.what),
                status => {
                    let pid = scene.strace.pid().to_string();
                    assert!(format!("{status:?}").contains(&pid), "{}: {status:?}", scene.what);
                }
            }
            scene.release_guard("g");
            scene.leaves_nothing();
        }
    }
}

/// A waiter whose wait is interrupted repeatedly continues to wait and does not time out earlier.
#[test]
fn l3_signals_neither_shorten_nor_prolong_a_wait() {
    let point = POINTS[4];
    assert!(point.held);
    for fault in ["error=EINTR:when=2", "error=EINTR:when=2..6", "error=EINTR:when=2+2"] {
        for settings in [&[Timeout(100)][..], &[Timeout(100), Shared]] {
            let Some(mut scene) = Scene::new(point, fault, settings) else { return };
            let answer = scene.strace.ask(Acquire("a"));
            assert_eq!(answer.kind(), Some(TimedOut), "{}: {answer:?}", scene.what);
            let took = answer.took();
            assert!(took >= Duration::from_millis(100) && took < PATIENCE, "{took:?}");
            scene.leaves_nothing();
        }
    }
}

/// If every call is interrupted forever, the call returns an error that mentions signals, at the deadline and not before.
#[test]
fn l12_endless_interruptions_are_an_error_at_the_deadline() -> Outcome {
    for point in POINTS {
        for timeout in [0, 100] {
            let fault = format!("error=EINTR:when={}+", if point.held { 1 } else { point.nth });
            let Some(mut scene) = Scene::new(point, &fault, &[Timeout(timeout)]) else {
                return Ok(());
            };
            let answer = scene.strace.ask(Acquire("a"));
            let took = answer.took();
            assert!(took >= Duration::from_millis(timeout) && took < PATIENCE, "{took:?}");
            let refusal = answer.outcome.expect_err(&scene.what);
            // After an interrupted creation the library first opens the file again.
            let is_creation = point.action == Action::Create;
            let action = if is_creation { Action::Open } else { point.action };
            assert_eq!(refusal.action, action, "{}: {refusal:?}", scene.what);
            assert!(refusal.message.contains("signals"), "{}: {refusal:?}", scene.what);
            assert_eq!(scene.state("a"), Unlocked, "{}", scene.what);
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
    for fault in ["timer_create:error=EAGAIN", "timer_settime:error=EINVAL"] {
        let (_scratch, path) = Scratch::with_path();
        let Some(mut strace) = Strace::spawn(&[&format!("--inject={fault}")]) else {
            return;
        };
        strace.handle("short", &path, &[Timeout(100)]);
        strace.handle("long", &path, &[Timeout(600_000)]);
        let descriptors = strace.descriptors();
        let mut holder = Peer::on(&path);
        holder.acquire("a");
        let answer = strace.ask(Acquire("short"));
        assert_eq!(answer.kind(), Some(TimedOut), "{fault}: {answer:?}");
        assert!(answer.took() >= Duration::from_millis(100), "{fault}: {answer:?}");
        strace.start("w", Acquire("long"));
        strace.assert_waiting("w");
        holder.release("a");
        strace.wait_ok("w");
        assert!(!holder.finds_free("a"));
        strace.release("long");
        assert!(holder.finds_free("a"));
        strace.drop_handle("short");
        strace.drop_handle("long");
        assert_eq!(strace.descriptors(), descriptors, "{fault}");
        let trace = strace.end();
        assert!(trace.count("(INJECTED)") > 0, "the fault was not injected");
    }
}

/// If a hold cannot be passed on, it ends, and the error gives the reason.
#[test]
fn l12_a_failed_inherit_on_exec_ends_the_hold() {
    let point =
        Point { calls: "fcntl", nth: 1, action: Action::Inherit, existed: true, held: false };
    for (name, errno) in ERRORS {
        // Without a descriptor beyond 10 a lower one is tried.
        let times = if ["EMFILE", "EINVAL"].contains(&name) { "1..2" } else { "1" };
        let fault = format!("error={name}:when={times}");
        let Some(mut scene) = Scene::new(point, &fault, &[]) else { return };
        scene.lock("a", "g");
        scene.refused(&InheritOnExec("g"), Action::Inherit, errno);
        assert_eq!(scene.state("a"), Unlocked, "{}", scene.what);
        assert!(scene.holder.finds_free("a"), "{}", scene.what);
        scene.leaves_nothing();
    }
}

/// If an idle descriptor fails, the library closes it and opens the file again.
#[test]
fn l12_a_failing_idle_descriptor_is_replaced() {
    // After one acquisition and release the idle descriptor fails.
    for calls in ["flock", STAT] {
        let faults = [(calls, "error=ESTALE:when=3")];
        let Some(mut scene) = Scene::of_free_lock(&faults) else { return };
        scene.repeat(2, [Acquire("a"), Release("a")]);
        scene.leaves_nothing();
    }
}
