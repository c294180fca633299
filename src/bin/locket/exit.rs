//! What each exit status means. They are those of flock(1) and of shells where these have one.

use std::ffi::OsStr;
use std::io;

use locket::{Action, LockError};

use super::{advice, interpreter};

pub(crate) const DONE: i32 = 0;
/// Of `locket status`. As grep(1): what was asked about is there, or it is not.
pub(crate) const HELD: i32 = 0;
pub(crate) const FREE: i32 = 1;
/// `EX_USAGE`. Not 2, which too many commands exit with themselves.
pub(crate) const USAGE: i32 = 64;
/// `EX_NOINPUT`, as flock(1): scripts made for it go on working. (`EX_CANTCREAT`, 73, would split
/// what a script has no reason to tell apart.)
pub(crate) const NO_FILE: i32 = 66;
/// `EX_OSERR`, as flock(1).
pub(crate) const REFUSED: i32 = 71;
/// `EX_IOERR`: the answer that was asked for cannot be written.
const NOT_WRITTEN: i32 = 74;
/// `EX_TEMPFAIL`: try again later. Not 1 as flock(1), which a command may well exit with.
pub(crate) const CONTENDED: u8 = 75;
/// As every shell.
pub(crate) const CANNOT_RUN: i32 = 126;
/// As every shell.
pub(crate) const NOT_FOUND: i32 = 127;

/// The codes of a command, each with its meaning.
pub(crate) type Codes = &'static [(&'static str, &'static str)];

pub(crate) const OF_RUN: Codes = &[
    ("64", "the arguments are wrong"),
    ("66", "the lock file cannot be opened or created"),
    ("71", "the system refuses: no locking on this file system, no more processes"),
    ("75", "somebody else holds the lock (-n, -w); -E sets another code"),
    ("126", "the command cannot be run"),
    ("127", "the command is not found"),
    ("others", "the command's own; a signal N that ended it ends locket too: 128 + N to shells"),
];

pub(crate) const OF_WAIT: Codes = &[
    ("0", "the lock was free, or there is no such file"),
    ("64", "the arguments are wrong"),
    ("66", "the lock file cannot be opened"),
    ("71", "the system refuses: no locking on this file system"),
    ("75", "somebody else holds the lock (-n, -w); -E sets another code"),
];

pub(crate) const OF_LOCK: Codes = &[
    ("0", "the descriptor is locked"),
    ("64", "the arguments are wrong"),
    ("66", "there is no such descriptor"),
    ("71", "the system refuses: no locking on this file system"),
    ("75", "another process holds the lock (-n, -w); -E sets another code"),
];

pub(crate) const OF_UNLOCK: Codes = &[
    ("0", "the descriptor is not locked any more"),
    ("64", "the arguments are wrong"),
    ("66", "there is no such descriptor"),
    ("71", "the system refuses"),
];

pub(crate) const OF_STATUS: Codes = &[
    ("0", "somebody holds the lock; of several, one of them"),
    ("1", "the lock is free, or there is no such file"),
    ("64", "the arguments are wrong"),
    ("66", "the lock file cannot be looked at"),
    ("71", "unknown: the system does not tell, or sees no farther than this container or host"),
    ("74", "the answer cannot be written"),
];

/// Of what prints a text that it has.
pub(crate) const OF_PRINTERS: Codes =
    &[("0", "it is printed"), ("64", "the arguments are wrong"), ("74", "it cannot be written")];

/// The codes of the command with this name; none, if it has none worth telling.
pub(crate) fn codes(command: &str) -> Codes {
    match command {
        "run" => OF_RUN,
        #[cfg(unix)]
        "flock" => super::flock::EXIT_CODES,
        "wait" => OF_WAIT,
        "lock" => OF_LOCK,
        "unlock" => OF_UNLOCK,
        "status" => OF_STATUS,
        "completions" | "man" => OF_PRINTERS,
        _ => &[],
    }
}

pub(crate) fn help(codes: Codes) -> String {
    let lines: Vec<String> =
        codes.iter().map(|(code, meaning)| format!("\n  {code:>6}  {meaning}")).collect();
    format!("Exit codes:{}", lines.concat())
}

/// Why locket has no command's status to exit with.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let code = match error.action() {
            _ if error.is_contended() => CONTENDED.into(),
            Action::Open | Action::Create | Action::Verify => NO_FILE,
            _ => REFUSED,
        };
        let text = match advice::on_path(&error) {
            Some(advice) => format!("{error}: {advice}"),
            None => error.to_string(),
        };
        Self { code, text }
    }
}

impl Failure {
    pub(crate) fn of_start(program: &OsStr, error: &io::Error) -> Self {
        let name = program.to_string_lossy();
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        if let Some(reason) = is_missing.then(|| interpreter::fault(program)).flatten() {
            return Self { code: CANNOT_RUN, text: format!("cannot run {name}: {reason}") };
        }
        let code = match error.kind() {
            io::ErrorKind::NotFound => NOT_FOUND,
            // It may be in order, but there is no room for one more process.
            io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => REFUSED,
            _ => CANNOT_RUN,
        };
        Self { code, text: format!("cannot run {name}: {error}") }
    }

    pub(crate) fn of_output(error: &io::Error) -> Self {
        Self { code: NOT_WRITTEN, text: format!("cannot write the answer: {error}") }
    }

    pub(crate) fn of_system(action: &str, error: &io::Error) -> Self {
        Self { code: REFUSED, text: format!("cannot {action}: {error}") }
    }
}
