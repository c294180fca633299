//! - Every option, in both spellings and in those of flock(1). (`contention` checks `-n`, `-w` and `-E`.)
//! - Of two options that exclude each other the last one counts, as in flock(1), where that makes sense.
//! - The `--` before the command is optional. What follows the command's name belongs to the command.

use crate::lock_file::{LockFile, run, said};
use crate::running::{Running, holder, start};

#[test]
fn shared_and_exclusive() {
    let lock = LockFile::new();
    let exclusive = [&["-x"][..], &["-e"], &["--exclusive"], &[], &["-s", "-x"]];
    let shared = [&["-s"][..], &["--shared"], &["-x", "-s"]];
    let attempt = |options: &[&str], code| {
        run(&[options, &["-n"]].concat(), &lock, &["--", "true"]).code(code);
    };
    for held in exclusive {
        let _holder = holder(held, &lock);
        attempt(&["-s"], 75);
    }
    for held in shared {
        let _reader = holder(held, &lock);
        for options in shared {
            attempt(options, 0);
        }
        for options in exclusive {
            attempt(options, 75);
        }
        run(&["-sn"], &lock, &["--", "true"]).code(0);
    }
}

#[test]
fn only_no_fork_replaces_locket_by_the_command() {
    let lock = LockFile::new();
    for (option, stays) in
        [("-o", true), ("--close", true), ("-F", false), ("--no-fork", false), ("-x", true)]
    {
        for command in [&["-c", "echo $$ $PPID"][..], &["--", "sh", "-c", "echo $$ $PPID"]] {
            let mut run = start(&[option], &lock, command);
            let line = run.line();
            let (own, parent) = line.split_once(' ').expect("two numbers");
            let locket = run.pid().to_string();
            assert_eq!((parent == locket, own == locket), (stays, !stays), "{option}");
            assert_eq!(run.wait().code(), Some(0));
        }
    }
}

#[test]
fn command() {
    let lock = LockFile::new();
    for option in ["-c", "--command"] {
        run(&[option, "echo a; exit 3"], &lock, &[]).code(3).stdout("a\n");
        run(&[], &lock, &[option, "echo a; exit 3"]).code(3).stdout("a\n");
    }
    run(&["--command=echo a"], &lock, &[]).code(0).stdout("a\n");
}

#[test]
fn verbose_reports_the_steps_and_quiet_reports_nothing() {
    let lock = LockFile::new();
    let locked = |said: &str| said.starts_with(&format!("locket: locked {lock} after "));
    for options in [&[][..], &["--quiet"], &["-q"]] {
        run(options, &lock, &["true"]).code(0).stderr("");
    }
    let text = said(&run(&["--verbose"], &lock, &["true"]));
    assert!(locked(&text) && text.lines().count() == 1, "{text}");

    let holder = holder(&[], &lock);
    run(&["--quiet", "-n"], &lock, &["true"]).code(75).stderr("");
    run(&["--quiet", "-w", "1ms"], &lock, &["true"]).code(75).stderr("");
    let mut waiter = Running::with_messages(&["--verbose"], &lock);
    let text = waiter.line();
    assert!(text.starts_with("locket: waiting "), "{text}");
    assert!(text.contains(&format!(" for {lock}")), "{text}");
    holder.end();
    let text = waiter.line();
    assert!(locked(&text), "{text}");
    assert_eq!(waiter.wait().code(), Some(0));

    let text = said(&run(&["--quiet"], lock.beside("missing/f"), &["true"]).code(66));
    assert!(text.starts_with("locket: cannot create "), "{text}");
}

#[test]
fn messages_show_the_absolute_path() {
    let lock = LockFile::new();
    let text = said(&lock.locket(&["run", "--verbose", "f", "true"]));
    let directory = lock.directory().canonicalize().expect("it should exist");
    assert!(text.contains(&*directory.join("f").to_string_lossy()), "{text}");
}

#[test]
fn options_after_the_command_are_the_commands() {
    let lock = LockFile::new();
    for words in [&["--", "echo", "-s", "--", "-n"][..], &["echo", "-s", "--", "-n"]] {
        run(&[], &lock, words).code(0).stdout("-s -- -n\n");
    }
    // Options are also allowed after the file.
    run(&[], &lock, &["-n", "--", "echo", "-s", "--help"]).code(0).stdout("-s --help\n");
}
