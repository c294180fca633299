//! What `--help` says, and the manual.

use super::super::exit::Codes;

/// The first lines of the manual.
pub(crate) const ABOUT: &str =
    "Lock as flock(1) does, with its command line, exit codes and messages: of util-linux 2.42";

/// And its description.
pub(crate) const DESCRIPTION: &str = "\
Lock as flock(1) does, with its command line, exit codes and messages: of util-linux 2.42.

Called as `flock`, by a link of that name, locket does the same. A lock on a descriptor belongs to the process that \
opened it, and outlives locket. A wait is silent.

One difference stays: a signal that is sent to locket is passed on to the command, and locket ends after the command. \
While the command runs the lock is held, even if locket is killed.";

/// The options, each with what it does.
pub(crate) const OPTIONS: &[(&str, &str)] = &[
    ("-s, --shared", "share the lock with other shared holders"),
    ("-x, -e, --exclusive", "hold the lock alone (the default)"),
    ("-u, --unlock", "unlock a descriptor"),
    ("-n, --nb, --nonblocking", "do not wait: fail at once if the lock is held"),
    ("-w, --wait, --timeout SECS", "fail if the lock is not free within this time; 0 is -n"),
    ("-E, --conflict-exit-code CODE", "exit with this code, instead of 1, if the lock is held"),
    ("-o, --close", "the command does not inherit the locked descriptor"),
    ("-c, --command STRING", "run this string by $SHELL, or by /bin/sh"),
    ("-F, --no-fork", "become the command instead of waiting for it"),
    ("--fd NUMBER", "lock this descriptor, and run a command"),
    ("--fcntl", "take a lock of fcntl(2) (F_OFD_SETLK) instead of one of flock(2)"),
    ("--start OFFSET", "lock from this byte on; implies --fcntl"),
    ("--length BYTES", "lock so many bytes, and 0 is all; implies --fcntl"),
    ("--verbose", "tell how long the lock took, what runs, or why the lock was not had"),
    ("-h, --help", "show this"),
    ("-V, --version", "show the version"),
];

pub(crate) const EXIT_CODES: Codes = &[
    ("1", "the lock is held (-n, -w); -E sets another code"),
    ("64", "the arguments are wrong"),
    ("65", "the system refuses to lock"),
    ("66", "the lock file cannot be opened"),
    ("69", "the command cannot be run"),
    ("71", "the system has no room: no more processes, descriptors, timers or locks"),
    ("73", "the lock file cannot be created: no room, or a file system that is read-only"),
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

pub(super) fn help() -> String {
    let lines = OPTIONS.iter().map(|(names, meaning)| {
        let indent = if names.starts_with("--") { "     " } else { " " };
        format!("{:<34}{meaning}\n", format!("{indent}{names}"))
    });
    let options: String = lines.collect();
    format!(
        "{USAGE}\nTake and give back locks of files, for scripts.\n\nOptions:\n{options}\nThis is Locket's: see locket-flock(1).\n"
    )
}

/// A script may look for the second half.
pub(super) fn version() -> String {
    format!("flock from locket {} (as of util-linux 2.42)\n", env!("CARGO_PKG_VERSION"))
}
