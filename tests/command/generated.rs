//! What is generated from the description of the arguments: help, completions and the manual, with what locket adds to them.

use std::process::{Command, Stdio};

use crate::lock_file::{LockFile, answer};
use crate::support::skip;

const COMMANDS: [&str; 8] =
    ["run", "wait", "lock", "unlock", "flock", "status", "completions", "man"];

#[track_caller]
fn made(arguments: &[&str]) -> String {
    answer(&LockFile::new().locket(arguments).code(0).stderr(""))
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
fn every_command_has_help_and_a_page() {
    let (commands, pages) = (made(&["--help"]), made(&["man"]));
    assert!(pages.starts_with(".TH locket 1 "), "{pages}");
    for command in COMMANDS {
        assert!(commands.contains(&format!("\n  {command} ")), "{commands}");
        assert!(pages.contains(&format!(r"locket\-{command}(1)")), "{pages}");
        let page = made(&["man", command]);
        assert!(page.starts_with(&format!(".TH locket-{command} 1 ")), "{page}");
        assert!(page.contains("\n.SH \"EXIT STATUS\"\n"), "{page}");
    }
    let help = made(&["run", "--help"]);
    for code in ["64", "66", "71", "75", "126", "127", "128 + N"] {
        assert!(help.contains(&format!(" {code}")), "{code} is not explained:\n{help}");
    }
    let version = format!("locket {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [&["--version"][..], &["-V"], &["run", "--version"]] {
        assert_eq!(made(arguments), version);
    }
}

#[test]
fn the_pages_have_no_roff_warnings() {
    for (program, arguments) in [
        ("groff", &["-man", "-Tutf8", "-ww", "-b", "-z"][..]),
        // A generated page has no date, and the list of shells has more line breaks than necessary.
        ("mandoc", &["-T", "lint", "-W", "warning"]),
    ] {
        // mandoc has no option that only prints its version.
        if Command::new(program).stdin(Stdio::null()).output().is_err() {
            let check = format!("the_pages_have_no_roff_warnings ({program})");
            skip(&check, &format!("{program}: not installed"));
            continue;
        }
        let complaints = |page: String| {
            let mut reader = assert_cmd::Command::new(program);
            let output = reader.args(arguments).write_stdin(page).output().expect("it should run");
            let said = [output.stdout, output.stderr].concat();
            let known = ["missing date", "skipping paragraph macro: br "];
            let said = String::from_utf8_lossy(&said).into_owned();
            said.lines().any(|line| !known.iter().any(|it| line.contains(it))).then_some(said)
        };
        assert_eq!(complaints(made(&["man"])), None, "{program}");
        for command in COMMANDS {
            assert_eq!(complaints(made(&["man", command])), None, "{program} of {command}");
        }
        // The check must find an error in a wrong page.
        assert!(complaints(made(&["man"]) + ".NOSUCH\n").is_some(), "{program}");
    }
}
