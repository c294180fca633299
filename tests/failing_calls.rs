//! System calls that fail. strace injects the errors.
//!
//! - L6: if an unlock fails, the hold still ends and the error is returned.
//! - L12: every failure except contention is an error with the path, the action and the cause. The caller never sees an
//!   interrupted call.
//! - L13: nothing is left behind.
#![cfg(target_os = "linux")]

use std::fmt::Debug;
use std::fs;
use std::process::Command;

use crate::support::prelude::*;

/// A lock file and a traced peer with the handle `a`. strace injects errors only into the peer's calls on the lock file.
/// Other peers have no faults.
struct Refused {
    scratch: Scratch,
    strace: Strace,
    descriptors: usize,
}

const OPEN: &str = "?open,openat";
const STAT: &str = "?stat,?newfstatat,statx";

impl Refused {
    fn new(settings: &[Setting], faults: &[(&str, &str)]) -> Option<Self> {
        let (scratch, path) = Scratch::with_path();
        fs::write(&path, "as it was").expect("the test should own the directory");
        let only = format!("--trace-path={}", path.display());
        let faults: Vec<String> =
            faults.iter().map(|(calls, fault)| format!("--inject={calls}:{fault}")).collect();
        let arguments =
            [&[&*only], &*faults.iter().map(String::as_str).collect::<Vec<_>>()].concat();
        let mut strace = Strace::spawn(&arguments)?;
        strace.handle("a", &path, settings);
        let descriptors = strace.descriptors();
        Some(Self { scratch, strace, descriptors })
    }

    fn peer(&mut self) -> &mut Peer {
        &mut self.strace
    }

    /// Returns the access of each of the peer's descriptors of the lock file.
    fn access(&self) -> Outcome<Vec<i32>> {
        access_of_open(self.strace.pid(), &self.scratch.lock_path())
    }

    /// Asserts that the lock is free and that the file and the peer's descriptors are as before.
    fn leaves_nothing(mut self, what: impl Debug) -> Outcome {
        let path = self.scratch.lock_path();
        assert!(Peer::on(&path).finds_free("a"), "{what:?}");
        self.peer().drop_handle("a");
        assert_eq!(self.strace.descriptors(), self.descriptors, "{what:?}");
        self.strace.end();
        assert_eq!(fs::read_to_string(&path)?, "as it was");
        Ok(())
    }

    /// Asserts that the request fails with this action and error number, and that the next attempt succeeds.
    fn assert_refused(mut self, request: &Request<&str>, action: Action, code: i32) -> Outcome {
        let path = self.scratch.lock_path();
        let refusal = self.peer().refuses(request);
        assert_eq!(refusal.action, action, "{refusal:?}");
        let cause = format!("{}: {}", path.display(), words_of(code));
        refusal.assert_says(&cause);
        assert_eq!(self.peer().state("a"), Unlocked);
        self.peer().ok(request);
        self.peer().ok(if *request == Acquire("a") { Release("a") } else { DropGuard("g") });
        self.leaves_nothing(request)
    }
}

#[test]
fn l6_a_failed_unlock_is_an_error_and_ends_the_hold() -> Outcome {
    for (acquire, release) in [(Acquire("a"), Release("a")), (Lock("a", "g"), ReleaseGuard("g"))] {
        // The first call locks, the second unlocks.
        let fault = ("flock", "error=EIO:when=2");
        let Some(mut refused) = Refused::new(&[], &[fault]) else { return Ok(()) };
        let mut other = Peer::on(refused.scratch.lock_path());
        refused.peer().ok(&acquire);
        assert!(!other.finds_free("a"));
        let refusal = refused.peer().refuses(&release);
        assert_eq!(refusal.action, Action::Unlock);
        let path = refused.scratch.lock_path();
        let message = format!("cannot unlock {}: {}", path.display(), words_of(libc::EIO));
        assert_eq!(refusal.message, message);
        assert_eq!(refused.peer().state("a"), ReleasedError);
        assert!(other.finds_free("a"));

        assert_eq!(refused.peer().refuses(Release("a")).kind, NotLocked);
        refused.peer().ok(&acquire);
        assert_eq!(refused.peer().state("a"), HeldExclusive);
        refused.peer().ok(&release);
        assert_eq!(refused.peer().state("a"), Unlocked);
        refused.leaves_nothing(release)?;
    }
    Ok(())
}

#[test]
fn l6_a_dropped_guard_whose_unlock_fails_ends_the_hold() -> Outcome {
    let fault = ("flock", "error=ENOLCK:when=2");
    let Some(mut refused) = Refused::new(&[], &[fault]) else { return Ok(()) };
    refused.peer().lock("a", "g");
    refused.peer().drop_guard("g");
    assert_eq!(refused.peer().state("a"), ReleasedError);
    refused.leaves_nothing(DropGuard("g"))
}

/// While holds remain, the state shows them, not the failed release.
#[test]
fn l6_a_failed_unlock_among_shared_holds_keeps_the_others() -> Outcome {
    let fault = ("flock", "error=EIO:when=3");
    let Some(mut refused) = Refused::new(&[Shared], &[fault]) else { return Ok(()) };
    refused.peer().acquire("a");
    refused.peer().acquire("a");
    assert_eq!(refused.peer().refuses(Release("a")).action, Action::Unlock);
    assert_eq!(refused.peer().state("a"), HeldShared(1));
    let mut other = Peer::on(refused.scratch.lock_path());
    assert!(!other.finds_free("a"));
    refused.peer().release("a");
    assert_eq!(refused.peer().state("a"), Unlocked);
    refused.leaves_nothing(Release("a"))
}

#[test]
fn l12_an_error_has_path_action_and_cause() -> Outcome {
    let faults = [
        (OPEN, "error=EIO:when=1", Action::Open, libc::EIO),
        (OPEN, "error=ENFILE:when=1", Action::Open, libc::ENFILE),
        // If the file may not be read, the library opens it for writing. Both calls fail.
        (OPEN, "error=EACCES:when=1..2", Action::Open, libc::EACCES),
        ("fstat", "error=EIO:when=1", Action::Open, libc::EIO),
        ("flock", "error=ENOLCK:when=1", Action::Lock, libc::ENOLCK),
        ("flock", "error=EOPNOTSUPP:when=1", Action::Lock, libc::EOPNOTSUPP),
        // On SMB this error means contention. This file system is not SMB.
        ("flock", "error=EACCES:when=1", Action::Lock, libc::EACCES),
        (STAT, "error=EIO:when=1", Action::Open, libc::EIO),
        (STAT, "error=EACCES:when=2", Action::Verify, libc::EACCES),
        (STAT, "error=EIO:when=2", Action::Verify, libc::EIO),
    ];
    for (calls, fault, action, code) in faults {
        for request in [Acquire("a"), Lock("a", "g")] {
            let Some(refused) = Refused::new(&[], &[(calls, fault)]) else { return Ok(()) };
            refused.assert_refused(&request, action, code)?;
        }
    }
    Ok(())
}

/// A wait that fails with an error is not contention, although another process holds the lock.
#[test]
fn l12_a_failed_wait_is_not_contention() -> Outcome {
    for options in [&[][..], &[Timeout(600_000)]] {
        // The first call tries, the second waits.
        let fault = ("flock", "error=ENOLCK:when=2");
        let Some(mut refused) = Refused::new(options, &[fault]) else { return Ok(()) };
        let mut holder = Peer::on(refused.scratch.lock_path());
        holder.acquire("a");
        let refusal = refused.peer().refuses(Acquire("a"));
        assert_eq!(refusal.action, Action::Lock);
        refusal.assert_says("No locks available");
        holder.release("a");
        refused.leaves_nothing(options)?;
    }
    Ok(())
}

#[test]
fn l12_an_interrupted_call_is_not_an_error() -> Outcome {
    for calls in [OPEN, "flock", STAT] {
        for options in
            [&[][..], &[Timeout(600_000)], &[Timeout(0)], &[UseSignals(false), Timeout(600_000)]]
        {
            let fault = (calls, "error=EINTR:when=1..5");
            let Some(mut refused) = Refused::new(options, &[fault]) else { return Ok(()) };
            refused.peer().acquire("a");
            assert_eq!(refused.peer().state("a"), HeldExclusive);
            refused.peer().release("a");
            refused.leaves_nothing(calls)?;
        }
    }
    // The same for an unlock.
    let fault = ("flock", "error=EINTR:when=2..5");
    let Some(mut refused) = Refused::new(&[], &[fault]) else { return Ok(()) };
    refused.peer().acquire("a");
    refused.peer().release("a");
    refused.leaves_nothing(Release("a"))
}

/// If every call is interrupted, the acquisition ends at its deadline with an error that mentions signals.
#[test]
fn l12_signals_do_not_outlive_the_deadline() -> Outcome {
    let calls = [
        (OPEN, "1+", Action::Open),
        (STAT, "1+", Action::Open),
        ("flock", "1+", Action::Lock),
        (STAT, "2+", Action::Verify),
    ];
    for (calls, which, action) in calls {
        for timeout in [0, 50] {
            let fault = format!("error=EINTR:when={which}");
            let fault = (calls, &*fault);
            let Some(mut refused) = Refused::new(&[Timeout(timeout)], &[fault]) else {
                return Ok(());
            };
            let refusal = refused.peer().refuses(Acquire("a"));
            assert_eq!(refusal.action, action, "{refusal:?}");
            refusal.assert_says("signals");
            refused.leaves_nothing(calls)?;
        }
    }
    Ok(())
}

/// If an idle descriptor fails, the library closes it and opens the file again.
#[test]
fn l12_a_failing_idle_descriptor_is_replaced() -> Outcome {
    // After one acquisition and release the idle descriptor fails.
    for (calls, fault) in [("flock", "error=ESTALE:when=3"), (STAT, "error=ESTALE:when=3")] {
        let Some(mut refused) = Refused::new(&[], &[(calls, fault)]) else { return Ok(()) };
        refused.peer().repeat(2, [Acquire("a"), Release("a")]);
        refused.leaves_nothing(calls)?;
    }
    Ok(())
}

/// A file that may not be read is locked through a write-only descriptor.
#[test]
fn l12_a_file_that_may_not_be_read_is_opened_for_writing() -> Outcome {
    for error in ["EACCES", "EPERM"] {
        let fault = format!("error={error}:when=1");
        let Some(mut refused) = Refused::new(&[], &[(OPEN, &fault)]) else { return Ok(()) };
        let mut other = Peer::on(refused.scratch.lock_path());
        refused.peer().acquire("a");
        assert!(!other.finds_free("a"), "{error}");
        assert_eq!(refused.access()?, [libc::O_WRONLY], "{error}");
        refused.peer().release("a");
        refused.leaves_nothing(error)?;
    }
    Ok(())
}

/// For an exclusive lock on a read-only descriptor NFS returns `EBADF` (flock(2)) and SMB `EIO`. The library then locks
/// through a read-write descriptor.
#[test]
fn l1_a_lock_that_needs_write_access_is_taken_through_a_read_write_descriptor() -> Outcome {
    for error in ["EBADF", "EIO"] {
        let fault = format!("error={error}:when=1");
        let Some(mut refused) = Refused::new(&[], &[("flock", &fault)]) else {
            return Ok(());
        };
        let mut other = Peer::on(refused.scratch.lock_path());
        refused.peer().acquire("a");
        assert!(!other.finds_free("a"), "{error}");
        assert_eq!(refused.access()?, [libc::O_RDWR], "{error}");
        refused.peer().release("a");
        refused.leaves_nothing(error)?;
    }
    Ok(())
}

/// If the read-write descriptor cannot be opened, or cannot be locked either, the error is that of the lock.
#[test]
fn l12_a_lock_that_needs_write_access_and_cannot_get_it_is_an_error() -> Outcome {
    let cases = [
        &[("flock", "error=EBADF:when=1"), (OPEN, "error=EACCES:when=2")][..],
        &[("flock", "error=EBADF:when=1..2")],
    ];
    for faults in cases {
        let Some(refused) = Refused::new(&[], faults) else { return Ok(()) };
        refused.assert_refused(&Acquire("a"), Action::Lock, libc::EBADF)?;
    }
    Ok(())
}

#[test]
fn l8_a_path_that_is_not_a_file_is_not_opened() -> Outcome {
    for kind in ["directory", "fifo", "device"] {
        let Some(mut refused) = Refused::new(&[], &[]) else { return Ok(()) };
        let path = refused.scratch.lock_path();
        fs::remove_file(&path)?;
        match kind {
            "directory" => fs::create_dir(&path)?,
            "fifo" => assert!(Command::new("mkfifo").arg(&path).status()?.success()),
            _ => std::os::unix::fs::symlink("/dev/null", &path)?,
        }
        assert_eq!(refused.peer().refuses(Acquire("a")).action, Action::Open);
        assert_eq!(refused.peer().refuses(TryLock("a", "g")).kind, InvalidPath);
        let trace = refused.strace.end();
        assert_eq!(trace.calls().filter(|call| call.contains("open")).count(), 0, "{kind}");
        assert_ne!(trace.calls().count(), 0, "the trace should contain other calls");
    }
    Ok(())
}

/// The file is missing when it is opened, and exists when it is created: another process was faster.
#[test]
fn l8_a_file_that_appears_is_not_created_again() -> Outcome {
    let fault = (OPEN, "error=ENOENT:when=1");
    let Some(mut refused) = Refused::new(&[], &[fault]) else { return Ok(()) };
    refused.peer().acquire("a");
    refused.peer().release("a");
    refused.leaves_nothing(Acquire("a"))
}
