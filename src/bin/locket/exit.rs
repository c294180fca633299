//! Exit statuses and their meanings, and the failures that end with one.
//!
//! The statuses are those of flock(1), of shells and of sysexits.h(3head) where these have one.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use locket::{Action, LockError};

pub(crate) const SUCCESS: i32 = 0;
/// `locket status`, as grep(1): what was asked for was found.
pub(crate) const HELD: i32 = 0;
/// `locket status`, as grep(1): it was not found.
pub(crate) const FREE: i32 = 1;
/// `EX_USAGE`. Not 2, which many commands exit with.
pub(crate) const USAGE: i32 = 64;
/// `EX_NOINPUT`, as flock(1), also if the file cannot be created: scripts for flock(1) know no `EX_CANTCREAT` (73).
pub(crate) const NO_INPUT: i32 = 66;
/// `EX_OSERR`, as flock(1).
pub(crate) const OS_ERROR: i32 = 71;
/// `EX_IOERR`: the answer cannot be written.
const IO_ERROR: i32 = 74;
/// `EX_TEMPFAIL`: another process holds the lock. Not 1, as flock(1), which many commands exit with.
pub(crate) const CONTENDED: u8 = 75;
/// As every shell.
const CANNOT_RUN: i32 = 126;
/// As every shell.
const NOT_FOUND: i32 = 127;

/// The exit codes of a command, each with its meaning.
pub(crate) type Codes = &'static [(&'static str, &'static str)];

pub(crate) const RUN_CODES: Codes = &[
    ("64", "the arguments are wrong"),
    ("66", "the lock file cannot be opened or created"),
    ("71", "system error: no locking on this file system, no more processes"),
    ("75", "another process holds the lock (-n, -w); -E sets another code"),
    ("126", "the command cannot be run"),
    ("127", "the command is not found"),
    ("others", "the command's own; a signal N that ended it ends locket too: 128 + N to shells"),
];

pub(crate) const WAIT_CODES: Codes = &[
    ("0", "the lock was free, or there is no such file"),
    ("64", "the arguments are wrong"),
    ("66", "the lock file cannot be opened"),
    ("71", "system error: no locking on this file system"),
    ("75", "another process holds the lock (-n, -w); -E sets another code"),
];

pub(crate) const LOCK_CODES: Codes = &[
    ("0", "the descriptor is locked"),
    ("64", "the arguments are wrong"),
    ("66", "there is no such descriptor"),
    ("71", "system error: no locking on this file system"),
    ("75", "another process holds the lock (-n, -w); -E sets another code"),
];

pub(crate) const UNLOCK_CODES: Codes = &[
    ("0", "the descriptor is not locked any more"),
    ("64", "the arguments are wrong"),
    ("66", "there is no such descriptor"),
    ("71", "system error"),
];

pub(crate) const STATUS_CODES: Codes = &[
    ("0", "the lock is held; of several locks, at least one is"),
    ("1", "the lock is free, or there is no such file"),
    ("64", "the arguments are wrong"),
    ("66", "the lock file cannot be queried"),
    ("71", "unknown: holders are not listed here, or not those outside this container or host"),
    ("74", "the answer cannot be written"),
];

/// The codes of the commands that print a text of their own.
pub(crate) const PRINT_CODES: Codes = &[
    ("0", "the text was printed"),
    ("64", "the arguments are wrong"),
    ("74", "the text cannot be written"),
];

/// Returns the codes as the last section of a command's `--help`.
pub(crate) fn help(codes: Codes) -> String {
    let lines: Vec<String> =
        codes.iter().map(|(code, meaning)| format!("\n  {code:>6}  {meaning}")).collect();
    format!("Exit codes:{}", lines.concat())
}

/// A failure of locket itself: its exit status, and the message.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let code = match error.action() {
            _ if error.is_contended() => CONTENDED.into(),
            Action::Open | Action::Create | Action::Verify => NO_INPUT,
            _ => OS_ERROR,
        };
        let text = match path_hint(&error) {
            Some(hint) => format!("{error}: {hint}"),
            None => error.to_string(),
        };
        Self { code, text }
    }
}

impl Failure {
    /// Returns the failure of a program that was not started.
    pub(crate) fn start(program: &OsStr, error: &io::Error) -> Self {
        let name = program.to_string_lossy();
        let is_missing = error.kind() == io::ErrorKind::NotFound;
        if let Some(reason) = is_missing.then(|| interpreter_problem(program)).flatten() {
            return Self { code: CANNOT_RUN, text: format!("cannot run {name}: {reason}") };
        }
        let code = match error.kind() {
            io::ErrorKind::NotFound => NOT_FOUND,
            // The program may be fine: the system has no room for another process.
            io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory => OS_ERROR,
            _ => CANNOT_RUN,
        };
        Self { code, text: format!("cannot run {name}: {error}") }
    }

    /// Returns the failure of an answer that was not written.
    pub(crate) fn output(error: &io::Error) -> Self {
        Self { code: IO_ERROR, text: format!("cannot write the answer: {error}") }
    }

    /// Returns the failure of a system call. The action completes "cannot ...".
    pub(crate) fn system(action: &str, error: &io::Error) -> Self {
        Self { code: OS_ERROR, text: format!("cannot {action}: {error}") }
    }
}

/// Returns what to do about a path that cannot be opened, where the error itself does not say it.
fn path_hint(error: &LockError) -> Option<String> {
    let source = error.io_error()?;
    if !matches!(error.action(), Action::Open | Action::Create) {
        return None;
    }
    let path = error.path();
    let shown = path.display();
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        let name = shown.to_string();
        let name = name.trim_end_matches('/');
        return Some(if Path::new(name).exists() {
            format!("a trailing slash names a directory, and {name} is a file: omit the slash")
        } else {
            format!(
                "a trailing slash names a directory: create it (mkdir {name}), or omit the slash"
            )
        });
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = fs::metadata(path).map(|it| it.file_type());
        if kind.as_ref().is_ok_and(FileTypeExt::is_fifo) {
            return Some(format!("lock a regular file beside it, {shown}.lock"));
        }
        if kind.is_ok_and(|it| it.is_char_device() || it.is_block_device()) {
            return Some(
                "lock a regular file in place of the device, or use `locket flock`, which locks the device as flock(1) does"
                    .into(),
            );
        }
    }
    if source.kind() == io::ErrorKind::NotFound {
        let target = fs::read_link(path).ok()?;
        let target = path.parent()?.join(target);
        let directory = target.parent()?;
        return Some(format!(
            "it is a symbolic link to {}, and the directory {} does not exist: create the directory (mkdir -p), or change the link",
            target.display(),
            directory.display()
        ));
    }
    None
}

/// Returns why a script that exists is "not found", if the reason is the interpreter in its first line: execve(2) reports
/// a missing interpreter by the same error, `ENOENT`.
fn interpreter_problem(program: &OsStr) -> Option<String> {
    /// Linux reads no more of the first line (`BINPRM_BUF_SIZE` in include/uapi/linux/binfmts.h).
    const FIRST_LINE_MAX: u64 = 256;
    let mut beginning = vec![];
    File::open(resolve_program(program)?)
        .ok()?
        .take(FIRST_LINE_MAX)
        .read_to_end(&mut beginning)
        .ok()?;
    let line = beginning.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    let interpreter = line.trim_start_matches([' ', '\t']).split([' ', '\t']).next()?;
    if let Some(name) = interpreter.strip_suffix('\r') {
        return Some(format!(
            "its first line ends with a carriage return (CRLF), which is taken for a part of its interpreter's name, {name}"
        ));
    }
    (!Path::new(interpreter).exists())
        .then(|| format!("its interpreter, {interpreter}, is missing"))
}

/// Returns the file that execvp(3) runs for a program.
fn resolve_program(program: &OsStr) -> Option<PathBuf> {
    let path = Path::new(program);
    if path.components().count() > 1 || path.is_absolute() {
        return Some(path.into());
    }
    let directories = env::var_os("PATH")?;
    env::split_paths(&directories).map(|it| it.join(path)).find(|it| it.is_file())
}
