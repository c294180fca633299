//! - `locket lock` and `locket unlock`: a descriptor that a shell has opened;
//! - `locket run --pass-fd`: the locked descriptor, under a number that the command knows;
//! - a directory as the lock, with `run`, `wait` and `status`.

use std::process::Command;

use crate::running::{HOLD, LOCKET, Running, has, is_free, locket_run};
use crate::support::{PATIENCE, Scratch, until_waiting};

/// Runs a script in a new directory. `$L` is locket.
#[track_caller]
fn script(text: &str) -> (Option<i32>, String, String) {
    let scratch = Scratch::new();
    let mut command = assert_cmd::Command::new("sh");
    command.args(["-c", text]).env("L", LOCKET).current_dir(scratch.path()).timeout(PATIENCE);
    let output = command.output().expect("sh should run");
    let text = |bytes| String::from_utf8(bytes).expect("it should be UTF-8");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_descriptor_is_locked_until_it_is_unlocked_or_closed() {
    let text = "exec 9>f; $L lock 9; $L run -qn f true; echo $?; $L unlock 9; $L run -n f true; echo $?; \
                $L lock -n 9; $L run -qn f true; echo $?; exec 9>&-; $L run -n f true; echo $?";
    assert_eq!(script(text), (Some(0), "75\n0\n75\n0\n".into(), String::new()));
}

/// Rust opens `/dev/null` in place of a closed standard stream at the start of a program (std, `sys/pal/unix`). Locket does
/// not take that for a descriptor of the script.
#[cfg(target_env = "gnu")]
#[test]
fn a_closed_standard_stream_is_not_open() {
    let text = "$L lock -n 0 <&-; echo $?; $L unlock 1 >&-; echo $?; $L flock -n 0 <&-; echo $?; $L lock 0 <f; echo $?";
    let (code, output, said) = script(&format!("touch f; {text}"));
    assert_eq!((code, &*output), (Some(0), "66\n66\n65\n0\n"), "{said}");
}

#[test]
fn descriptors_can_be_locked_shared() {
    let text = "exec 9>f; $L lock -s 9; $L run -sn f true; echo $?; $L run -qn f true; echo $?";
    assert_eq!(script(text), (Some(0), "0\n75\n".into(), String::new()));
}

#[test]
fn contention_is_75_or_the_conflict_exit_code() {
    let scratch = Scratch::new();
    let _holder = Running::holder(&scratch.join("f"));
    for (options, code) in [
        (&["-n"][..], 75),
        (&["-w", "0.02"], 75),
        (&["-w", "20ms", "-E", "9"], 9),
        (&["-n", "-E", "0"], 0),
        (&["-s", "-n"], 75),
    ] {
        let mut command = assert_cmd::Command::new("sh");
        command.args(["-c", "exec 9<f; \"$0\" lock \"$@\" 9", LOCKET]).args(options);
        let run = command.current_dir(scratch.path()).timeout(PATIENCE).assert().code(code);
        let said = String::from_utf8_lossy(&run.get_output().stderr).into_owned();
        // `contention` checks that the message names the holder.
        let name = format!("{} ", scratch.join("f").display());
        assert!(said.starts_with("locket: ") && said.contains(&name), "{said}");
    }
}

#[test]
fn a_file_without_a_name_is_shown_by_its_descriptor() {
    let (code, _, said) = script("exec 8>f; exec 9<f; rm f; $L lock 8; $L lock -n 9");
    assert_eq!(code, Some(75));
    assert!(said.starts_with("locket: /dev/fd/9 is held by this process"), "{said}");
}

/// The wait is one `flock` call, which keeps its place in the kernel's queue.
#[test]
fn a_wait_for_a_descriptor_sleeps_in_the_kernel() {
    let scratch = Scratch::new();
    for options in [&[][..], &["-w", "1h"]] {
        let holder = Running::holder(&scratch.join("f"));
        let mut command = Command::new("sh");
        command.args(["-c", "exec 9<f; exec \"$0\" lock -q \"$@\" 9", LOCKET]).args(options);
        let mut waiter = Running::start(command.current_dir(scratch.path()));
        until_waiting(waiter.pid(), &scratch.join("f"), 1);
        holder.end();
        assert_eq!(waiter.wait().code(), Some(0));
    }
}

#[test]
fn another_descriptor_of_the_same_script_is_not_waited_for() {
    let (code, _, said) = script("exec 8>f 9>f; $L lock 8; $L lock 9");
    assert_eq!(code, Some(75));
    assert!(said.contains("through its inherited descriptor 8: a wait would never end"), "{said}");
    // A lock that does not conflict is acquired.
    let (code, said, _) =
        script("exec 8>f 9>f; $L lock -s 8; $L lock -s 9; $L unlock 8; $L lock -n 9; echo $?");
    assert_eq!((code, &said[..]), (Some(0), "0\n"));
}

#[test]
fn a_descriptor_that_is_not_open_is_66() {
    for command in ["lock", "unlock"] {
        let (code, output, said) = script(&format!("$L {command} 77"));
        assert_eq!((code, &output[..]), (Some(66), ""));
        let expected = "locket: descriptor 77 is not open here: open it first in the script, as exec 77>FILE\n";
        assert_eq!(said, expected);
    }
}

#[test]
fn pass_fd_gives_the_command_the_locked_descriptor() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for mode in [&[][..], &["-F"], &["-s"]] {
        // Also if locket itself has this number in use.
        for number in 3..16 {
            let number = number.to_string();
            let tell = format!("/proc/self/fd/{number}");
            let real = path.parent().expect("it has one").canonicalize().expect("it should exist");
            let mut run = locket_run();
            run.args(mode).args(["--pass-fd", &number]).arg(&path).args(["readlink", &tell]);
            run.assert().code(0).stdout(format!("{}/test.lock\n", real.display()));
        }
    }
}

#[test]
fn the_command_may_unlock_the_passed_descriptor() {
    let text = "$L run --pass-fd 9 f sh -c '$L run -qn f true; echo $?; $L unlock 9; $L run -n f true; echo $?'";
    assert_eq!(script(text), (Some(0), "75\n0\n".into(), String::new()));
}

#[test]
fn pass_fd_rejects_standard_streams_and_high_numbers() {
    let scratch = Scratch::new();
    for words in [&["--pass-fd", "2"][..], &["--pass-fd", "-1"], &["--pass-fd", "9", "-o"]] {
        locket_run().args(words).arg(scratch.lock_path()).arg("true").assert().code(64);
    }
    // Above the limit of open files of this process.
    let mut run = locket_run();
    run.args(["--pass-fd", "2000000000"]).arg(scratch.lock_path()).arg("true");
    run.assert().code(126);
}

#[test]
fn l1_a_directory_is_locked_like_a_file() {
    let scratch = Scratch::new();
    let path = scratch.path();
    let holder = Running::holder(path);
    locket_run().arg("-qn").arg(path).arg("true").assert().code(75);
    locket_run().arg("-qsn").arg(path).arg("true").assert().code(75);
    let shown = assert_cmd::Command::new(LOCKET).arg("status").arg(path).assert().code(0);
    let shown = String::from_utf8_lossy(&shown.get_output().stdout).into_owned();
    assert!(shown.contains(&holder.pid().to_string()), "{shown}");
    if has("l1_a_directory_is_locked_like_a_file (flock)", "flock", &["--version"]) {
        assert_cmd::Command::new("flock").arg("-n").arg(path).arg("true").assert().code(1);
    }
    let mut command = Command::new(LOCKET);
    let mut waiter = Running::start(command.arg("wait").arg(path));
    until_waiting(waiter.pid(), path, 1);
    holder.end();
    assert_eq!(waiter.wait().code(), Some(0));
    for mode in [&[][..], &["-o"], &["-F"], &["-s"], &["-w", "1"]] {
        locket_run().args(mode).arg(path).args(["echo", "a"]).assert().code(0).stdout("a\n");
    }
    assert!(
        std::fs::read_dir(path)
            .expect("it should be possible in the test directory")
            .next()
            .is_none()
    );
}

#[test]
fn no_follow_rejects_a_link_to_a_directory() {
    let scratch = Scratch::new();
    let link = scratch.join("link");
    std::os::unix::fs::symlink(scratch.path(), &link).expect("the directory should be writable");
    locket_run().arg(&link).arg("true").assert().code(0);
    locket_run().arg("--no-follow").arg(&link).arg("true").assert().code(66);
}

/// A canary holds the lock on a directory too.
#[test]
fn l15_a_directory_is_held_when_locket_is_killed() {
    let scratch = Scratch::new();
    let (lock, note) = (scratch.join("d"), scratch.join("f"));
    std::fs::create_dir(&lock).expect("the directory should be writable");
    let mut command = Command::new(LOCKET);
    command.arg("run").arg("-o").arg(&lock).arg(LOCKET).arg("run").arg(&note);
    let mut run = Running::start(command.args(["sh", "-c", HOLD]));
    run.line();
    run.kill();
    locket_run().arg("-qn").arg(&lock).arg("true").assert().code(75);
    run.hang_up();
    crate::support::until("the command has ended", || is_free(&note));
    locket_run().args(["-w", "10"]).arg(&lock).arg("true").assert().code(0);
}

#[test]
fn l9_a_waiter_moves_to_the_replacement_directory() {
    let scratch = Scratch::new();
    let path = scratch.join("d");
    std::fs::create_dir(&path).expect("the directory should be writable");
    let holder = Running::holder(&path);
    let mut command = Command::new(LOCKET);
    command.args(["run", "-q"]).arg(&path).args(["sh", "-c", HOLD]);
    let waiter = Running::start(&mut command);
    until_waiting(waiter.pid(), &path, 1);
    std::fs::remove_dir(&path).expect("it is empty");
    std::fs::create_dir(&path).expect("the directory should be writable");
    holder.end();
    waiter.line();
    locket_run().arg("-qn").arg(&path).arg("true").assert().code(75);
}
