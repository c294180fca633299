//! `locket`, run to its end, and the file that it locks.

use std::ffi::OsStr;
use std::fmt::{self, Display, Formatter};
use std::ops::Deref;
use std::path::Path;

use assert_cmd::Command;
use assert_cmd::assert::Assert;

use crate::support::{PATIENCE, Scratch, is_root, skip};

pub(crate) const LOCKET: &str = env!("CARGO_BIN_EXE_locket-command");

/// The ways to run a command: with the lock, without it, and in place of locket.
pub(crate) const WAYS: [&[&str]; 3] = [&[], &["-o"], &["-F"]];

/// The path of a lock file, `f` in a directory of its own. The file does not exist yet.
pub(crate) struct LockFile {
    directory: Scratch,
    path: String,
}

impl LockFile {
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self::named("f")
    }

    #[track_caller]
    pub(crate) fn named(name: &str) -> Self {
        let directory = Scratch::new();
        let path = directory.join(name).to_str().expect("it should be UTF-8").into();
        Self { directory, path }
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the path of another file in the directory.
    pub(crate) fn beside(&self, name: &str) -> String {
        self.directory.join(name).to_string_lossy().into_owned()
    }

    /// Returns a program that runs in the directory.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.directory()).env("L", LOCKET).timeout(PATIENCE);
        command
    }

    /// Runs locket in the directory.
    #[track_caller]
    pub(crate) fn locket(&self, arguments: &[&str]) -> Assert {
        self.command(LOCKET, arguments).assert()
    }

    /// Runs a script in the directory. `$L` is locket.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> Assert {
        self.command("sh", &["-c", script]).assert()
    }

    /// Runs locket under strace(1) with these options. Returns how it ended, and the recorded calls.
    #[cfg(target_os = "linux")]
    #[track_caller]
    pub(crate) fn strace(&self, options: &[&str], arguments: &[&str]) -> (Assert, String) {
        let log = self.beside("strace.log");
        let words = [&["-qq", "-o", &log], options, &[LOCKET], arguments].concat();
        let run = self.command("strace", &words).assert();
        (run, std::fs::read_to_string(log).expect("strace should have written it"))
    }
}

impl Deref for LockFile {
    type Target = str;

    fn deref(&self) -> &str {
        &self.path
    }
}

impl AsRef<Path> for LockFile {
    fn as_ref(&self) -> &Path {
        self.path.as_ref()
    }
}

impl AsRef<OsStr> for LockFile {
    fn as_ref(&self) -> &OsStr {
        self.path.as_ref()
    }
}

impl Display for LockFile {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// Returns `locket run` with these arguments.
pub(crate) fn locket_run(
    options: &[&str],
    path: impl AsRef<OsStr>,
    command: impl IntoIterator<Item: AsRef<OsStr>>,
) -> Command {
    let mut run = Command::new(LOCKET);
    run.arg("run").args(options).arg(path).args(command).timeout(PATIENCE);
    run
}

/// Runs a command under the lock, to its end.
#[track_caller]
pub(crate) fn run(options: &[&str], path: impl AsRef<OsStr>, command: &[&str]) -> Assert {
    locket_run(options, path, command).assert()
}

/// Returns what was written to standard output.
#[track_caller]
pub(crate) fn answer(run: &Assert) -> String {
    String::from_utf8(run.get_output().stdout.clone()).expect("it should be UTF-8")
}

/// Returns the messages.
#[track_caller]
pub(crate) fn said(run: &Assert) -> String {
    String::from_utf8(run.get_output().stderr.clone()).expect("it should be UTF-8")
}

/// Returns whether one attempt of a handle of this process gets the lock.
#[track_caller]
pub(crate) fn is_free(path: impl AsRef<Path>) -> bool {
    match locket::lock_file(path).try_lock() {
        Ok(guard) => guard.release().is_ok(),
        Err(error) if error.is_contended() => false,
        Err(error) => panic!("an error of another kind: {error}"),
    }
}

/// Creates an executable file. Another process writes it: if this process had it open for writing, a child that another test
/// starts could inherit that descriptor, and `execve` would fail with ETXTBSY.
#[track_caller]
pub(crate) fn make_script(path: impl AsRef<OsStr>, text: &str) {
    let mut command = Command::new("sh");
    command.args(["-c", r#"cat >"$0" && chmod 755 "$0""#]).arg(path);
    command.write_stdin(text).assert().code(0);
}

/// Returns whether a command works here. If not, reports the check as skipped.
#[track_caller]
pub(crate) fn has(check: &str, command: &str) -> bool {
    let words: Vec<&str> = command.split(' ').collect();
    let output = std::process::Command::new(words[0]).args(&words[1..]).output();
    let succeeds = output.is_ok_and(|it| it.status.success());
    if !succeeds {
        skip(check, &format!("{}: `{command}` does not work here", words[0]));
    }
    succeeds
}

/// Returns the words for a shell that run locket without root's right to open every file. If that does not work here, reports
/// the check as skipped.
#[track_caller]
pub(crate) fn powerless(check: &str) -> Option<&'static str> {
    const WORDS: &str = "setpriv --bounding-set=-all --inh-caps=-all $L";
    if !is_root() {
        return Some("$L");
    }
    has(check, &WORDS.replace("$L", "true")).then_some(WORDS)
}

/// Returns from a test, which is skipped, unless these commands work here.
macro_rules! needs {
    ($($command:literal),+) => {
        let name = std::any::type_name_of_val(&|| ()).trim_end_matches("::{{closure}}");
        let name = name.rsplit("::").next().unwrap_or(name);
        $(
            if !$crate::lock_file::has(name, $command) {
                return;
            }
        )+
    };
}
