//! What the command inherits:
//! - of descriptors, the locked one and no other; with `-o` none;
//! - the signal mask and the ignored signals of the caller, except that SIGPIPE has its default action.

use crate::lock_file::{LockFile, answer};
use crate::running::{holder, start};

#[test]
fn the_command_inherits_only_the_locked_descriptor() {
    let lock = LockFile::new();
    // `ls` lists the descriptors of the shell, which opens none of its own while it waits.
    let list = |launcher: &str| {
        let text = answer(&lock.sh(&format!("{launcher} sh -c 'ls -l /proc/$$/fd; :'")).code(0));
        let open = text.lines().filter_map(|line| line.split_once(" -> "));
        open.map(|(before, file)| (before.rsplit(' ').next().map(String::from), file.to_string()))
            .collect::<Vec<_>>()
    };
    let plain = list("env");
    assert!(plain.len() >= 3, "there are three streams: {plain:?}");
    // The descriptors of a command beyond those that it has when a plain `env` starts it.
    let extra = |launcher: &str| {
        let is_extra = |number: &_| plain.iter().all(|(known, _)| known != number);
        let found = list(launcher).into_iter().filter(|(number, _)| is_extra(number));
        found.map(|(_, file)| file).collect::<Vec<_>>()
    };
    let file = lock.directory().canonicalize().expect("it should exist").join("f");
    let file = file.to_str().expect("it should be UTF-8");
    assert_eq!(extra("$L run f"), [file]);
    assert_eq!(extra("$L run -s -w 1 f"), [file]);
    assert_eq!(extra("$L run -o f"), [""; 0]);
    // The check must find one descriptor more.
    assert_eq!(extra("exec 9</dev/null; $L run f"), [file, "/dev/null"]);
}

/// Prints the signals that the command blocks, ignores and catches.
pub(crate) const TELL_SIGNALS: [&str; 3] = ["grep", "^Sig[BCI]", "/proc/self/status"];

/// Returns the masks of the command's signals, without 32 and 33. These belong to the C library: its `posix_spawn` ignores
/// them in the child, and its threads need them.
pub(crate) fn masks(text: &str) -> [u64; 3] {
    let mask = |line: &str| {
        let mask = line.split_whitespace().nth(1).expect("Linux reports it");
        u64::from_str_radix(mask, 16).expect("it is a mask") & !(0b11 << 31)
    };
    text.lines().map(mask).collect::<Vec<_>>().try_into().expect("Linux reports three masks")
}

/// Returns the signals of a command that a shell starts in this way.
fn signals(lock: &LockFile, launcher: &str) -> [u64; 3] {
    masks(&answer(&lock.sh(&format!("{launcher} grep '^Sig[BCI]' /proc/self/status")).code(0)))
}

#[test]
fn the_callers_signals_reach_the_command() {
    const CALLER: &str =
        "env --default-signal --ignore-signal=HUP,INT,USR2,WINCH --block-signal=TERM,USR1,INT";
    needs!("env --default-signal --ignore-signal=HUP --block-signal=TERM true");
    let lock = LockFile::new();
    let plain = signals(&lock, CALLER);
    assert_ne!(plain, [0; 3]);
    for options in ["", "-o", "-w 1h"] {
        assert_eq!(signals(&lock, &format!("{CALLER} $L run {options} f")), plain, "{options}");
    }
    // The check must find one signal more.
    assert_ne!(signals(&lock, &format!("{CALLER} env --ignore-signal=QUIT")), plain);
}

/// A wait with a timeout uses a signal, and leaves the caller's signals unchanged.
#[test]
fn a_wait_leaves_the_signals_unchanged() {
    let lock = LockFile::new();
    let after_a_wait = |options: &[&str]| {
        let holder = holder(&[], &lock);
        let mut run = start(options, &lock, &TELL_SIGNALS).waiting(&lock);
        holder.end();
        assert_eq!(run.wait().code(), Some(0));
        masks(&run.rest().join("\n"))
    };
    let free = signals(&lock, "$L run -w 1h f");
    assert_eq!(after_a_wait(&["-w", "1h"]), free);
    assert_eq!(after_a_wait(&[]), free);
}

#[test]
fn sigpipe_has_its_default_action() {
    /// The bit of SIGPIPE, signal 13.
    const PIPE: u64 = 1 << 12;
    needs!("env --ignore-signal=PIPE true");
    let lock = LockFile::new();
    let ignored = |launcher: &str| signals(&lock, launcher)[1] & PIPE != 0;
    for locket in ["$L run f", "$L run -o f"] {
        assert!(!ignored(locket));
        assert!(!ignored(&format!("env --ignore-signal=PIPE {locket}")));
        // The documentation recommends this to a caller that wants SIGPIPE ignored.
        assert!(ignored(&format!("{locket} env --ignore-signal=PIPE")));
    }
}
