//! The system says no, which strace makes it do.
//!
//! - L6: when the system refuses to unlock, the hold is given up all the same and the error returned.
//! - L12: everything but contention is an I/O error with the path, what was being done, and the
//!   cause; a signal is never seen by a caller.
//! - L13: nothing is left behind.
#![cfg(target_os = "linux")]

use std::fs;

use crate::support::{Outcome, Peer, Scratch, Strace, words_of};

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
        let message = format!("couldn't unlock {}: {}", path.display(), words_of(libc::EIO));
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
        // Not EACCES and the like, which are tried again for reading alone.
        (OPEN, "error=EACCES:when=1..2", "open", libc::EACCES),
        ("fstat", "error=EIO:when=1", "open", libc::EIO),
        ("flock", "error=ENOLCK:when=1", "lock", libc::ENOLCK),
        ("flock", "error=EOPNOTSUPP:when=1", "lock", libc::EOPNOTSUPP),
        // On CIFS that is contention, but not on a file system that is not CIFS.
        ("flock", "error=EACCES:when=1", "lock", libc::EACCES),
        (STAT, "error=EACCES:when=1", "check", libc::EACCES),
        (STAT, "error=EIO:when=1", "check", libc::EIO),
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
        for options in ["", "timeout=600000", "timeout=0", "without_signals timeout=600000"] {
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
    for (calls, class) in [(OPEN, "open"), ("flock", "lock"), (STAT, "check")] {
        for timeout in [0, 50] {
            let options = format!("timeout={timeout}");
            let fault = (calls, "error=EINTR");
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
    for (calls, fault) in [("flock", "error=ESTALE:when=3"), (STAT, "error=ESTALE:when=2")] {
        let Some(mut refused) = Refused::new(check, "", &[(calls, fault)]) else { return Ok(()) };
        refused.peer().ok("repeat 2 acquire a ; release a");
        refused.leaves_nothing(calls)?;
    }
    Ok(())
}

/// A file that may only be read is locked all the same, whatever the system calls the reason.
#[test]
fn l12_what_may_not_be_written_may_be_read() -> Outcome {
    let check = "l12_what_may_not_be_written_may_be_read";
    for error in ["EACCES", "EPERM", "EROFS", "ETXTBSY"] {
        let fault = format!("error={error}:when=1");
        let Some(mut refused) = Refused::new(check, "", &[(OPEN, &fault)]) else { return Ok(()) };
        let mut other = Peer::with_handle("a", refused.scratch.lock_path(), "");
        refused.peer().ok("acquire a");
        assert!(!other.finds_free("a"), "{error}");
        refused.peer().ok("release a");
        refused.leaves_nothing(error)?;
    }
    Ok(())
}

/// Where a directory may not even be opened for writing, it still is not what is locked.
#[test]
fn l12_a_directory_is_not_read_in_place_of_a_file() -> Outcome {
    let check = "l12_a_directory_is_not_read_in_place_of_a_file";
    let fault = (OPEN, "error=EACCES:when=1");
    let Some(mut refused) = Refused::new(check, "", &[fault]) else { return Ok(()) };
    let path = refused.scratch.lock_path();
    fs::remove_file(&path)?;
    fs::create_dir(&path)?;
    let refusal = refused.peer().refused("acquire a");
    assert_eq!(refusal.class, "open");
    assert!(refusal.message.ends_with("Is a directory (os error 21)"), "{refusal:?}");
    assert_eq!(refused.strace.peer.descriptors(), refused.descriptors);
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
