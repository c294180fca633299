//! Answers on standard output, and error messages:
//! - an answer that cannot be written is an error, 74; a reader that closes the pipe early is none;
//! - a file name cannot write on the screen, or change the order of the text around it;
//! - `status --all` says that it cannot see beyond a container;
//! - `--hold-warning` shows the time as it was given, and prints nothing with `-q`.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::unistd::pipe;

use crate::running::{LOCKET, has};
use crate::support::{Scratch, is_container};

/// All commands that print an answer. `FILE` is a lock file that does not exist.
const ASKED: [(&[&str], i32); 14] = [
    (&["--help"], 0),
    (&["-h"], 0),
    (&["--version"], 0),
    (&["help"], 0),
    (&["help", "status"], 0),
    (&["run", "--help"], 0),
    (&["run", "--version"], 0),
    (&["wait", "-h"], 0),
    (&["man"], 0),
    (&["man", "run"], 0),
    (&["completions", "bash"], 0),
    (&["completions", "zsh"], 0),
    (&["status", "FILE"], 1),
    (&["status", "--json", "FILE"], 1),
];

#[track_caller]
fn asked(scratch: &Scratch, words: &[&str], stdout: impl Into<Stdio>) -> Output {
    let mut command = Command::new(LOCKET);
    command.args(words).current_dir(scratch.path()).stdout(stdout);
    command.stderr(Stdio::piped()).output().expect("it runs")
}

fn full() -> File {
    File::options().write(true).open("/dev/full").expect("it should be there")
}

#[test]
fn an_answer_that_cannot_be_written_is_74() {
    let scratch = Scratch::new();
    for (words, code) in ASKED {
        let output = asked(&scratch, words, full());
        let text = String::from_utf8_lossy(&output.stderr);
        let expected = "locket: cannot write the answer: No space left on device (os error 28)\n";
        assert_eq!((&*text, output.status.code()), (expected, Some(74)), "{words:?}");
        // An answer that was asked for, and that is written.
        let output = asked(&scratch, words, Stdio::piped());
        assert_eq!(output.status.code(), Some(code), "{words:?}");
        assert!(output.stderr.is_empty() && !output.stdout.is_empty(), "{words:?}: {output:?}");
    }
    let output = asked(&scratch, &["status", "-q", "FILE"], full());
    assert_eq!(output.status.code(), Some(1), "there is nothing to be written");
}

/// A pipeline ends like this: `locket man run | head -1`.
#[test]
fn a_reader_that_closes_early_is_not_an_error() {
    let scratch = Scratch::new();
    for (words, code) in ASKED {
        let (read, write) = pipe().expect("there is room for a pipe");
        drop(read);
        let output = asked(&scratch, words, write);
        assert_eq!(output.status.code(), Some(code), "{words:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    }
}

#[cfg(target_env = "gnu")]
#[test]
fn a_closed_output_is_74() {
    let scratch = Scratch::new();
    let script = r#""$0" "$@" >&-"#;
    for (words, _) in ASKED {
        let mut command = Command::new("sh");
        command.args(["-c", script, LOCKET]).args(words).current_dir(scratch.path());
        let output = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(74), "{words:?}: {text}");
        assert!(text.starts_with("locket: cannot write the answer: "), "{words:?}: {text}");
    }
}

/// The message and the exit code are those of flock(1).
#[test]
fn flock_ends_with_1_if_it_cannot_write() {
    let scratch = Scratch::new();
    for option in ["--help", "--version"] {
        let output = asked(&scratch, &["flock", option], full());
        let text = String::from_utf8_lossy(&output.stderr);
        let expected = "flock: write error: No space left on device\n";
        assert_eq!((&*text, output.status.code()), (expected, Some(1)), "{option}");
    }
}

/// No message or answer contains the name unescaped.
#[test]
fn a_file_name_cannot_change_the_text_around_it() {
    let scratch = Scratch::new();
    let name = "a\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{200b}\u{feff}\u{9b}\x1b[8mb";
    let escaped = r"a\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{200b}\u{feff}\u{9b}\u{1b}[8mb";
    let value = format!("--timeout={name}");
    let option = format!("--{name}");
    let directory = format!("{name}/lock");
    for words in [
        &["status", name][..],
        // Errors of the arguments: clap's, and locket's own.
        &[name],
        &[name, "true"],
        &["run", &value, "f", "true"],
        &["run", &option, "f", "true"],
        &["run", name],
        &["wait", name, name],
        &["completions", name],
        &["man", name],
        // Other messages and answers.
        &["run", &directory, "true"],
        &["run", "f", name],
        &["flock", &directory, "true"],
        &["flock", &option, "true"],
    ] {
        let output = asked(&scratch, words, Stdio::piped());
        let both = [output.stdout, output.stderr].concat();
        let output = String::from_utf8(both).expect("it should be UTF-8");
        assert!(output.contains(escaped), "{words:?}: {output:?}");
        assert!(
            !output.contains(|c: char| name.contains(c) && !c.is_ascii()),
            "{words:?}: {output:?}"
        );
        assert!(!output.contains('\x1b'), "{words:?}: {output:?}");
    }
}

const BEYOND: &str = "locket: this is a container (PID namespace): locks of processes outside of it are not listed\n";

/// Returns the exit code and the messages.
#[track_caller]
fn of_all(wrapper: &[&str], options: &[&str]) -> (Option<i32>, String) {
    let words = [wrapper, &[LOCKET, "status", "--all"], options].concat();
    let output = Command::new(words[0]).args(&words[1..]).output().expect("it runs");
    (output.status.code(), String::from_utf8(output.stderr).expect("it should be UTF-8"))
}

#[test]
fn status_all_reports_that_it_is_in_a_container() {
    let expected = if is_container() { BEYOND } else { "" };
    assert_eq!(of_all(&["env"], &[]).1, expected);
    assert_eq!(of_all(&["env"], &["-q"]).1, "");
    let wrapper = ["unshare", "-rpf", "--mount-proc"];
    let check = "status_all_reports_that_it_is_in_a_container";
    if !has(check, wrapper[0], &[&wrapper[1..], &["true"]].concat()) {
        return;
    }
    assert_eq!(of_all(&wrapper, &[]), (Some(1), BEYOND.into()));
    assert_eq!(of_all(&wrapper, &["--json"]), (Some(1), BEYOND.into()));
    assert_eq!(of_all(&wrapper, &["--quiet"]), (Some(1), String::new()));
}

/// Returns the messages about a command that holds the lock until there is one, or for this many tenths of a second.
fn warned(path: &Path, options: &[&str], tenths: u32) -> String {
    let script = r#"n=0; until [ -s "$0" ] || [ $n = "$1" ]; do sleep 0.1; n=$((n + 1)); done"#;
    let log = path.with_extension("log");
    let said = File::create(&log).expect("the directory should be writable");
    let mut command = Command::new(LOCKET);
    command.arg("run").args(options).arg(path).args(["sh", "-c", script]).arg(&log);
    let status = command.arg(tenths.to_string()).stderr(said).status();
    assert!(status.expect("it runs").success());
    std::fs::read_to_string(log).expect("it should exist")
}

#[test]
fn a_hold_warning_shows_the_limit_as_given() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for (time, shown) in [("50ms", "50ms"), ("0.25", "250ms"), ("0", "0s")] {
        let said = warned(&path, &["--hold-warning", time], 300);
        let expected =
            format!("locket: {} has been held for {shown} by this command", path.display());
        assert!(said.starts_with(&expected), "{said:?}");
    }
}

#[test]
fn quiet_suppresses_a_hold_warning() {
    let scratch = Scratch::new();
    assert_eq!(warned(&scratch.lock_path(), &["-q", "--hold-warning", "1ms"], 3), "");
}
