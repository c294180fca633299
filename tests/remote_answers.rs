//! What file systems that are not local answer, which strace makes a local one say: its name (`statfs(2)`), errors of
//! their locks, and paths that name another file at every look. `ci/network.sh` meets the real ones.
#![cfg(target_os = "linux")]
#![allow(clippy::panic, reason = "that is how a test fails")]

use std::fs;

use crate::support::{Peer, Refusal, Scratch, Strace, Trace, words_of};

const NFS: &str = "69690000";
const SMB: &str = "424d53fe";
const FUSE: &str = "46557365";
const LOOK: &str = "newfstatat";

/// A peer whose lock file another process may hold, and that meets a fault.
struct Scene {
    scratch: Scratch,
    strace: Strace,
    holder: Peer,
}

impl Scene {
    /// `None`: it cannot be played here.
    fn new(check: &str, inject: &str, options: &str, is_held: bool) -> Option<Self> {
        Self::with(check, &[inject], options, is_held)
    }

    /// The same, with several faults.
    fn with(check: &str, inject: &[&str], options: &str, is_held: bool) -> Option<Self> {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        fs::write(&path, "").expect("the directory is ours");
        let mut holder = Peer::with_handle("a", &path, "");
        if is_held {
            holder.ok("acquire a");
        }
        let inject: Vec<_> = inject.iter().map(|fault| format!("--inject={fault}")).collect();
        // The look at a path is made of other files, too.
        let only = format!("--trace-path={}", path.display());
        let is_of_file_alone =
            inject.iter().any(|fault| fault.contains(LOOK) || fault.contains("open"));
        let only = is_of_file_alone.then_some(&*only);
        let strace_options: Vec<_> = inject.iter().map(|it| &**it).chain(only).collect();
        let mut strace = Strace::spawn(check, &strace_options)?;
        strace.peer.handle("a", &path, options);
        Some(Self { scratch, strace, holder })
    }

    /// As if the lock file were on the file system with this number, in the order of its bytes in memory.
    fn on(check: &str, magic: &str, options: &str, is_held: bool) -> Option<Self> {
        Self::new(check, &format!("fstatfs:poke_exit=@arg2={magic}"), options, is_held)
    }

    #[track_caller]
    fn refused(&mut self) -> Refusal {
        self.strace.peer.ask("acquire a").outcome.expect_err("it should be refused")
    }

    fn end(self) -> Trace {
        self.strace.end()
    }
}

/// Counts the waits in the kernel's queue.
fn waits(trace: &Trace) -> usize {
    trace.calls().filter(|call| call.contains("LOCK_EX") && !call.contains("LOCK_NB")).count()
}

/// SMB and some servers of FUSE do not let a signal end a wait.
#[test]
fn l3_a_timed_wait_that_no_signal_ends_is_polled() {
    for (magic, is_polled) in [(SMB, true), (FUSE, true), (NFS, false)] {
        let check = "l3_a_timed_wait_that_no_signal_ends_is_polled";
        let Some(mut scene) = Scene::on(check, magic, "timeout=300 retry_period=20", true) else {
            return;
        };
        assert_eq!(scene.refused().class, "timed_out");
        let trace = scene.end();
        let sleeps = waits(&trace);
        assert_eq!(sleeps == 0, is_polled, "{magic}: {sleeps} waits in the kernel's queue");
        assert!(trace.count("LOCK_EX|LOCK_NB)") > 1, "{magic}");
    }
}

/// Without a deadline there is nothing that a signal would have to end.
#[test]
fn l4_an_untimed_wait_sleeps_in_the_kernel_everywhere() {
    let check = "l4_an_untimed_wait_sleeps_in_the_kernel_everywhere";
    let Some(mut scene) = Scene::on(check, SMB, "", true) else { return };
    let path = scene.scratch.lock_path();
    scene.strace.peer.start_waiting("w", "acquire a", &path);
    scene.strace.peer.assert_waiting("w");
    scene.holder.ok("release a");
    scene.strace.peer.wait_ok("w");
    assert_eq!(waits(&scene.end()), 1);
}

/// The NFS client believes what it knows of a directory, until the directory is opened.
#[test]
fn l9_on_nfs_the_directories_are_opened_before_the_look() {
    let check = "l9_on_nfs_the_directories_are_opened_before_the_look";
    for (magic, expected) in [(NFS, 1), (FUSE, 0)] {
        let Some(mut scene) = Scene::on(check, magic, "", false) else { return };
        scene.strace.peer.ok("acquire a");
        let directory = scene.scratch.path().display().to_string();
        let opened = format!("\"{directory}\", ");
        let trace = scene.end();
        let calls: Vec<&str> = trace.calls().collect();
        let granted = calls.iter().position(|call| call.contains("LOCK_EX|LOCK_NB)"));
        let after = &calls[granted.expect("it asked for the lock")..];
        let is_open = |call: &&&str| call.contains(&opened) && call.contains("O_DIRECTORY)");
        let opens = after.iter().filter(is_open).count();
        assert_eq!(opens, expected, "{magic}: {after:#?}");
    }
}

/// The SMB client answers a look at the path from its cache, and opens by the server.
#[test]
fn l9_on_smb_the_path_is_opened_again() {
    let check = "l9_on_smb_the_path_is_opened_again";
    for (magic, expected) in [(SMB, 1), (FUSE, 0)] {
        let Some(mut scene) = Scene::on(check, magic, "", false) else { return };
        scene.strace.peer.ok("acquire a");
        let path = scene.scratch.lock_path().display().to_string();
        let trace = scene.end();
        let calls: Vec<&str> = trace.calls().collect();
        let granted = calls.iter().position(|call| call.contains("LOCK_EX|LOCK_NB)"));
        let after = &calls[granted.expect("it asked for the lock")..];
        let is_open = |call: &&&str| call.contains("open") && call.contains(&path);
        assert_eq!(after.iter().filter(is_open).count(), expected, "{magic}: {after:#?}");
    }
}

/// 9p ends a wait that a signal interrupted with `EAGAIN`.
#[test]
fn l12_a_wait_that_is_answered_with_eagain_is_contention() {
    let check = "l12_a_wait_that_is_answered_with_eagain_is_contention";
    // Every other call is a wait.
    let inject = "flock:error=EAGAIN:when=2+2";
    let Some(mut scene) = Scene::new(check, inject, "timeout=100 retry_period=10", true) else {
        return;
    };
    let refusal = scene.refused();
    assert_eq!((&*refusal.class, &*refusal.kind), ("timed_out", "contended"), "{refusal:?}");
    assert!(scene.end().count("(INJECTED)") > 1);
}

/// NFS 4 locks exclusively what is open for writing alone, and here the file cannot be. Elsewhere, and of a shared lock, the
/// answer means what the system says; of a descriptor that is open for writing, too.
#[test]
fn l12_ebadf_is_a_want_of_permission_on_nfs() {
    let check = "l12_ebadf_is_a_want_of_permission_on_nfs";
    let local = "53ef0000";
    let (wanting, other) = (("permissiondenied", true), ("other", false));
    // The second time, the file is opened for writing.
    let (refused, opened) = ("openat:error=EACCES:when=2", "openat:delay_exit=1:when=2");
    for (magic, options, open, expected) in [
        (NFS, "", refused, wanting),
        (NFS, "", opened, other),
        (NFS, "shared", refused, other),
        (local, "", refused, other),
        (local, "shared", opened, other),
        (FUSE, "", refused, other),
    ] {
        let poke = format!("fstatfs:poke_exit=@arg2={magic}");
        let inject = [&*poke, "flock:error=EBADF:when=1..2", open];
        let Some(mut scene) = Scene::with(check, &inject, options, false) else { return };
        let refusal = scene.refused();
        let hint = refusal.message.contains("requires write access");
        let answer = (&*refusal.kind, hint);
        assert_eq!((&*refusal.class, answer), ("lock", expected), "{magic} {options}: {refusal:?}");
        assert!(refusal.message.contains(&words_of(libc::EBADF)), "{refusal:?}");
        scene.end();
    }
}

/// What is remembered of a descriptor is not asked of the server.
#[test]
fn l13_a_release_looks_at_no_file_of_the_server() {
    let check = "l13_a_release_looks_at_no_file_of_the_server";
    for magic in [NFS, SMB, FUSE] {
        let Some(mut scene) = Scene::on(check, magic, "", false) else { return };
        scene.strace.peer.ok("acquire a");
        scene.strace.peer.ok("release a");
        let trace = scene.end();
        let calls: Vec<&str> = trace.calls().collect();
        let granted = calls.iter().position(|call| call.contains("LOCK_EX|LOCK_NB)"));
        let unlocked = calls.iter().position(|call| call.contains("LOCK_UN"));
        let (granted, unlocked) = (granted.expect("it locks"), unlocked.expect("it unlocks"));
        let between = &calls[granted..unlocked];
        assert!(between.last().is_some_and(|call| call.starts_with("lseek(")), "{between:#?}");
    }
}

/// Some file systems give a file another number at each look. The call has an end there, timed or not.
#[test]
fn l9_a_path_that_names_another_file_at_every_look_is_an_error() {
    let check = "l9_a_path_that_names_another_file_at_every_look_is_an_error";
    for options in ["", "timeout=600000"] {
        // Another device, which is the beginning of what `stat` tells.
        let inject = format!("{LOOK}:poke_exit=@arg3=ffffffffffffffff");
        let Some(mut scene) = Scene::new(check, &inject, options, false) else { return };
        let refusal = scene.refused();
        assert_eq!(refusal.class, "check", "{refusal:?}");
        assert!(refusal.message.contains("another file at every look"), "{refusal:?}");
        scene.end();
    }
}
