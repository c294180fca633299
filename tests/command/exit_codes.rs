//! - Each failure has its exit code, with `-o`, with `-F` and without, and one line that says why.
//! - A command that cannot be run leaves the lock free.
//! - Otherwise the status is the one of the command.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

use crate::running::{LOCKET, has, is_free, locket_run, make_script};
use crate::support::{Scratch, is_root, skip};

const WAYS: [&[&str]; 3] = [&[], &["-o"], &["-F"]];

/// Runs a command under the lock in each way, which must fail. Returns the message.
#[track_caller]
fn fails(path: &Path, command: &[&str], code: i32) -> String {
    let [text, closed, become_it] = WAYS.map(|options| {
        let output = locket_run().args(options).arg(path).arg("--").args(command).output();
        let output = output.expect("it should run");
        let text = String::from_utf8(output.stderr).expect("it should be UTF-8");
        assert_eq!(output.status.code(), Some(code), "{options:?} {command:?}: {text}");
        assert_eq!(output.stdout, b"");
        text
    });
    assert_eq!((&text, &text), (&closed, &become_it));
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn wrong_arguments_are_64() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let path = path.to_str().expect("it should be UTF-8");
    let wrong = [
        &[][..],
        &["nosuch"],
        &["run"],
        &["run", path],
        &["run", path, "--"],
        &["run", "", "true"],
        &["run", "--nosuch", path, "true"],
        &["run", "-c", "true"],
        &["run", path, "-c", "true", "--", "true"],
        &["run", "-n", "-w", "1", path, "true"],
        &["run", "-w", "soon", path, "true"],
        &["run", "-w", "-1", path, "true"],
        &["run", "-w", "", path, "true"],
        &["run", "-E", "256", path, "true"],
        &["run", "-E", "-1", path, "true"],
        &["run", "-o", "-F", path, "true"],
        &["run", "--quiet", "--verbose", path, "true"],
        &["wait"],
        &["wait", path, path],
        &["wait", "-x", path],
        &["wait", "-n", "-w", "1", path],
        &["status"],
        &["status", "--all", path],
        &["status", "--json", "--quiet", path],
        &["completions"],
        &["completions", "nosuch"],
        &["man", "nosuch"],
    ];
    for arguments in wrong {
        let output = assert_cmd::Command::new(LOCKET).args(arguments).output();
        let output = output.expect("it should run");
        assert_eq!(output.status.code(), Some(64), "{arguments:?}");
        assert_eq!(output.stdout, b"", "{arguments:?}");
        assert_ne!(output.stderr, b"", "{arguments:?}");
    }
    assert!(!Path::new(path).exists(), "wrong arguments should have no effect");
}

#[test]
fn an_unusable_lock_file_is_66() {
    let scratch = Scratch::new();
    let missing = scratch.join("nosuch/x.lock");
    assert!(fails(&missing, &["true"], 66).contains("cannot create"));
    assert!(fails(Path::new("/dev/null"), &["true"], 66).contains("it is a device"));
    let file = scratch.join("file");
    fs::write(&file, "").expect("the directory should be writable");
    assert!(fails(&file.join("x.lock"), &["true"], 66).contains("Not a directory"));
}

#[test]
fn a_forbidden_lock_file_is_66() {
    // Root may open every file, so root runs locket without the capability for that.
    let powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let launcher = if is_root() { &powerless[..] } else { &["env"] };
    if !has("a_forbidden_lock_file_is_66", launcher[0], &[&launcher[1..], &["true"]].concat()) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    fs::write(&path, "").expect("the directory should be writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000))
        .expect("it should be possible in the test directory");
    let mut run = Command::new(launcher[0]);
    run.args(&launcher[1..]).args([LOCKET, "run"]).arg(&path).arg("true");
    let output = run.output().expect("it should run");
    let text = String::from_utf8(output.stderr).expect("it should be UTF-8");
    assert_eq!(output.status.code(), Some(66), "{text}");
    assert!(text.contains("cannot open") && text.contains("Permission denied"), "{text}");
}

/// Runs locket under strace, which injects an error.
#[cfg(target_os = "linux")]
fn under(inject: &str, path: &Path, options: &[&str]) -> (Option<i32>, String) {
    let output = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", inject, LOCKET, "run"])
        .args(options)
        .arg(path)
        .arg("true")
        .output()
        .expect("strace should run");
    (output.status.code(), String::from_utf8(output.stderr).expect("it should be UTF-8"))
}

#[test]
#[cfg(target_os = "linux")]
fn a_system_error_is_71() {
    if !has("a_system_error_is_71", "strace", &["-qq", "true"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for error in ["ENOLCK", "EOPNOTSUPP", "ENOSYS", "EIO"] {
        let (code, text) = under(&format!("inject=flock:error={error}"), &path, &[]);
        assert_eq!(code, Some(71), "{error}: {text}");
        assert!(text.contains("cannot lock "), "{error}: {text}");
    }
    // With an error at each call the command cannot be started. From the second call on, only the canary is missing.
    for (turns, expected) in [("1+", 71), ("2+", 0)] {
        let inject = format!("inject=clone,clone3,vfork,fork:error=EAGAIN:when={turns}");
        let (code, text) = under(&inject, &path, &[]);
        assert_eq!(code, Some(expected), "{text}");
        assert_eq!(text.contains("cannot run true"), expected == 71, "{text}");
    }
    let (code, text) = under("inject=execve:error=ENOMEM:when=2+", &path, &[]);
    assert_eq!(code, Some(71), "{text}");
    // Without an injection no error occurs.
    assert_eq!(under("inject=flock:delay_exit=1", &path, &["-o"]).0, Some(0));
}

#[test]
fn a_command_that_cannot_be_run_is_126() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let plain = scratch.join("plain");
    fs::write(&plain, "#!/bin/sh\n").expect("the directory should be writable");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644))
        .expect("it should be possible in the test directory");
    for command in [&plain, scratch.path(), &plain.join("below")] {
        let command = command.to_str().expect("it should be UTF-8");
        assert!(fails(&path, &[command], 126).contains(&format!("cannot run {command}: ")));
        assert!(is_free(&path));
    }
}

#[test]
fn a_command_that_is_not_found_is_127() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for command in ["no-such-command-anywhere", "/no/such/command", ""] {
        assert!(fails(&path, &[command], 127).contains(&format!("cannot run {command}: ")));
        assert!(is_free(&path));
    }
}

#[test]
fn a_script_without_an_interpreter_line_runs_as_in_a_shell() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let script = scratch.join("script");
    make_script(&script, "echo \"$# $2\"; exit 5\n");
    for options in WAYS {
        let run = locket_run().args(options).arg(&path).arg(&script).args(["a", "b  c"]).assert();
        run.code(5).stdout("2 b  c\n");
        let run = locket_run()
            .env("PATH", format!("{}:/usr/bin:/bin", scratch.path().display()))
            .args(options)
            .arg(&path)
            .args(["script", "a", "b  c"])
            .assert();
        run.code(5).stdout("2 b  c\n");
    }
}

#[test]
fn otherwise_the_status_is_that_of_the_command() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for options in WAYS {
        for code in [0, 1, 2, 64, 75, 127, 255] {
            let script = format!("exit {code}");
            let run = locket_run().args(options).arg(&path).args(["sh", "-c", &script]).assert();
            run.code(code).stderr("");
        }
    }
}

#[test]
fn a_signal_that_ends_the_command_ends_locket() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for (name, number) in [("TERM", 15), ("KILL", 9), ("USR1", 10), ("QUIT", 3)] {
        let script = format!("kill -{name} $$");
        for options in WAYS {
            let run = locket_run().args(options).arg(&path).args(["sh", "-c", &script]).output();
            assert_eq!(run.expect("it should run").status.signal(), Some(number));
        }
    }
}

/// The command may write a core file. locket ends by the same signal and writes none.
#[test]
fn locket_writes_no_core() {
    let scratch = Scratch::new();
    let cores = |script: &str| {
        let directory = scratch.join("here");
        fs::create_dir(&directory).expect("the directory should be writable");
        let mut run = Command::new("sh");
        run.args(["-c", script, LOCKET]).current_dir(&directory);
        let status = run.status().expect("it should run");
        assert_eq!(status.signal(), Some(3), "{script}");
        let cores = fs::read_dir(&directory).expect("it should exist").flatten();
        let cores = cores.filter(|it| it.file_name().to_string_lossy().starts_with("core")).count();
        fs::remove_dir_all(&directory).expect("it should be possible in the test directory");
        cores
    };
    if cores("ulimit -c unlimited; kill -QUIT $$") == 0 {
        skip("locket_writes_no_core", "cores: the system writes none into the directory");
        return;
    }
    let command = "exec \"$0\" run x.lock sh -c 'ulimit -c 0; kill -QUIT $$'";
    assert_eq!(cores(&format!("ulimit -c unlimited; {command}")), 0);
}
