//! `locket flock`, and locket called as `flock`, where the system's flock(1) may be too old for a comparison.
//! (`flock_idioms` compares the rest.)
//! - the command line of util-linux 2.42, as `getopt_long(3)` reads it;
//! - the lock on a descriptor, which outlives locket, and a timed wait for it, which sleeps in the kernel;
//! - `--fcntl`, `--start`, `--length`, `--fd`;
//! - a signal reaches the command, and the lock is held until the command ends: the remaining difference from flock(1).

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::flock_idioms::path_with_locket_as_flock;
use crate::running::{HOLD, LOCKET, Running, has, is_free};
use crate::support::{PATIENCE, Scratch, until, until_waiting};

fn flock(scratch: &Scratch, words: &[&str]) -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(LOCKET);
    command.current_dir(scratch.path()).arg("flock").args(words).timeout(PATIENCE);
    command
}

/// Runs a script. `flock` is locket.
#[track_caller]
fn script(text: &str) -> (Option<i32>, String, String) {
    let scratch = Scratch::new();
    let links = Scratch::new();
    let mut command = assert_cmd::Command::new("bash");
    command.args(["-c", text]).current_dir(scratch.path()).timeout(PATIENCE);
    let output = command.env("PATH", path_with_locket_as_flock(&links)).output();
    let output = output.expect("bash should run");
    let text = |bytes| String::from_utf8(bytes).expect("it should be UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn wrong_arguments_are_64_with_the_messages_of_flock() {
    let scratch = Scratch::new();
    let try_help = "Try 'flock --help' for more information.\n";
    for (words, said, points_at_help) in [
        (&[][..], "not enough arguments", true),
        (&["-z", "f", "true"], "unrecognized option '-z'", true),
        (&["-zn", "f", "true"], "unrecognized option '-zn'", true),
        (&["--nosuch", "f", "true"], "unrecognized option '--nosuch'", true),
        (&["--shared=1", "f", "true"], "unrecognized option '--shared=1'", true),
        // Several options begin with this.
        (&["--ver"], "unrecognized option '--ver'", true),
        (&["--n", "f", "true"], "unrecognized option '--n'", true),
        (&["--f", "f", "true"], "unrecognized option '--f'", true),
        (&["-w"], "option '-w' requires an argument", true),
        (&["--fd"], "option '--fd' requires an argument", true),
        (&["-w", "5s", "f", "true"], "invalid timeout: '5s'", false),
        (&["-E", "x", "f", "true"], "invalid exit code (allowed values: 0-255): 'x'", false),
        (
            &["-E", "256", "f", "true"],
            "invalid exit code (allowed values: 0-255): '256': Numerical result out of range",
            false,
        ),
        (&["--fd", "x", "true"], "invalid file descriptor: 'x'", false),
        (&["x"], "invalid file descriptor: 'x'", false),
        (&["--start", "x", "f", "true"], "invalid as start offset: 'x': Invalid argument", false),
        (
            &["--length", "-1", "f", "true"],
            "invalid as length of lock range: '-1': Invalid argument",
            false,
        ),
        (&["-oF", "f", "true"], "the --no-fork and --close options are incompatible", false),
        (&["-n"], "missing file descriptor, file or directory", false),
        (&["-c", "true"], "missing file descriptor, file or directory", false),
        (&["--fd", "9"], "missing command", false),
        (&["f", "-c", "echo", "a"], "-c requires exactly one command argument", false),
        (&["f", "-c"], "-c requires exactly one command argument", false),
        (&["--fd", "9", "--command"], "--command requires exactly one command argument", false),
    ] {
        let said = format!("flock: {said}\n{}", if points_at_help { try_help } else { "" });
        let said = in_words_of_the_system(&said);
        flock(&scratch, words).assert().code(64).stdout("").stderr(said);
    }
    let timer = "flock: cannot set up timer: Invalid argument\n";
    flock(&scratch, &["-w", "-5", "f", "true"]).assert().code(71).stderr(timer);
    assert_eq!(
        std::fs::read_dir(scratch.path())
            .expect("it should be possible in the test directory")
            .count(),
        0
    );
}

#[test]
fn help_and_version() {
    let scratch = Scratch::new();
    for word in ["-h", "--help", "--hel", "-nh"] {
        let output = flock(&scratch, &[word]).assert().code(0).stderr("").get_output().clone();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for option in ["--shared", "--fcntl", "--start", "--length", "--fd", "--no-fork"] {
            assert!(text.contains(option), "{text}");
        }
    }
    for word in ["-V", "--version", "--vers"] {
        let output = flock(&scratch, &[word]).assert().code(0).get_output().clone();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            text.starts_with("flock from locket ") && text.contains("util-linux 2.42"),
            "{text}"
        );
    }
}

#[test]
fn options_end_at_the_first_argument() {
    let scratch = Scratch::new();
    flock(&scratch, &["f", "echo", "-", "-x", "--"]).assert().code(0).stdout("- -x --\n");
    flock(&scratch, &["--", "-n", "echo", "a"]).assert().code(0).stdout("a\n");
    assert!(scratch.join("-n").exists());
    flock(&scratch, &["-", "echo", "a"]).assert().code(0).stdout("a\n");
    assert!(scratch.join("-").exists());
}

#[test]
fn the_lock_of_a_descriptor_outlives_locket() {
    let text =
        "exec 9>f; flock -n 9; flock -n f true; echo $?; exec 9>&-; flock -n f true; echo $?";
    assert_eq!(script(text), (Some(0), "1\n0\n".into(), String::new()));
}

#[test]
fn l4_a_timed_wait_for_a_descriptor_sleeps_in_the_kernel_and_is_granted() {
    for options in ["", "--fcntl"] {
        let scratch = Scratch::new();
        let links = Scratch::new();
        let path = path_with_locket_as_flock(&links);
        let bash = |text: &str| {
            let mut command = Command::new("bash");
            command.args(["-c", text]).current_dir(scratch.path()).env("PATH", &path);
            Running::start(&mut command)
        };
        let holder = bash(&format!("flock {options} f sh -c '{HOLD}'"));
        holder.line();
        let mut waiter = bash(&format!("exec 9<>f; exec flock {options} -w 60 9"));
        until("it sleeps in the call", || {
            let task = format!("/proc/{}", waiter.pid());
            let call = std::fs::read_to_string(format!("{task}/syscall")).unwrap_or_default();
            let expected = if options.is_empty() { libc::SYS_flock } else { libc::SYS_fcntl };
            let stat = std::fs::read_to_string(format!("{task}/stat")).unwrap_or_default();
            call.split(' ').next() == Some(&expected.to_string()) && stat.contains(") S ")
        });
        holder.end();
        assert_eq!(waiter.wait().code(), Some(0));
    }
}

#[test]
fn l3_a_timed_wait_is_never_early() {
    for options in [&["-w", "0.3"][..], &["--fcntl", "-w", "0.3"]] {
        let scratch = Scratch::new();
        let mut holder = Command::new(LOCKET);
        holder.current_dir(scratch.path()).arg("flock").args(&options[..options.len() - 2]);
        holder.args(["f", "sh", "-c", HOLD]);
        let holder = Running::start(&mut holder);
        holder.line();
        let start = Instant::now();
        flock(&scratch, options).args(["f", "true"]).assert().code(1).stdout("").stderr("");
        assert!(start.elapsed() >= Duration::from_millis(300), "{options:?}");
        holder.end();
    }
}

/// A wait with `--fcntl` ends at its deadline although the caller blocks or ignores SIGALRM, and the command inherits that.
#[test]
fn l3_the_deadline_of_an_fcntl_lock_is_independent_of_the_callers_signals() {
    let text = "trap '' ALRM; mkfifo ready go; flock --fcntl f sh -c 'echo >ready; read _ <go' & read _ <ready; \
                flock --fcntl -w .2 f true; echo $?; echo >go; wait; \
                flock --fcntl -w 9 f sh -c 'kill -ALRM $$; echo alive'";
    let (code, output, _) = script(text);
    assert_eq!((code, &output[..]), (Some(0), "1\nalive\n"));
    if !has("l3_the_deadline_of_an_fcntl_lock", "env", &["--block-signal=ALRM", "true"]) {
        return;
    }
    let text = "exec 8<>f 9<>f; flock --fcntl 8; env --block-signal=ALRM flock --fcntl -w .2 9; echo $?; \
                flock --fcntl -u 8; env --block-signal=ALRM flock --fcntl -w .2 f grep SigBlk /proc/self/status";
    let (code, output, _) = script(text);
    assert_eq!((code, &output[..]), (Some(0), "1\nSigBlk:\t0000000000002000\n"));
}

#[test]
fn fcntl_locks_exclude_only_fcntl_locks() {
    let text = "exec 8<>f 9<>f; flock --fcntl 8; flock --fcntl -n 9; echo $?; flock --fcntl -sn 9; echo $?; \
                flock -n 9; echo $?; flock --fcntl -u 8; flock --fcntl -n 9; echo $?";
    assert_eq!(script(text), (Some(0), "1\n1\n0\n0\n".into(), String::new()));
}

#[test]
fn fcntl_locks_cover_ranges() {
    let text = "exec 7<>f 8<>f 9<>f; flock --start 10 --length 5 8; \
                flock --start 15 -n 9; echo $?; flock --length 10 -n 9; echo $?; flock --length 11 -n 7; echo $?; \
                flock --start 14 -n 7; echo $?; flock --start 0xe --length 1K -n 7; echo $?";
    assert_eq!(script(text), (Some(0), "0\n0\n1\n1\n1\n".into(), String::new()));
}

/// An exclusive fcntl lock needs a descriptor that is open for writing (fcntl(2)).
#[test]
fn an_fcntl_lock_of_a_directory_is_shared_or_65() {
    let scratch = Scratch::new();
    flock(&scratch, &["--fcntl", "-s", ".", "true"]).assert().code(0);
    let said = "flock: .: Bad file descriptor\n";
    flock(&scratch, &["--fcntl", ".", "true"]).assert().code(65).stderr(said);
}

#[test]
fn a_command_under_a_descriptor() {
    let text = "exec 10<>f; flock -n --fd 10 echo 1 2; flock --fd 10 -c 'echo 3; readlink /proc/self/fd/10 | grep -c f'; \
                flock -n f true; echo $?; flock -o --fd 10 -c 'flock -n --fd 10 true'; echo $?";
    let (code, output, errors) = script(text);
    assert_eq!((code, &output[..]), (Some(0), "1 2\n3\n1\n1\n65\n"));
    assert_eq!(errors, "flock: 10: Bad file descriptor\n");
}

#[test]
fn a_signal_is_passed_on_and_the_lock_is_held_until_the_command_ends() {
    let scratch = Scratch::new();
    let mut command = Command::new(LOCKET);
    command.current_dir(scratch.path()).args(["flock", "f", "sh", "-c"]);
    command.arg("trap 'echo term; read _; exit 7' TERM; echo ready; while :; do sleep 0.01; done");
    let mut run = Running::start(&mut command);
    run.line();
    run.signal(Signal::SIGTERM);
    assert_eq!(run.line(), "term");
    assert!(!is_free(&scratch.join("f")));
    run.tell("");
    assert_eq!(run.wait().code(), Some(7));
}

/// flock(1) exits with 128 + N if a signal has ended its command, and ends by a signal that was sent to flock(1) itself.
#[test]
fn it_ends_by_a_signal_only_if_that_was_sent_to_it() {
    let scratch = Scratch::new();
    let run = |text: &str| {
        let mut command = Command::new(LOCKET);
        command.current_dir(scratch.path()).args(["flock", "f", "sh", "-c", text]);
        Running::start(&mut command)
    };
    assert_eq!(run("kill -INT $$").wait().code(), Some(130));
    let mut interrupted = run("echo ready; exec sleep 1000");
    interrupted.line();
    interrupted.signal_all(Signal::SIGINT);
    assert_eq!(interrupted.wait().signal(), Some(Signal::SIGINT as i32));
}

/// The last component of `argv[0]` decides.
#[test]
fn a_program_named_flock_behaves_as_flock() {
    let scratch = Scratch::new();
    for (name, code) in [("flock", 1), ("/usr/bin/flock", 1), ("flocks", 64)] {
        let _holder = Running::holder(&scratch.lock_path());
        let mut command = Command::new(LOCKET);
        let command = command.arg0(name).arg("-n").arg(scratch.lock_path()).arg("true");
        let status = command.stderr(std::process::Stdio::null()).status();
        assert_eq!(status.expect("it should run").code(), Some(code), "{name}");
    }
}

/// The examples of the manual page of flock(1), each with its output.
#[test]
fn the_examples_of_flocks_manual_work() {
    let hold =
        "hold() { mkfifo r g; flock \"$@\" -c 'echo >r; read _ <g' & read _ <r; }; mkdir d; ";
    for (text, output) in [
        ("hold d; flock -w .007 d -c echo; echo $?; echo >g; wait", "1\n"),
        (
            "hold -s d; flock -s -w .007 d -c echo; echo $?; flock -w .007 d -c echo; echo $?; echo >g; wait",
            "\n0\n1\n",
        ),
        ("flock -x local-lock-file echo 'a b c'", "a b c\n"),
        (
            "( flock -n 9 || exit 1; echo under lock; flock -n f true; echo $? ) 9>f",
            "under lock\n1\n",
        ),
        ("hold f; ( flock -n 9 || exit 1; echo no ) 9>f; echo $?; echo >g; wait", "1\n"),
        (
            "printf '%s\\n' '#!/bin/bash' '[ \"${FLOCKER}\" != \"$0\" ] && exec env FLOCKER=\"$0\" flock -en \"$0\" \"$0\" \"$@\" || :' \
             'echo \"$@\"; flock -n \"$0\" true; echo $?' >s; chmod +x s; ./s once",
            "once\n1\n",
        ),
        ("exec 4<>f; flock -n 4; flock -n f true; echo $?", "1\n"),
        ("exec 10<>f; flock -n --fd 10 echo '1 2 3'", "1 2 3\n"),
    ] {
        let expected = (Some(0), output.to_string(), String::new());
        assert_eq!(script(&format!("{hold}{text}")), expected, "{text}");
    }
}

/// System errors have the exit codes of flock(1).
#[test]
fn system_errors_have_the_codes_of_flock() {
    if !has("system_errors_have_the_codes_of_flock", "strace", &["-qq", "true"]) {
        return;
    }
    let scratch = Scratch::new();
    for (inject, code, said) in [
        ("openat:error=ENOSPC", 73, "flock: cannot open lock file f: No space left on device\n"),
        ("openat:error=EROFS", 73, "flock: cannot open lock file f: Read-only file system\n"),
        ("openat:error=EACCES", 66, "flock: cannot open lock file f: Permission denied\n"),
        ("openat:error=EMFILE", 71, "flock: cannot open lock file f: Too many open files\n"),
        ("flock:error=ENOLCK", 71, "flock: f: No locks available\n"),
        ("flock:error=EINVAL", 65, "flock: f: Invalid argument\n"),
        ("flock:delay_exit=1", 0, ""),
    ] {
        let mut run = assert_cmd::Command::new("strace");
        // locket opens it by its absolute path.
        let path = scratch.path().canonicalize().expect("it should exist").join("f");
        run.args(["-qq", "-o", "/dev/null", "-e", &format!("inject={inject}"), "-P"]).arg(path);
        run.args([LOCKET, "flock", "f", "true"]).current_dir(scratch.path()).timeout(PATIENCE);
        run.assert().code(code).stderr(in_words_of_the_system(said));
    }
}

/// The lock is on a descriptor that a script's redirections cannot name.
#[test]
fn the_commands_descriptor_is_above_nine() {
    let text = "flock f sh -c 'exec 3>&- 4>&- 9>&-; flock -o g true; for fd in /proc/self/fd/*; do \
                [ \"$(readlink $fd)\" = \"$PWD/f\" ] && echo ${fd##*/}; done'";
    let (_, output, _) = script(text);
    assert_eq!(output.trim_end().len(), 2, "{output}");
}

/// In this mode locket does not report a wait.
#[test]
fn a_wait_prints_nothing() {
    let scratch = Scratch::new();
    let holder = Running::holder(&scratch.join("f"));
    let mut command = Command::new("sh");
    command.current_dir(scratch.path());
    command.args(["-c", "exec \"$0\" flock f echo locked 2>&1", LOCKET]);
    let waiter = Running::start(&mut command);
    until_waiting(waiter.pid(), &scratch.join("f"), 1);
    holder.end();
    assert_eq!(waiter.line(), "locked");
    assert_eq!(waiter.rest(), [""; 0]);
}

#[test]
fn l9_a_waiter_locks_the_replacement_file_or_directory() {
    for (make, remove) in [("touch x", "rm x"), ("mkdir x", "rmdir x")] {
        let scratch = Scratch::new();
        let path = scratch.join("x");
        let shell = |text: &str| {
            let mut command = assert_cmd::Command::new("sh");
            command.args(["-c", text]).current_dir(scratch.path()).assert().code(0);
        };
        shell(make);
        let holder = {
            let mut command = Command::new(LOCKET);
            command.current_dir(scratch.path()).args(["flock", "x", "sh", "-c", HOLD]);
            Running::start(&mut command)
        };
        holder.line();
        let waiter = {
            let mut command = Command::new(LOCKET);
            command.current_dir(scratch.path()).args(["flock", "x", "sh", "-c", HOLD]);
            Running::start(&mut command)
        };
        until_waiting(waiter.pid(), &path, 1);
        shell(&format!("{remove}; {make}"));
        holder.end();
        waiter.line();
        flock(&scratch, &["-n", "x", "true"]).assert().code(1);
        waiter.end();
        flock(&scratch, &["-n", "x", "true"]).assert().code(0);
    }
}

/// `--verbose` writes to standard output, which may be a full pipe.
#[test]
fn l15_a_full_pipe_delays_no_command() {
    let scratch = Scratch::new();
    let text = "mkfifo p; exec 3<>p; dd if=/dev/zero bs=65536 count=1 >&3 2>/dev/null; \
                \"$0\" flock --verbose f sh -c 'echo ran >out' >&3; cat out";
    let mut command = assert_cmd::Command::new("sh");
    command.args(["-c", text, LOCKET]).current_dir(scratch.path()).timeout(PATIENCE);
    command.assert().code(0).stdout("ran\n");
}

/// Translates messages of glibc to those of the system's C library.
fn in_words_of_the_system(said: &str) -> String {
    let words = |errno| {
        let text = std::io::Error::from_raw_os_error(errno).to_string();
        text.split(" (os error").next().unwrap_or_default().to_string()
    };
    said.replace("Too many open files", &words(libc::EMFILE))
        .replace("Numerical result out of range", &words(libc::ERANGE))
}
