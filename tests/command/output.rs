//! Answers on standard output, and error messages:
//! - an answer that cannot be written is an error, 74; a reader that closes the pipe early is none;
//! - a file name cannot write on the screen, or change the order of the text around it;
//! - `status --all` says that it cannot see beyond a container.

use crate::lock_file::{LockFile, answer, said};
use crate::support::is_container;

/// All commands that print an answer. `f` is a lock file that does not exist.
const ASKED: [(&str, i32); 14] = [
    ("--help", 0),
    ("-h", 0),
    ("--version", 0),
    ("help", 0),
    ("help status", 0),
    ("run --help", 0),
    ("run --version", 0),
    ("wait -h", 0),
    ("man", 0),
    ("man run", 0),
    ("completions bash", 0),
    ("completions zsh", 0),
    ("status f", 1),
    ("status --json f", 1),
];

#[test]
fn an_answer_that_cannot_be_written_is_74() {
    let lock = LockFile::new();
    let cannot = "locket: cannot write the answer: ";
    for (words, code) in ASKED {
        let full = format!("{cannot}No space left on device (os error 28)\n");
        lock.sh(&format!("$L {words} >/dev/full")).code(74).stderr(full);
        if cfg!(target_env = "gnu") {
            let closed = said(&lock.sh(&format!("$L {words} >&-")).code(74));
            assert!(closed.starts_with(cannot), "{words}: {closed}");
        }
        // A pipeline ends like this: `locket man run | head -1`.
        lock.sh(&format!("mkfifo p; exec 3<>p 4>p 3>&-; $L {words} >&4")).code(code).stderr("");
        lock.sh("rm p").code(0);
        // An answer that was asked for, and that is written.
        assert_ne!(answer(&lock.sh(&format!("$L {words}")).code(code).stderr("")), "", "{words}");
    }
    // There is nothing to be written.
    lock.sh("$L status -q f >/dev/full").code(1);
    for option in ["--help", "--version"] {
        // The message and the exit code are those of flock(1).
        let said = "flock: write error: No space left on device\n";
        lock.sh(&format!("$L flock {option} >/dev/full")).code(1).stderr(said);
    }
}

/// No message or answer contains the name unescaped.
#[test]
fn a_file_name_cannot_change_the_text_around_it() {
    let lock = LockFile::new();
    let name = "a\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{200b}\u{feff}\u{9b}\x1b[8mb";
    let escaped = r"a\u{202e}\u{2066}\u{200f}\u{61c}\u{2028}\u{200b}\u{feff}\u{9b}\u{1b}[8mb";
    for words in [
        "status NAME",
        // Errors of the arguments: clap's, and locket's own.
        "NAME",
        "NAME true",
        "run --timeout=NAME f true",
        "run --NAME f true",
        "run NAME",
        "wait NAME NAME",
        "completions NAME",
        "man NAME",
        // Other messages and answers.
        "run NAME/lock true",
        "run f NAME",
        "flock NAME/lock true",
        "flock --NAME true",
    ] {
        let named: Vec<String> = words.split(' ').map(|it| it.replace("NAME", name)).collect();
        let run = lock.locket(&named.iter().map(String::as_str).collect::<Vec<_>>());
        let output = answer(&run) + &said(&run);
        assert!(output.contains(escaped), "{words}: {output:?}");
        let is_of_name = |c: char| name.contains(c) && !c.is_ascii();
        assert!(!output.contains(is_of_name) && !output.contains('\x1b'), "{words}: {output:?}");
    }
}

#[test]
fn status_all_reports_that_it_is_in_a_container() {
    const BEYOND: &str = "locket: this is a container (PID namespace): locks of processes outside of it are not listed\n";
    let lock = LockFile::new();
    lock.sh("$L status --all").stderr(if is_container() { BEYOND } else { "" });
    lock.sh("$L status --all -q").stderr("");
    needs!("unshare -rpf --mount-proc true");
    for (options, said) in [("", BEYOND), ("--json", BEYOND), ("--quiet", "")] {
        let script = format!("unshare -rpf --mount-proc $L status --all {options}");
        lock.sh(&script).code(1).stderr(said);
    }
}
