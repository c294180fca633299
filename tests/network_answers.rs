//! Answers of network file systems, which strace injects on a local one: the file system type (`statfs(2)`), errors of
//! locks, and paths that name another file at every check. `ci/network.sh` tests real network file systems.
#![cfg(target_os = "linux")]

use std::fs;

use crate::support::prelude::*;

const NFS: &str = "69690000";
const SMB: &str = "424d53fe";
const FUSE: &str = "46557365";
const STAT: &str = "newfstatat";

/// A traced peer with injected faults, and another peer that may hold the lock.
struct Scene {
    scratch: Scratch,
    strace: Strace,
    holder: Peer,
}

impl Scene {
    /// Makes a scene with one fault. Returns `None` if strace does not work here.
    fn new(inject: &str, settings: &[Setting], is_held: bool) -> Option<Self> {
        Self::with(&[inject], settings, is_held)
    }

    /// Makes a scene with several faults.
    fn with(inject: &[&str], settings: &[Setting], is_held: bool) -> Option<Self> {
        let (scratch, path) = Scratch::with_path();
        fs::write(&path, "").expect("the test should own the directory");
        let mut holder = Peer::on(&path);
        if is_held {
            holder.acquire("a");
        }
        let inject: Vec<_> = inject.iter().map(|fault| format!("--inject={fault}")).collect();
        // The process makes these calls for other files, too. The fault is limited to the lock file.
        let only = format!("--trace-path={}", path.display());
        let is_limited = inject.iter().any(|fault| fault.contains(STAT) || fault.contains("open"));
        let only = is_limited.then_some(&*only);
        let strace_options: Vec<_> = inject.iter().map(|it| &**it).chain(only).collect();
        let mut strace = Strace::spawn(&strace_options)?;
        strace.handle("a", &path, settings);
        Some(Self { scratch, strace, holder })
    }

    /// Makes a scene in which the lock file seems to be on the file system of this type. `magic` is in memory byte order.
    fn on(magic: &str, settings: &[Setting], is_held: bool) -> Option<Self> {
        Self::new(&format!("fstatfs:poke_exit=@arg2={magic}"), settings, is_held)
    }

    #[track_caller]
    fn refused(&mut self) -> Refusal {
        self.strace.ask(Acquire("a")).outcome.expect_err("the acquisition should fail")
    }

    fn end(self) -> Trace {
        self.strace.end()
    }
}

/// Returns the call that grants the lock, and the calls after it.
fn after_grant(trace: &Trace) -> Vec<&str> {
    let calls = trace.calls().skip_while(|call| !call.contains("LOCK_EX|LOCK_NB)"));
    let calls: Vec<_> = calls.collect();
    assert!(!calls.is_empty(), "the peer tries the lock");
    calls
}

/// Counts the waits in the kernel's queue.
fn waits(trace: &Trace) -> usize {
    trace.calls().filter(|call| call.contains("LOCK_EX") && !call.contains("LOCK_NB")).count()
}

/// On SMB and on some FUSE servers a signal does not end a wait, so a timed wait retries.
#[test]
fn l3_a_timed_wait_that_no_signal_ends_retries() {
    for (magic, is_polled) in [(SMB, true), (FUSE, true), (NFS, false)] {
        let Some(mut scene) = Scene::on(magic, &[Timeout(300), RetryPeriod(20)], true) else {
            return;
        };
        assert_eq!(scene.refused().kind, TimedOut);
        let trace = scene.end();
        let sleeps = waits(&trace);
        assert_eq!(sleeps == 0, is_polled, "{magic}: {sleeps} waits in the kernel's queue");
        assert!(trace.count("LOCK_EX|LOCK_NB)") > 1, "{magic}");
    }
}

/// A wait without a deadline needs no signal, so it sleeps in the kernel.
#[test]
fn l4_an_untimed_wait_sleeps_in_the_kernel_everywhere() {
    let Some(mut scene) = Scene::on(SMB, &[], true) else { return };
    let path = scene.scratch.lock_path();
    scene.strace.start_waiting("w", Acquire("a"), &path);
    scene.strace.assert_waiting("w");
    scene.holder.release("a");
    scene.strace.wait_ok("w");
    assert_eq!(waits(&scene.end()), 1);
}

/// The NFS client uses its cache of a directory until the directory is opened. The SMB client answers a `stat` of the path
/// from its cache, too; an open of the file goes to the server.
#[test]
fn l9_on_nfs_and_smb_the_check_asks_the_server() {
    for (magic, expected) in [(NFS, (1, 0)), (SMB, (0, 1)), (FUSE, (0, 0))] {
        let Some(mut scene) = Scene::on(magic, &[], false) else { return };
        scene.strace.acquire("a");
        let directory = format!("\"{}\", ", scene.scratch.path().display());
        let path = scene.scratch.lock_path().display().to_string();
        let trace = scene.end();
        let after = after_grant(&trace);
        let opens = |what: &str| {
            after.iter().filter(|call| call.contains("open") && call.contains(what)).count()
        };
        assert_eq!((opens(&directory), opens(&path)), expected, "{magic}: {after:#?}");
    }
}

/// On 9p a wait that a signal interrupts returns `EAGAIN`.
#[test]
fn l12_a_wait_that_is_answered_with_eagain_is_contention() {
    // Every second call is a wait.
    let inject = "flock:error=EAGAIN:when=2+2";
    let Some(mut scene) = Scene::new(inject, &[Timeout(100), RetryPeriod(10)], true) else {
        return;
    };
    let refusal = scene.refused();
    assert_eq!(refusal.kind, TimedOut, "{refusal:?}");
    assert!(scene.end().count("(INJECTED)") > 1);
}

/// On NFS an exclusive lock needs a descriptor that is open for writing, and here the file cannot be opened so. On other
/// file systems, for a shared lock, and for a descriptor that is open for writing, `EBADF` is reported as it is.
#[test]
fn l12_ebadf_means_permission_denied_on_nfs() {
    let local = "53ef0000";
    let (denied, other) = ((PermissionDenied, true), (Other, false));
    // The second open is the one for writing.
    let (refused, opened) = ("openat:error=EACCES:when=2", "openat:delay_exit=1:when=2");
    for (magic, options, open, expected) in [
        (NFS, &[][..], refused, denied),
        (NFS, &[], opened, other),
        (NFS, &[Shared], refused, other),
        (local, &[], refused, other),
        (local, &[Shared], opened, other),
        (FUSE, &[], refused, other),
    ] {
        let poke = format!("fstatfs:poke_exit=@arg2={magic}");
        let inject = [&*poke, "flock:error=EBADF:when=1..2", open];
        let Some(mut scene) = Scene::with(&inject, options, false) else { return };
        let refusal = scene.refused();
        let hint = refusal.message.contains("requires write access");
        let answer = (refusal.kind, hint);
        assert_eq!(
            (refusal.action, answer),
            (Action::Lock, expected),
            "{magic} {options:?}: {refusal:?}"
        );
        refusal.assert_says(&words_of(libc::EBADF));
        scene.end();
    }
}

/// A release makes no call that asks the server: the library has stored what it needs.
#[test]
fn l13_a_release_does_not_ask_the_server() {
    for magic in [NFS, SMB, FUSE] {
        let Some(mut scene) = Scene::on(magic, &[], false) else { return };
        scene.strace.acquire("a");
        scene.strace.release("a");
        let trace = scene.end();
        let after = after_grant(&trace);
        let unlocked = after.iter().position(|call| call.contains("LOCK_UN"));
        let between = &after[..unlocked.expect("the peer unlocks")];
        assert!(between.last().is_some_and(|call| call.starts_with("lseek(")), "{between:#?}");
    }
}

/// Some file systems report another inode number at each call. The acquisition ends with an error, with and without a
/// timeout.
#[test]
fn l9_a_path_that_always_names_another_file_is_an_error() {
    for settings in [&[][..], &[Timeout(600_000)]] {
        // The injected device number is at the beginning of the `stat` buffer.
        let inject = format!("{STAT}:poke_exit=@arg3=ffffffffffffffff");
        let Some(mut scene) = Scene::new(&inject, settings, false) else { return };
        let refusal = scene.refused();
        assert_eq!(refusal.action, Action::Verify, "{refusal:?}");
        refusal.assert_says("another file at every check");
        scene.end();
    }
}
