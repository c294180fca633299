//! The system says no, which strace makes it do.
//!
//! - L6: when the system refuses to unlock, the hold is given up all the same and the error returned.
//! - L12: everything but contention is an I/O error with the path, what was being done, and the
//!   cause; a signal is never seen by a caller.
//! - L13: nothing is left behind.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::Command;

use crate::support::{Outcome, Peer, Scratch, Strace, access_of_open, words_of};

/// A lock file, a traced peer with the handle `a` to it, and `--inject` for calls that have to do
/// with it alone. Other peers see the system as it is.
struct Refused {
    scratch: Scratch,
    strace: Strace,
    descriptors: usize,
}

const OPEN: &str = "?open,openat";
const STAT: &str = "?stat,?newfstatat,statx";

impl Refused {
    fn new(check: &str, options: &str, faults: &[(&str, &str)]) -> Option<Self> {
        let scratch = Scratch::new();
        let path = scratch.lock_path();
        fs::write(&path, "as it was").expect("the directory is ours");
        let only = format!("--trace-path={}", path.display());
        let faults: Vec<String> =
            faults.iter().map(|(calls, fault)| format!("--inject={calls}:{fault}")).collect();
        let arguments =
            [&[&*only], &*faults.iter().map(String::as_str).collect::<Vec<_>>()].concat();
        let mut strace = Strace::spawn(check, &arguments)?;
        strace.peer.handle("a", &path, options);
        let descriptors = strace.peer.descriptors();
        Some(Self { scratch, strace, descriptors })
    }

    fn peer(&mut self) -> &mut Peer {
        &mut self.strace.peer
    }

    /// For what the peer has the lock file open, by each of its descriptors.
    fn access(&self) -> Outcome<Vec<i32>> {
        access_of_open(self.strace.peer.pid(), &self.scratch.lock_path())
    }

    /// The lock is free, the file as it was, and so is the process, but for one descriptor that it
    /// may keep.
    fn leaves_nothing(mut self, what: &str) -> Outcome {
        let path = self.scratch.lock_path();
        assert!(Peer::with_handle("a", &path, "").finds_free("a"), "{what}");
        self.peer().ok("drop_handle a");
        assert_eq!(self.strace.peer.descriptors(), self.descriptors, "{what}");
        self.strace.end();
        assert_eq!(fs::read_to_string(&path)?, "as it was");
        Ok(())
    }

    /// The command meets the system's refusal, and the next one does not.
    fn assert_refused(mut self, command: &str, class: &str, code: i32) -> Outcome {
        let path = self.scratch.lock_path();
        let refusal = self.peer().refused(command);
        assert_eq!(refusal.class, class, "{refusal:?}");
        let cause = format!("{}: {}", path.display(), words_of(code));
        assert!(refusal.message.contains(&cause), "{refusal:?}");
        assert_eq!(self.peer().ok("state a"), "unlocked");
        self.peer().ok(command);
        self.peer().ok(if command == "acquire a" { "release a" } else { "drop_guard g" });
        self.leaves_nothing(command)
    }
}

#[test]
fn l6_a_refused_unlock_is_an_error_and_the_end_of_the_hold() -> Outcome {
    let check = "l6_a_refused_unlock_is_an_error_and_the_end_of_the_hold";
    for (acquire, release) in [("acquire a", "release a"), ("lock a g", "release_guard g")] {
        // The second call: the first one locks.
        let fault = ("flock", "error=EIO:when=2");
        let Some(mut refused) = Refused::new(check, "", &[fault]) else { return Ok(()) };
        let mut other = Peer::with_handle("a", refused.scratch.lock_path(), "");
        refused.peer().ok(acquire);
        assert!(!other.finds_free("a"));
        let refusal = refused.peer().refused(release);
        assert_eq!(refusal.class, "unlock");
        let path = refused.scratch.lock_path();
        let message = format!("cannot unlock {}: {}", path.display(), words_of(libc::EIO));
        assert_eq!(refusal.message, message);
        assert_eq!(refused.peer().ok("state a"), "released_error");
        assert!(other.finds_free("a"));

        assert_eq!(refused.peer().refused("release a").class, "not_locked");
        refused.peer().ok(acquire);
        assert_eq!(refused.peer().ok("state a"), "exclusive");
        refused.peer().ok(release);
        assert_eq!(refused.peer().ok("state a"), "unlocked");
        refused.leaves_nothing(release)?;
    }
    Ok(())
}

#[test]
fn l6_a_guards_drop_bears_a_refusal() -> Outcome {
    let check = "l6_a_guards_drop_bears_a_refusal";
    let fault = ("flock", "error=ENOLCK:when=2");
    let Some(mut refused) = Refused::new(check, "", &[fault]) else { return Ok(()) };
    refused.peer().ok("lock a g");
    refused.peer().ok("drop_guard g");
    assert_eq!(refused.peer().ok("state a"), "released_error");
    refused.leaves_nothing("drop_guard g")
}

/// The state tells what is held before it tells what went wrong.
#[test]
fn l6_a_refusal_among_shared_holds() -> Outcome {
    let check = "l6_a_refusal_among_shared_holds";
    let fault = ("flock", "error=EIO:when=3");
    let Some(mut refused) = Refused::new(check, "shared", &[fault]) else { return Ok(()) };
    refused.peer().ok("acquire a");
    refused.peer().ok("acquire a");
    assert_eq!(refused.peer().refused("release a").class, "unlock");
    assert_eq!(refused.peer().ok("state a"), "shared 1");
    let mut other = Peer::with_handle("a", refused.scratch.lock_path(), "");
    assert!(!other.finds_free("a"));
    refused.peer().ok("release a");
    assert_eq!(refused.peer().ok("state a"), "unlocked");
    refused.leaves_nothing("release a")
}

#[test]
fn l12_a_refusal_is_told_with_path_action_and_cause() -> Outcome {
    let check = "l12_a_refusal_is_told_with_path_action_and_cause";
    let faults = [
        (OPEN, "error=EIO:when=1", "open", libc::EIO),
        (OPEN, "error=ENFILE:when=1", "open", libc::ENFILE),
        // What may not be read is opened for writing.
        (OPEN, "error=EACCES:when=1..2", "open", libc::EACCES),
        ("fstat", "error=EIO:when=1", "open", libc::EIO),
        ("flock", "error=ENOLCK:when=1", "lock", libc::ENOLCK),
        ("flock", "error=EOPNOTSUPP:when=1", "lock", libc::EOPNOTSUPP),
        // On CIFS that is contention, but not on a file system that is not CIFS.
        ("flock", "error=EACCES:when=1", "lock", libc::EACCES),
        (STAT, "error=EIO:when=1", "open", libc::EIO),
        (STAT, "error=EACCES:when=2", "check", libc::EACCES),
        (STAT, "error=EIO:when=2", "check", libc::EIO),
    ];
    for (calls, fault, class, code) in faults {
        for command in ["acquire a", "lock a g"] {
            let Some(refused) = Refused::new(check, "", &[(calls, fault)]) else { return Ok(()) };
            refused.assert_refused(command, class, code)?;
        }
    }
    Ok(())
}

/// A refusal in the middle of a wait is one, too; the file is held by somebody else meanwhile.
#[test]
fn l12_a_refused_wait_is_no_contention() -> Outcome {
    let check = "l12_a_refused_wait_is_no_contention";
    for options in ["", "timeout=600000"] {
        // The first call tries, the second one waits.
        let fault = ("flock", "error=ENOLCK:when=2");
        let Some(mut refused) = Refused::new(check, options, &[fault]) else { return Ok(()) };
        let mut holder = Peer::with_handle("a", refused.scratch.lock_path(), "");
        holder.ok("acquire a");
        let refusal = refused.peer().refused("acquire a");
        assert_eq!(refusal.class, "lock");
        assert!(refusal.message.contains("No locks available"), "{refusal:?}");
        holder.ok("release a");
        refused.leaves_nothing(options)?;
    }
    Ok(())
}

#[test]
fn l12_a_signal_is_no_answer() -> Outcome {
    let check = "l12_a_signal_is_no_answer";
    for calls in [OPEN, "flock", STAT] {
        for options in ["", "timeout=600000", "timeout=0", "use_signals=false timeout=600000"] {
            let fault = (calls, "error=EINTR:when=1..5");
            let Some(mut refused) = Refused::new(check, options, &[fault]) else { return Ok(()) };
            refused.peer().ok("acquire a");
            assert_eq!(refused.peer().ok("state a"), "exclusive");
            refused.peer().ok("release a");
            refused.leaves_nothing(calls)?;
        }
    }
    // And when it unlocks.
    let fault = ("flock", "error=EINTR:when=2..5");
    let Some(mut refused) = Refused::new(check, "", &[fault]) else { return Ok(()) };
    refused.peer().ok("acquire a");
    refused.peer().ok("release a");
    refused.leaves_nothing("release a")
}

/// Signals without an end are told as what they are, and not waited for.
#[test]
fn l12_signals_do_not_outlive_the_deadline() -> Outcome {
    let check = "l12_signals_do_not_outlive_the_deadline";
    let calls = [
        (OPEN, "1+", "open"),
        (STAT, "1+", "open"),
        ("flock", "1+", "lock"),
        (STAT, "2+", "check"),
    ];
    for (calls, which, class) in calls {
        for timeout in [0, 50] {
            let options = format!("timeout={timeout}");
            let fault = format!("error=EINTR:when={which}");
            let fault = (calls, &*fault);
            let Some(mut refused) = Refused::new(check, &options, &[fault]) else { return Ok(()) };
            let refusal = refused.peer().refused("acquire a");
            assert_eq!(refusal.class, class, "{refusal:?}");
            assert!(refusal.message.contains("signals"), "{refusal:?}");
            refused.leaves_nothing(calls)?;
        }
    }
    Ok(())
}

/// An old descriptor may have troubles that a new one does not.
#[test]
fn l12_a_kept_descriptor_is_given_up() -> Outcome {
    let check = "l12_a_kept_descriptor_is_given_up";
    // One acquire and release, and then the kept descriptor fails.
    for (calls, fault) in [("flock", "error=ESTALE:when=3"), (STAT, "error=ESTALE:when=3")] {
        let Some(mut refused) = Refused::new(check, "", &[(calls, fault)]) else { return Ok(()) };
        refused.peer().ok("repeat 2 acquire a ; release a");
        refused.leaves_nothing(calls)?;
    }
    Ok(())
}

/// A file that may not be read is locked by a descriptor for writing.
#[test]
fn l12_a_file_that_may_not_be_read_is_opened_for_writing() -> Outcome {
    let check = "l12_a_file_that_may_not_be_read_is_opened_for_writing";
    for error in ["EACCES", "EPERM"] {
        let fault = format!("error={error}:when=1");
        let Some(mut refused) = Refused::new(check, "", &[(OPEN, &fault)]) else { return Ok(()) };
        let mut other = Peer::with_handle("a", refused.scratch.lock_path(), "");
        refused.peer().ok("acquire a");
        assert!(!other.finds_free("a"), "{error}");
        assert_eq!(refused.access()?, [libc::O_WRONLY], "{error}");
        refused.peer().ok("release a");
        refused.leaves_nothing(error)?;
    }
    Ok(())
}

/// NFS answers `EBADF`, CIFS `EIO` to an exclusive lock on a descriptor that is for reading alone.
#[test]
fn l1_a_lock_that_needs_writing_is_taken_by_a_descriptor_for_both() -> Outcome {
    let check = "l1_a_lock_that_needs_writing_is_taken_by_a_descriptor_for_both";
    for error in ["EBADF", "EIO"] {
        let fault = format!("error={error}:when=1");
        let Some(mut refused) = Refused::new(check, "", &[("flock", &fault)]) else {
            return Ok(());
        };
        let mut other = Peer::with_handle("a", refused.scratch.lock_path(), "");
        refused.peer().ok("acquire a");
        assert!(!other.finds_free("a"), "{error}");
        assert_eq!(refused.access()?, [libc::O_RDWR], "{error}");
        refused.peer().ok("release a");
        refused.leaves_nothing(error)?;
    }
    Ok(())
}

/// Where the descriptor for both is refused, or refused the lock in its turn, the error is that of
/// the lock.
#[test]
fn l12_a_lock_that_needs_writing_and_cannot_have_it() -> Outcome {
    let check = "l12_a_lock_that_needs_writing_and_cannot_have_it";
    let ways = [
        &[("flock", "error=EBADF:when=1"), (OPEN, "error=EACCES:when=2")][..],
        &[("flock", "error=EBADF:when=1..2")],
    ];
    for faults in ways {
        let Some(refused) = Refused::new(check, "", faults) else { return Ok(()) };
        refused.assert_refused("acquire a", "lock", libc::EBADF)?;
    }
    Ok(())
}

#[test]
fn l8_what_is_no_file_is_not_opened() -> Outcome {
    let check = "l8_what_is_no_file_is_not_opened";
    for kind in ["directory", "fifo", "device"] {
        let Some(mut refused) = Refused::new(check, "", &[]) else { return Ok(()) };
        let path = refused.scratch.lock_path();
        fs::remove_file(&path)?;
        match kind {
            "directory" => fs::create_dir(&path)?,
            "fifo" => assert!(Command::new("mkfifo").arg(&path).status()?.success()),
            _ => std::os::unix::fs::symlink("/dev/null", &path)?,
        }
        assert_eq!(refused.peer().refused("acquire a").class, "open");
        assert_eq!(refused.peer().refused("try_lock a g").kind, "path");
        let trace = refused.strace.end();
        assert_eq!(trace.calls().filter(|call| call.contains("open")).count(), 0, "{kind}");
        assert_ne!(trace.calls().count(), 0, "the counter-proof: other calls are seen");
    }
    Ok(())
}

/// Missing when it was to be opened, there when it was to be created: somebody else was faster.
#[test]
fn l8_a_file_that_appears_is_not_created_anew() -> Outcome {
    let check = "l8_a_file_that_appears_is_not_created_anew";
    let fault = (OPEN, "error=ENOENT:when=1");
    let Some(mut refused) = Refused::new(check, "", &[fault]) else { return Ok(()) };
    refused.peer().ok("acquire a");
    refused.peer().ok("release a");
    refused.leaves_nothing("acquire a")
}
