//! What the command inherits:
//! - of descriptors, the locked one and no other; with `-o` none;
//! - the streams, the environment and the directory, unchanged;
//! - the signal mask and the ignored signals of the caller, except that SIGPIPE has its default action.

use std::path::Path;
use std::process::Command;

#[cfg(target_os = "linux")]
use crate::running::has;
use crate::running::{LOCKET, locket_run};
use crate::support::Scratch;

#[test]
fn streams_pass_through() {
    let scratch = Scratch::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for options in [&[][..], &["-o"], &["--quiet"]] {
        let run = locket_run()
            .args(options)
            .arg(scratch.lock_path())
            .args(["--", "sh", "-c", "cat; echo oops >&2"])
            .write_stdin(bytes.clone())
            .assert();
        run.code(0).stdout(bytes.clone()).stderr("oops\n");
    }
}

#[test]
fn environment_and_directory_pass_through() {
    let scratch = Scratch::new();
    let tell = ["sh", "-c", "pwd; env -0 | sort -z"];
    let output = |command: &mut assert_cmd::Command| {
        use std::os::unix::ffi::OsStrExt;
        command
            .env("LOCKET_BYTES", std::ffi::OsStr::from_bytes(b"\xff =\n"))
            .env("LOCKET_NONE", "");
        command.current_dir(scratch.path()).args(tell).output().expect("it should run").stdout
    };
    let plain = output(assert_cmd::Command::new("env").timeout(crate::support::PATIENCE));
    let bytes = &b"LOCKET_BYTES=\xff =\n\0"[..];
    assert!(plain.windows(bytes.len()).any(|it| it == bytes));
    for options in [&[][..], &["-o"]] {
        assert!(output(locket_run().args(options).arg(scratch.lock_path())) == plain);
    }
}

/// Returns the descriptors of a command beyond those that it has when a plain `env` starts it.
#[cfg(target_os = "linux")]
fn extra_descriptors(launcher: &[&str]) -> Vec<String> {
    let list = |launcher: &[&str]| {
        let mut command = assert_cmd::Command::new(launcher[0]);
        // `ls` lists the descriptors of the shell, which opens none of its own while it waits.
        command.args(&launcher[1..]).args(["sh", "-c", "ls -l /proc/$$/fd; :"]);
        let text = String::from_utf8(command.output().expect("it should run").stdout);
        let text = text.expect("it should be UTF-8");
        let pairs: Vec<(String, String)> = text
            .lines()
            .filter_map(|line| line.split_once(" -> "))
            .map(|(before, file)| (before.rsplit(' ').next().unwrap_or("").into(), file.into()))
            .collect();
        assert!(pairs.len() >= 3, "there are three streams: {text}");
        pairs
    };
    let plain = list(&["env"]);
    let is_extra = |fd: &str| plain.iter().all(|(known, _)| known != fd);
    let found = list(launcher).into_iter().filter(|(fd, _)| is_extra(fd));
    found.map(|(_, file)| file).collect()
}

#[test]
#[cfg(target_os = "linux")]
fn the_command_inherits_only_the_locked_descriptor() {
    let scratch = Scratch::new();
    let path = scratch.path().canonicalize().expect("it should exist").join("test.lock");
    let path = path.to_str().expect("it should be UTF-8");
    assert_eq!(extra_descriptors(&[LOCKET, "run", path]), [path]);
    assert_eq!(extra_descriptors(&[LOCKET, "run", "-s", "-w", "1", path]), [path]);
    assert_eq!(extra_descriptors(&[LOCKET, "run", "-o", path]), [""; 0]);
    // The check must find one descriptor more.
    let leaky = r#"exec 9</dev/null; exec "$0" "$@""#;
    let leaky = ["sh", "-c", leaky, LOCKET, "run", path];
    assert_eq!(extra_descriptors(&leaky), [path, "/dev/null"]);
}

/// The bit of SIGPIPE, signal 13.
#[cfg(target_os = "linux")]
const PIPE: u64 = 1 << 12;

/// Returns the masks of blocked and of ignored signals of a command that is started in this way.
#[cfg(target_os = "linux")]
fn signals(launcher: &[&str], program: &[&str]) -> [u64; 2] {
    let mut command = Command::new("env");
    command.args(launcher).args(program).args(["cat", "/proc/self/status"]);
    let text = String::from_utf8(command.output().expect("it should run").stdout);
    let text = text.expect("it should be UTF-8");
    ["SigBlk:", "SigIgn:"].map(|name| {
        mask(text.lines().find(|line| line.starts_with(name)).expect("Linux reports it"))
    })
}

/// Returns the signals of a line, without 32 and 33. These belong to the C library: its `posix_spawn` ignores them in the
/// child, and its threads need them.
#[cfg(target_os = "linux")]
pub(crate) fn mask(line: &str) -> u64 {
    let (_, mask) = line.split_once(':').expect("Linux reports it");
    u64::from_str_radix(mask.trim(), 16).expect("it is a mask") & !(0b11 << 31)
}

#[test]
#[cfg(target_os = "linux")]
fn the_callers_signals_reach_the_command() {
    let caller =
        ["--default-signal", "--ignore-signal=HUP,INT,USR2,WINCH", "--block-signal=TERM,USR1,INT"];
    if !has("the_callers_signals_reach_the_command", "env", &[&caller[..], &["true"]].concat()) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let path = path.to_str().expect("it should be UTF-8");
    let plain = signals(&caller, &[]);
    assert_ne!(plain, [0, 0]);
    assert_eq!(signals(&caller, &[LOCKET, "run", path]), plain);
    assert_eq!(signals(&caller, &[LOCKET, "run", "-o", path]), plain);
    assert_eq!(signals(&caller, &[LOCKET, "run", "-w", "1h", path]), plain);
    // The check must find one signal more.
    assert_ne!(signals(&caller, &["env", "--ignore-signal=QUIT"]), plain);
}

/// A wait with a timeout uses a signal, and leaves the caller's signals unchanged.
#[test]
#[cfg(target_os = "linux")]
fn a_wait_leaves_the_signals_unchanged() {
    use crate::running::Running;
    use crate::support::until_waiting;

    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let tell = "grep -E 'SigBlk|SigIgn|SigCgt' /proc/self/status";
    let said = |options: &[&str], meet: bool| {
        let holder = meet.then(|| Running::holder(&path));
        let path = path.to_str().expect("it should be UTF-8");
        let mut run = Running::locket([options, &[path, "sh", "-c", tell]].concat());
        if let Some(holder) = holder {
            until_waiting(run.pid(), scratch.lock_path().as_path(), 1);
            holder.end();
        }
        let masks = [run.line(), run.line(), run.line()].map(|line| mask(&line));
        assert_eq!(run.wait().code(), Some(0));
        masks
    };
    let free = said(&["-w", "1h"], false);
    assert_eq!(said(&["-w", "1h"], true), free);
    assert_eq!(said(&[], true), free);
}

#[test]
#[cfg(target_os = "linux")]
fn sigpipe_has_its_default_action() {
    let ignoring = ["--ignore-signal=PIPE"];
    if !has("sigpipe_has_its_default_action", "env", &["--ignore-signal=PIPE", "true"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let path = path.to_str().expect("it should be UTF-8");
    for options in [&[][..], &["-o"]] {
        let locket = [&[LOCKET, "run"], options, &[path]].concat();
        assert_eq!(signals(&[], &locket)[1] & PIPE, 0);
        assert_eq!(signals(&ignoring, &locket)[1] & PIPE, 0);
        // The documentation recommends this to a caller that wants SIGPIPE ignored.
        let advised = [&locket[..], &["env", "--ignore-signal=PIPE"]].concat();
        assert_eq!(signals(&ignoring, &advised)[1] & PIPE, PIPE);
    }
}

#[test]
fn a_broken_pipe_ends_the_command_silently() {
    let scratch = Scratch::new();
    for options in [&[][..], &["-o"]] {
        let mut run = locket_run();
        run.args(options).arg(scratch.lock_path()).args(["sh", "-c", "yes | head -1"]);
        run.assert().code(0).stdout("y\n").stderr("");
        ends_by_sigpipe(&scratch.lock_path(), options);
    }
}

/// No process reads what the command writes, so SIGPIPE ends it.
#[track_caller]
fn ends_by_sigpipe(path: &Path, options: &[&str]) {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;

    let mut run = Command::new(LOCKET)
        .arg("run")
        .args(options)
        .arg(path)
        .arg("yes")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it should start");
    drop(run.stdout.take());
    let status = run.wait().expect("it is a child of the test");
    let ended = status.signal().map(|signal| 128 + signal).or(status.code());
    assert_eq!(ended, Some(128 + 13));
}
