//! Runs every example of the manual as it is printed, with directories of the test in place of the system's. And man(1)
//! finds the pages that `locket man --install` writes.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::running::{LOCKET, Running, has, make_script};
use crate::support::{PATIENCE, Scratch};

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

/// The page, the heading, the kind, the lock that another process holds meanwhile, the exit code and the output.
type Case = (&'static str, &'static str, Kind, Option<&'static str>, i32, &'static str);

const CASES: [Case; 27] = [
    ("", "One at a time", Typed, None, 0, "my_app.lock is held\nreport\n"),
    ("", "Not at all, if it is running", Typed, None, 0, "my_app.lock is held\nreport\n"),
    ("", "Not at all, if it is running", Typed, Some("my_app.lock"), 0, "it is running\n"),
    ("", "Is it running?", Typed, Some("my_app.lock"), 0, "my_app.lock: held"),
    ("run", "In a crontab", Crontab, None, 0, "report.lock is held\nreport\n"),
    ("run", "In a crontab", Crontab, Some("report.lock"), 0, ""),
    ("run", "In a unit of systemd", Unit, None, 0, "lock is held\nreport\n"),
    ("run", "In a script that locks itself", Script, None, 0, "alone: word\n"),
    ("run", "In a script that locks itself", Script, Some("script"), 75, ""),
    (
        "run",
        "In a Makefile, whose recipes may run side by side (make -j)",
        Makefile,
        None,
        0,
        "cache.lock is held\nreport\ncache.lock is held\nreport\n",
    ),
    (
        "run",
        "In a step of CI, on a machine that other jobs use",
        Ci,
        None,
        0,
        "lock is held\nreport\n",
    ),
    ("wait", "When the other has ended", Typed, None, 0, "report\n"),
    ("wait", "In a Makefile", Makefile, None, 0, "report\n"),
    ("status", "In a script", Typed, None, 0, ""),
    ("status", "In a script", Typed, Some("my_app.lock"), 0, "it is running\n"),
    ("status", "All locks in use, as JSON", Typed, Some("my_app.lock"), 0, "{\n  \"locks\": ["),
    ("lock", "In a script that locks itself", Script, None, 0, "alone: word\n"),
    ("lock", "In a script that locks itself", Script, Some("script"), 75, ""),
    (
        "lock",
        "For a part of a script",
        Typed,
        None,
        0,
        "my_app.lock is held\nreport\nnot alone any more\n",
    ),
    (
        "unlock",
        "In a command that was handed its lock",
        Typed,
        None,
        0,
        "my_app.lock is held\nreport\nnot alone any more\n",
    ),
    ("flock", "As the first flock in PATH", Typed, None, 0, "flock from locket "),
    ("flock", "In a script", Typed, None, 0, "my_app.lock is held\nreport\n"),
    ("flock", "In a script", Typed, Some("my_app.lock"), 1, ""),
    ("flock", "In a crontab", Crontab, None, 0, "report.lock is held\nreport\n"),
    ("completions", "For bash", Typed, None, 0, ""),
    (
        "man",
        "Where man(1) finds the pages of a program in ~/.cargo/bin",
        Typed,
        None,
        0,
        "the manual is in ",
    ),
    ("man", "To read one without installing it", Typed, None, 0, "locket-run(1)"),
];

/// Returns the headings and the texts of the examples of a page.
fn examples(page: &str) -> Vec<(String, String)> {
    let mut command = assert_cmd::Command::new(LOCKET);
    command.arg("man").args(Some(page).filter(|page| !page.is_empty()));
    let output = command.output().expect("it should run");
    let text = String::from_utf8(output.stdout).expect("it should be UTF-8");
    let plain = |text: &str| text.replace(r"\-", "-").replace(r"\&", "").replace(r"\e", r"\");
    let parts = text.split(".EX\n").collect::<Vec<_>>();
    let pairs = parts.windows(2).map(|pair| {
        let heading = pair[0].lines().rev().find(|line| !line.starts_with('.'));
        let (text, _) = pair[1].split_once(".EE\n").expect("an example ends");
        (plain(heading.expect("it has a heading").trim_end_matches(':')), plain(text))
    });
    pairs.collect()
}

struct TestDir {
    scratch: Scratch,
    path: String,
}

impl TestDir {
    fn new() -> Self {
        let scratch = Scratch::new();
        let bin = scratch.join("bin");
        fs::create_dir(&bin).expect("the directory should be writable");
        symlink(LOCKET, bin.join("locket")).expect("the directory should be writable");
        for report in ["report.sh", "bin/report.sh"] {
            make_script(&scratch.join(report), REPORT);
        }
        let path = std::env::var("PATH").unwrap_or_default();
        Self { path: format!("{}:{path}", bin.display()), scratch }
    }

    fn run(&self, kind: Kind, text: &str) -> (Option<i32>, String) {
        let here = self.scratch.path().display().to_string();
        let text = text.replace("/usr/local", &here).replace("/var/lib/report", &here);
        let script = self.scratch.join("script");
        let line_after = |begin: &str| {
            let rest = text.lines().find_map(|line| line.trim_start().strip_prefix(begin));
            rest.unwrap_or_else(|| panic!("{begin} should be in {text}")).to_string()
        };
        let (program, arguments) = match kind {
            Typed => ("sh", vec!["-c".into(), text]),
            Script => {
                fs::write(&script, "").expect("the directory should be writable");
                make_script(&script, &text);
                ("./script", vec!["word".into()])
            }
            Crontab => {
                let (time, command) = text.split_once("  ").expect("five fields and a command");
                assert_eq!(time.split_whitespace().count(), 5, "{time}");
                ("sh", vec!["-c".into(), command.into()])
            }
            Unit => {
                self.verify_unit(&text);
                ("sh", vec!["-c".into(), line_after("ExecStart=")])
            }
            Makefile => {
                fs::write(self.scratch.join("Makefile"), &text)
                    .expect("the directory should be writable");
                (
                    "sh",
                    vec![
                        "-c".into(),
                        "make -s -j 2 && { [ ! -e a.out ] || cat a.out b.out; }".into(),
                    ],
                )
            }
            Ci => ("sh", vec!["-c".into(), line_after("- run: ")]),
        };
        let mut command = assert_cmd::Command::new(program);
        command.args(arguments).current_dir(self.scratch.path()).env("PATH", &self.path);
        command.env("HOME", self.scratch.path()).env("MANWIDTH", "80").timeout(PATIENCE);
        let output = command.output().expect("it should run");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn verify_unit(&self, text: &str) {
        if !has("every_example_of_the_manual_works (verify)", "systemd-analyze", &["--version"]) {
            return;
        }
        let unit = self.scratch.join("report.service");
        fs::write(&unit, text).expect("the directory should be writable");
        let output = Command::new("systemd-analyze").arg("verify").arg(&unit).output();
        let said = String::from_utf8_lossy(&output.expect("it should run").stderr).into_owned();
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
            let needs = match (kind, &heading[..]) {
                (Makefile, _) => Some(("make", "--version")),
                (_, "To read one without installing it") => Some(("man", "--version")),
                _ => None,
            };
            let check = format!("every_example_of_the_manual_works ({heading})");
            if needs.is_some_and(|(program, option)| !has(&check, program, &[option])) {
                continue;
            }
            let dir = TestDir::new();
            let _holder = held.map(|lock| {
                let lock = dir.scratch.join(lock);
                if matches!(kind, Script) {
                    make_script(&lock, text);
                }
                Running::holder(&lock)
            });
            let (status, output) = match (kind, held) {
                // The lock file exists already, and is held.
                (Script, Some(_)) => dir.run(Typed, "./script word"),
                _ => dir.run(*kind, text),
            };
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
    if !has("man_finds_the_installed_pages", "man", &["--version"]) {
        return;
    }
    let scratch = Scratch::new();
    let bin = scratch.join("cargo/bin");
    fs::create_dir_all(&bin).expect("the directory should be writable");
    let program = bin.join("locket");
    fs::hard_link(LOCKET, &program)
        .or_else(|_| fs::copy(LOCKET, &program).map(drop))
        .expect("there is room for a program");
    assert_cmd::Command::new(&program).args(["man", "--install"]).assert().code(0).stderr("");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    for page in ["locket", "locket-run", "locket-flock", "locket-lock"] {
        let mut command = Command::new("man");
        let output = command.args(["-w", page]).env("PATH", &path).env_remove("MANPATH").output();
        let found = String::from_utf8_lossy(&output.expect("it should run").stdout).into_owned();
        let expected = scratch.join(&format!("cargo/share/man/man1/{page}.1"));
        assert_eq!(Path::new(found.trim_end()), expected);
    }
    // The check must fail without the directory in `PATH`.
    let mut command = Command::new("man");
    let output = command.args(["-w", "locket-run"]).env_remove("MANPATH").output();
    let found = String::from_utf8_lossy(&output.expect("it should run").stdout).into_owned();
    assert!(!found.contains(&scratch.path().display().to_string()), "{found}");
}
