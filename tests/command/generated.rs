//! What is generated from the description of the arguments:
//! - completions that each shell accepts;
//! - the manual, a page for each command, which roff and man(1) read without a warning.

use std::process::{Command, Stdio};

use crate::running::{LOCKET, has};
use crate::support::{PATIENCE, Scratch, skip};

#[track_caller]
fn made(arguments: &[&str]) -> String {
    let mut command = assert_cmd::Command::new(LOCKET);
    let output = command.args(arguments).timeout(PATIENCE).output().expect("it should run");
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
    String::from_utf8(output.stdout).expect("it should be UTF-8")
}

/// Returns what a program prints when it reads a text.
#[track_caller]
fn read_by(program: &str, arguments: &[&str], text: &str) -> String {
    let mut command = assert_cmd::Command::new(program);
    let output = command.args(arguments).write_stdin(text).output().expect("it should run");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn every_shell_has_completions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = made(&["completions", shell]);
        for word in ["status", "conflict-exit-code", "completions"] {
            assert!(script.contains(word), "{shell} does not know {word}:\n{script}");
        }
    }
}

#[test]
fn shells_accept_their_completions() {
    for (shell, load) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let check = format!("shells_accept_their_completions ({shell})");
        if !has(&check, shell, &["-c", ":"]) {
            continue;
        }
        let script = made(&["completions", shell]);
        assert_eq!(read_by(shell, &[load], &script), "", "{shell}");
        // The check must find an error in a wrong script.
        assert_ne!(read_by(shell, &[load], &(script + "\nif (")), "", "{shell}");
    }
}

/// Completes in a shell that has loaded them.
#[test]
fn bash_completes() {
    if !has("bash_completes", "bash", &["-c", ":"]) {
        return;
    }
    let scratch = Scratch::new();
    let script = scratch.join("locket.bash");
    std::fs::write(&script, made(&["completions", "bash"]))
        .expect("the directory should be writable");
    let complete = r#". "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _locket locket "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        echo "${COMPREPLY[@]}""#;
    let completed = |words: &[&str]| {
        let mut command = Command::new("bash");
        command.args(["-c", complete]).arg(&script).arg("locket").args(words);
        let output = command.stderr(Stdio::null()).output().expect("it should run");
        String::from_utf8(output.stdout).expect("it should be UTF-8").trim_end().to_string()
    };
    assert_eq!(completed(&["st"]), "status");
    assert_eq!(completed(&["status", "--j"]), "--json");
    assert_eq!(completed(&["run", "--ver"]), "--verbose --version");
}

const PAGES: [&[&str]; 9] = [
    &["man"],
    &["man", "run"],
    &["man", "wait"],
    &["man", "lock"],
    &["man", "unlock"],
    &["man", "flock"],
    &["man", "status"],
    &["man", "completions"],
    &["man", "man"],
];

#[test]
fn every_command_has_a_page() {
    for page in PAGES {
        let text = made(page);
        let name = ["locket"].iter().chain(&page[1..]).copied().collect::<Vec<_>>().join("-");
        assert!(text.starts_with(&format!(".TH {name} 1 ")), "{text}");
        let has_codes = page.len() > 1;
        assert_eq!(text.contains("\n.SH \"EXIT STATUS\"\n"), has_codes, "{text}");
    }
    let commands = made(&["--help"]);
    let pages = made(&["man"]);
    for command in ["run", "wait", "lock", "unlock", "flock", "status", "completions", "man"] {
        assert!(commands.contains(&format!("\n  {command} ")), "{commands}");
        assert!(pages.contains(&format!(r"locket\-{command}(1)")), "{pages}");
    }
}

#[test]
fn the_pages_have_no_roff_warnings() {
    for (program, arguments) in [
        ("groff", &["-man", "-Tutf8", "-ww", "-b", "-z"][..]),
        // A generated page has no date, and the list of shells has more line breaks than necessary.
        ("mandoc", &["-T", "lint", "-W", "warning"]),
    ] {
        let check = format!("the_pages_have_no_roff_warnings ({program})");
        // mandoc has no option that only prints its version.
        if Command::new(program).stdin(Stdio::null()).output().is_err() {
            skip(&check, &format!("{program}: not installed"));
            continue;
        }
        let complaints = |text: &str| {
            let said = read_by(program, arguments, text);
            let known = ["missing date", "skipping paragraph macro: br "];
            let new = said.lines().filter(|line| !known.iter().any(|it| line.contains(it)));
            new.map(String::from).collect::<Vec<_>>()
        };
        for page in PAGES {
            assert_eq!(complaints(&made(page)), [""; 0], "{program} of {page:?}");
        }
        // The check must find an error in a wrong page.
        assert_ne!(complaints(&(made(&["man"]) + ".NOSUCH\n")), [""; 0], "{program}");
    }
}
