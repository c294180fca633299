//! The texts of flock(1): its help, its part of the manual, and the names of errors.

use std::ffi::c_int;
use std::io;

use crate::exit::Codes;

/// The first line of the manual.
pub(crate) const ABOUT: &str =
    "Lock as flock(1) does, with its command line, exit codes and messages: of util-linux 2.42";

/// The description in the manual.
pub(crate) const DESCRIPTION: &str = "\
Lock as flock(1) does, with its command line, exit codes and messages: of util-linux 2.42.

Called as `flock`, by a link of that name, locket does the same. The lock of a descriptor belongs to the process that \
opened it, and stays when locket exits. A wait prints nothing.

One difference remains: a signal that is sent to locket is passed on to the command, and locket ends after the command. \
The lock is held while the command runs, even if locket is killed.";

/// The options, each with its description.
pub(crate) const OPTIONS: &[(&str, &str)] = &[
    ("-s, --shared", "share the lock with other shared holders"),
    ("-x, -e, --exclusive", "hold the lock alone (the default)"),
    ("-u, --unlock", "unlock a descriptor"),
    ("-n, --nb, --nonblocking", "do not wait: fail immediately if the lock is held"),
    ("-w, --wait, --timeout SECS", "fail if the lock is not free within this time; 0 is -n"),
    ("-E, --conflict-exit-code CODE", "exit with this code, instead of 1, if the lock is held"),
    ("-o, --close", "the command does not inherit the locked descriptor"),
    ("-c, --command STRING", "run this string by $SHELL, or by /bin/sh"),
    ("-F, --no-fork", "become the command instead of waiting for it"),
    ("--fd NUMBER", "lock this descriptor, and run a command"),
    ("--fcntl", "acquire a lock of fcntl(2) (F_OFD_SETLK) instead of one of flock(2)"),
    ("--start OFFSET", "lock from this byte on; implies --fcntl"),
    ("--length BYTES", "lock this many bytes, 0 is all; implies --fcntl"),
    ("--verbose", "print how long the lock took, what runs, or why it was not acquired"),
    ("-h, --help", "show this"),
    ("-V, --version", "show the version"),
];

pub(crate) const EXIT_CODES: Codes = &[
    ("1", "the lock is held (-n, -w); -E sets another code"),
    ("64", "the arguments are wrong"),
    ("65", "the file cannot be locked"),
    ("66", "the lock file cannot be opened"),
    ("69", "the command cannot be run"),
    ("71", "no more processes, descriptors, timers, locks or memory"),
    ("73", "the lock file cannot be created: no space, or a read-only file system"),
    ("others", "the command's own, and 128 + N if the signal N ended it"),
];

const USAGE: &str = "
Usage:
 flock [options] FILE|DIRECTORY COMMAND [ARGUMENT...]
 flock [options] FILE|DIRECTORY -c STRING
 flock [options] NUMBER
 flock [options] --fd NUMBER COMMAND [ARGUMENT...]
 flock [options] --fd NUMBER -c STRING
";

/// Returns the answer to `--help`.
pub(super) fn help() -> String {
    let lines = OPTIONS.iter().map(|(names, meaning)| {
        let indent = if names.starts_with("--") { "     " } else { " " };
        format!("{:<34}{meaning}\n", format!("{indent}{names}"))
    });
    let options: String = lines.collect();
    format!(
        "{USAGE}\nAcquire and release locks of files in scripts.\n\nOptions:\n{options}\nThis is the flock of Locket: see locket-flock(1).\n"
    )
}

/// Returns the answer to `--version`. A script may search it for the version of util-linux.
pub(super) fn version() -> String {
    format!("flock from locket {} (as of util-linux 2.42)\n", env!("CARGO_PKG_VERSION"))
}

/// Returns the system's text for an error number.
pub(super) fn strerror(number: c_int) -> String {
    error_text(&io::Error::from_raw_os_error(number))
}

/// Returns the system's text for an error, without the number that Rust appends.
pub(super) fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].into(),
        None => text,
    }
}
