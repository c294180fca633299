//! Runs every example of the manual as it is printed, with directories of the test in place of the system's. And man(1)
//! finds the pages that `locket man --install` writes.

use std::fs;
use std::os::unix::fs::symlink;

use crate::lock_file::{LOCKET, LockFile, answer, has, make_script};
use crate::running::holder;

/// Prints which locks are held while it runs.
const REPORT: &str = "#!/bin/sh
for lock in my_app.lock report.lock cache.lock lock; do
    [ ! -e $lock ] || locket run -qn $lock true || echo \"$lock is held\"
done
echo report
";

/// What the example is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Commands that are typed at a shell.
    Typed,
    /// A file that is executed, with one argument.
    Script,
    Crontab,
    Unit,
    Makefile,
    Ci,
}

use Kind::{Ci, Crontab, Makefile, Script, Typed, Unit};

/// The page, the heading, the kind, the lock that another process holds meanwhile, the exit code and the output. An output
/// without an end of line is a part of it.
type Case = (&'static str, &'static str, Kind, Option<&'static str>, i32, &'static str);

const REPORTED: &str = "my_app.lock is held\nreport\n";
const MY_APP: Option<&str> = Some("my_app.lock");
const ITSELF: &str = "In a script that locks itself";
const MAKEFILE: &str = "In a Makefile, whose recipes may run side by side (make -j)";
const CACHED: &str = "cache.lock is held\nreport\ncache.lock is held\nreport\n";
const CI: &str = "In a step of CI, on a machine that other jobs use";
const UNLOCKED: &str = "my_app.lock is held\nreport\nnot alone any more\n";
const INSTALL: &str = "Where man(1) finds the pages of a program in ~/.cargo/bin";
const READ: &str = "To read one without installing it";

const CASES: [Case; 27] = [
    ("", "One at a time", Typed, None, 0, REPORTED),
    ("", "Not at all, if it is running", Typed, None, 0, REPORTED),
    ("", "Not at all, if it is running", Typed, MY_APP, 0, "it is running\n"),
    ("", "Is it running?", Typed, MY_APP, 0, "my_app.lock: held"),
    ("run", "In a crontab", Crontab, None, 0, "report.lock is held\nreport\n"),
    ("run", "In a crontab", Crontab, Some("report.lock"), 0, ""),
    ("run", "In a unit of systemd", Unit, None, 0, "lock is held\nreport\n"),
    ("run", ITSELF, Script, None, 0, "alone: word\n"),
    ("run", ITSELF, Script, Some("script"), 75, ""),
    ("run", MAKEFILE, Makefile, None, 0, CACHED),
    ("run", CI, Ci, None, 0, "lock is held\nreport\n"),
    ("wait", "When the other has ended", Typed, None, 0, "report\n"),
    ("wait", "In a Makefile", Makefile, None, 0, "report\n"),
    ("status", "In a script", Typed, None, 0, ""),
    ("status", "In a script", Typed, MY_APP, 0, "it is running\n"),
    ("status", "All locks in use, as JSON", Typed, MY_APP, 0, "{\n  \"locks\": ["),
    ("lock", ITSELF, Script, None, 0, "alone: word\n"),
    ("lock", ITSELF, Script, Some("script"), 75, ""),
    ("lock", "For a part of a script", Typed, None, 0, UNLOCKED),
    ("unlock", "In a command that was handed its lock", Typed, None, 0, UNLOCKED),
    ("flock", "As the first flock in PATH", Typed, None, 0, "flock from locket "),
    ("flock", "In a script", Typed, None, 0, REPORTED),
    ("flock", "In a script", Typed, MY_APP, 1, ""),
    ("flock", "In a crontab", Crontab, None, 0, "report.lock is held\nreport\n"),
    ("completions", "For bash", Typed, None, 0, ""),
    ("man", INSTALL, Typed, None, 0, "the manual is in "),
    ("man", READ, Typed, None, 0, "locket-run(1)"),
];

/// Returns the headings and the texts of the examples of a page.
fn examples(page: &str) -> Vec<(String, String)> {
    let text = answer(&LockFile::new().sh(&format!("$L man {page}")));
    let plain = |text: &str| text.replace(r"\-", "-").replace(r"\&", "").replace(r"\e", r"\");
    let parts = text.split(".EX\n").collect::<Vec<_>>();
    let pairs = parts.windows(2).map(|pair| {
        let heading = pair[0].lines().rev().find(|line| !line.starts_with('.'));
        let (text, _) = pair[1].split_once(".EE\n").expect("an example ends");
        (plain(heading.expect("it has a heading").trim_end_matches(':')), plain(text))
    });
    pairs.collect()
}

/// Returns a directory in which the examples run.
fn directory() -> LockFile {
    let directory = LockFile::new();
    fs::create_dir(directory.beside("bin")).expect("the directory should be writable");
    symlink(LOCKET, directory.beside("bin/locket")).expect("the directory should be writable");
    for report in ["report.sh", "bin/report.sh"] {
        make_script(directory.beside(report), REPORT);
    }
    directory
}

/// Runs an example. Returns the exit code and the output.
fn run(directory: &LockFile, kind: Kind, text: &str) -> (Option<i32>, String) {
    let here = directory.directory().display().to_string();
    let text = text.replace("/usr/local", &here).replace("/var/lib/report", &here);
    let line_after = |begin: &str| {
        let rest = text.lines().find_map(|line| line.trim_start().strip_prefix(begin));
        rest.unwrap_or_else(|| panic!("{begin} should be in {text}")).to_string()
    };
    let script = match kind {
        Typed => text,
        Script => {
            make_script(directory.beside("script"), &text);
            "./script word".into()
        }
        Crontab => {
            let (time, command) = text.split_once("  ").expect("five fields and a command");
            assert_eq!(time.split_whitespace().count(), 5, "{time}");
            command.into()
        }
        Unit => {
            verify_unit(directory, &text);
            line_after("ExecStart=")
        }
        Makefile => {
            fs::write(directory.beside("Makefile"), &text).expect("it should be writable");
            "make -s -j 2 && { [ ! -e a.out ] || cat a.out b.out; }".into()
        }
        Ci => line_after("- run: "),
    };
    let path = format!("{here}/bin:{}", std::env::var("PATH").unwrap_or_default());
    let mut command = directory.command("sh", &["-c", &script]);
    let run = command.env("PATH", path).env("HOME", here).env("MANWIDTH", "80").assert();
    (run.get_output().status.code(), answer(&run))
}

fn verify_unit(directory: &LockFile, text: &str) {
    let check = "every_example_of_the_manual_works (verify)";
    if has(check, "systemd-analyze --version") {
        fs::write(directory.beside("report.service"), text).expect("it should be writable");
        let said = answer(&directory.sh("systemd-analyze verify ./report.service 2>&1"));
        assert!(!said.contains("report.service"), "{said}");
    }
}

#[test]
fn every_example_of_the_manual_works() {
    let mut shown = Vec::new();
    for page in ["", "run", "wait", "status", "lock", "unlock", "flock", "completions", "man"] {
        let examples = examples(page);
        assert!(!examples.is_empty(), "{page} has no example");
        shown.extend(examples.into_iter().map(|(heading, text)| (page, heading, text)));
    }
    for (page, heading, text) in &shown {
        let mut cases = CASES.iter().filter(|case| case.0 == *page && case.1 == heading).peekable();
        assert!(cases.peek().is_some(), "{page}: {heading} is not run");
        for (_, _, kind, held, code, expected) in cases {
            let needs = match kind {
                Makefile => "make --version",
                _ if heading == READ => "man --version",
                _ => "true",
            };
            if !has(&format!("every_example_of_the_manual_works ({heading})"), needs) {
                continue;
            }
            let directory = directory();
            // A script that locks itself is there already, and is held.
            let text = match held {
                Some(script) if matches!(kind, Script) => {
                    make_script(directory.beside(script), text);
                    "./script word"
                }
                _ => text,
            };
            let kind = if text == "./script word" { Typed } else { *kind };
            let _holder = held.map(|lock| holder(&[], directory.beside(lock)));
            let (status, output) = run(&directory, kind, text);
            assert_eq!(status, Some(*code), "{page}: {heading}: {output}");
            let is_whole = expected.is_empty() || expected.ends_with('\n');
            let matches = if is_whole { output == *expected } else { output.contains(expected) };
            assert!(matches, "{page}: {heading}: {output:?}, not {expected:?}");
        }
    }
}

/// As after `cargo install`: the program is in a directory `bin` that is in `PATH`.
#[test]
fn man_finds_the_installed_pages() {
    needs!("man --version");
    let lock = LockFile::new();
    lock.sh("mkdir -p cargo/bin; ln $L cargo/bin/locket || cp $L cargo/bin/locket").code(0);
    lock.sh("cargo/bin/locket man --install").code(0).stderr("");
    let find = |path: &str, page: &str| {
        answer(&lock.sh(&format!("PATH={path}; unset MANPATH; man -w {page}")))
    };
    for page in ["locket", "locket-run", "locket-flock", "locket-lock"] {
        let expected = lock.beside(&format!("cargo/share/man/man1/{page}.1\n"));
        assert_eq!(find("$PWD/cargo/bin:$PATH", page), expected);
    }
    // The check must fail without the directory in `PATH`.
    let found = find("$PATH", "locket-run");
    assert!(!found.contains(&*lock.directory().to_string_lossy()), "{found}");
}
