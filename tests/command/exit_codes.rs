//! - Each failure has its exit code, with `-o`, with `-F` and without, and one line that says why.
//! - A command that cannot be run leaves the lock free.
//! - Otherwise the status is the one of the command, even if the caller ignores SIGCHLD.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use crate::lock_file::{LockFile, WAYS, is_free, locket_run, make_script, powerless, run, said};
use crate::support::skip;

/// Runs a command under the lock in each way, which must fail. Returns the message.
#[track_caller]
fn fails(path: &str, command: &str, code: i32) -> String {
    let [text, closed, become_it] =
        WAYS.map(|options| said(&run(options, path, &["--", command]).code(code).stdout("")));
    assert_eq!((&text, &text), (&closed, &become_it));
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn wrong_arguments_are_64() {
    let lock = LockFile::new();
    for words in [
        "",
        "nosuch",
        "run",
        "run f --",
        "run --nosuch f true",
        "run -c true",
        "run f -c true -- true",
        "run -n -w 1 f true",
        "run -w -1 f true",
        "run -w '' f true",
        "run -E 256 f true",
        "run -E -1 f true",
        "run -o -F f true",
        "run --quiet --verbose f true",
        "wait",
        "wait f f",
        "wait -x f",
        "wait -n -w 1 f",
        "status",
        "status --all f",
        "status --json --quiet f",
        "completions",
        "completions nosuch",
        "man nosuch",
    ] {
        let run = lock.sh(&format!("$L {words}")).code(64).stdout("");
        assert_ne!(said(&run), "", "{words}");
    }
    assert!(!fs::exists(&lock).expect("it can be asked"), "wrong arguments should have no effect");
}

#[test]
fn an_unusable_lock_file_is_66() {
    let lock = LockFile::new();
    assert!(fails(&lock.beside("nosuch/f"), "true", 66).contains("cannot create"));
    assert!(fails("/dev/null", "true", 66).contains("it is a device"));
    fs::write(&lock, "").expect("the directory should be writable");
    assert!(fails(&format!("{lock}/f"), "true", 66).contains("Not a directory"));
    let Some(locket) = powerless("an_unusable_lock_file_is_66 (forbidden)") else { return };
    let text = said(&lock.sh(&format!("chmod 000 f; {locket} run f true")).code(66));
    assert!(text.contains("cannot open") && text.contains("Permission denied"), "{text}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_system_error_is_71() {
    needs!("strace -qq true");
    let lock = LockFile::new();
    fs::write(&lock, "").expect("the directory should be writable");
    let fork = "inject=clone,clone3,vfork,fork:error=EAGAIN:when=";
    for (inject, command, code, text) in [
        ("inject=flock:error=ENOLCK", "run", 71, "cannot lock "),
        ("inject=flock:error=EOPNOTSUPP", "run", 71, "cannot lock "),
        ("inject=flock:error=ENOSYS", "run", 71, "cannot lock "),
        ("inject=flock:error=EIO", "run", 71, "cannot lock "),
        ("inject=flock:error=ENOLCK", "wait", 71, "No locks available"),
        // With an error at each call the command cannot be started. From the second call on, only the canary is missing.
        (&format!("{fork}1+"), "run", 71, "cannot run true"),
        (&format!("{fork}2+"), "run", 0, "cannot start the canary: "),
        ("inject=execve:error=ENOMEM:when=2+", "run", 71, ""),
        // Without an injection no error occurs.
        ("inject=flock:delay_exit=1", "run", 0, ""),
        ("inject=flock:delay_exit=1", "wait", 0, ""),
    ] {
        let words = [command, &lock, "true"];
        let words = if command == "run" { &words[..] } else { &words[..2] };
        let (run, _) = lock.strace(&["-f", "-e", inject], words);
        let said = said(&run.code(code));
        assert!(said.contains(text), "{inject}: {said}");
    }
}

#[test]
fn a_command_that_cannot_be_run_is_126_or_127() {
    let lock = LockFile::new();
    let plain = lock.beside("plain");
    fs::write(&plain, "#!/bin/sh\n").expect("the directory should be writable");
    for (command, code) in [
        (&plain[..], 126),
        (&lock.directory().to_string_lossy(), 126),
        (&format!("{plain}/below"), 126),
        ("no-such-command-anywhere", 127),
        ("/no/such/command", 127),
        ("", 127),
    ] {
        assert!(fails(&lock, command, code).contains(&format!("cannot run {command}: ")));
        assert!(is_free(&lock));
    }
}

#[test]
fn a_script_without_an_interpreter_line_runs_as_in_a_shell() {
    let lock = LockFile::new();
    let script = lock.beside("script");
    make_script(&script, "echo \"$# $2\"; exit 5\n");
    let path = format!("{}:/usr/bin:/bin", lock.directory().display());
    for options in WAYS {
        for script in [&script, "script"] {
            let mut run = locket_run(options, &lock, [script, "a", "b  c"]);
            run.env("PATH", &path).assert().code(5).stdout("2 b  c\n");
        }
    }
}

#[test]
fn otherwise_the_status_is_that_of_the_command() {
    let lock = LockFile::new();
    for options in WAYS {
        for code in [0, 1, 2, 64, 75, 127, 255] {
            run(options, &lock, &["sh", "-c", &format!("exit {code}")]).code(code).stderr("");
        }
    }
}

/// With SIGCHLD ignored, the system keeps no status of a child (wait(2)).
#[test]
fn the_status_is_known_even_if_the_caller_ignores_sigchld() {
    needs!("env --ignore-signal=CHLD true");
    let lock = LockFile::new();
    for options in ["", "-o", "-F"] {
        let words = format!("run {options} f sh -c 'exit 3'");
        lock.sh(&format!("env --ignore-signal=CHLD $L {words}")).code(3);
    }
}

#[test]
fn a_signal_that_ends_the_command_ends_locket() {
    let lock = LockFile::new();
    for (name, number) in [("TERM", 15), ("KILL", 9), ("USR1", 10), ("QUIT", 3)] {
        for options in WAYS {
            let run = run(options, &lock, &["sh", "-c", &format!("kill -{name} $$")]);
            assert_eq!(run.get_output().status.signal(), Some(number));
        }
    }
}

/// The command may write a core file. locket ends by the same signal and writes none.
#[test]
fn locket_writes_no_core() {
    let cores = |script: &str| {
        let lock = LockFile::new();
        let run = lock.sh(&format!("ulimit -c unlimited; {script}"));
        assert_eq!(run.get_output().status.signal(), Some(3), "{script}");
        let files = fs::read_dir(lock.directory()).expect("it should exist").flatten();
        files.filter(|it| it.file_name().to_string_lossy().starts_with("core")).count()
    };
    if cores("kill -QUIT $$") == 0 {
        skip("locket_writes_no_core", "cores: the system writes none into the directory");
        return;
    }
    assert_eq!(cores("exec $L run f sh -c 'ulimit -c 0; kill -QUIT $$'"), 0);
}
