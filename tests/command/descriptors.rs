//! - `locket lock` and `locket unlock`: a descriptor that a shell has opened;
//! - `locket run --pass-fd`: the locked descriptor, under a number that the command knows;
//! - a directory as the lock, with `run`, `wait` and `status`.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::lock_file::{LOCKET, LockFile, answer, has, run, said};
use crate::running::{Running, holder, waiter};

#[test]
fn a_script_locks_its_descriptors() {
    for (script, expected) in [
        // A lock is held until the descriptor is unlocked or closed.
        (
            "exec 9>f; $L lock 9; $L run -qn f true; echo $?; $L unlock 9; $L run -n f true; echo $?; \
             $L lock -n 9; $L run -qn f true; echo $?; exec 9>&-; $L run -n f true; echo $?",
            "75\n0\n75\n0\n",
        ),
        (
            "exec 9>f; $L lock -s 9; $L run -sn f true; echo $?; $L run -qn f true; echo $?",
            "0\n75\n",
        ),
        // A lock of another descriptor that does not conflict is acquired.
        ("exec 8>f 9>f; $L lock -s 8; $L lock -s 9; $L unlock 8; $L lock -n 9; echo $?", "0\n"),
        // The command may unlock the descriptor that is passed to it.
        (
            "$L run --pass-fd 9 f sh -c '$L run -qn f true; echo $?; $L unlock 9; $L run -n f true; echo $?'",
            "75\n0\n",
        ),
    ] {
        LockFile::new().sh(script).code(0).stdout(expected).stderr("");
    }
}

/// Rust opens `/dev/null` in place of a closed standard stream at the start of a program (std, `sys/pal/unix`). Locket does
/// not take that for a descriptor of the script.
#[cfg(target_env = "gnu")]
#[test]
fn a_closed_standard_stream_is_not_open() {
    let script = "touch f; $L lock -n 0 <&-; echo $?; $L unlock 1 >&-; echo $?; \
                  $L flock -n 0 <&-; echo $?; $L lock 0 <f; echo $?";
    LockFile::new().sh(script).code(0).stdout("66\n66\n65\n0\n");
}

#[test]
fn contention_is_75_or_the_conflict_exit_code() {
    let lock = LockFile::new();
    let _holder = holder(&[], &lock);
    for (options, code) in
        [("-n", 75), ("-w 0.02", 75), ("-w 20ms -E 9", 9), ("-n -E 0", 0), ("-s -n", 75)]
    {
        // `contention` checks that the message names the holder.
        let said = said(&lock.sh(&format!("exec 9<f; $L lock {options} 9")).code(code));
        assert!(said.starts_with("locket: ") && said.contains(&format!("{lock} ")), "{said}");
    }
}

#[test]
fn messages_about_descriptors() {
    for (script, code, expected) in [
        (
            "exec 8>f; exec 9<f; rm f; $L lock 8; $L lock -n 9",
            75,
            "locket: /dev/fd/9 is held by this process",
        ),
        (
            "exec 8>f 9>f; $L lock 8; $L lock 9",
            75,
            "through its inherited descriptor 8: a wait would never end",
        ),
        (
            "$L lock 77",
            66,
            "locket: descriptor 77 is not open here: open it first in the script, as exec 77>FILE\n",
        ),
        ("$L unlock 77", 66, "locket: descriptor 77 is not open here: open it first in the script"),
    ] {
        let said = said(&LockFile::new().sh(script).code(code).stdout(""));
        assert!(said.contains(expected), "{said}");
    }
}

/// The wait is one `flock` call, which keeps its place in the kernel's queue.
#[test]
fn a_wait_for_a_descriptor_sleeps_in_the_kernel() {
    let lock = LockFile::new();
    for options in ["", "-w 1h"] {
        let holder = holder(&[], &lock);
        let script = format!("exec 9<\"$1\"; exec \"$0\" lock -q {options} 9");
        let mut waiter = Running::sh(&script, &[&lock]).waiting(&lock);
        holder.end();
        assert_eq!(waiter.wait().code(), Some(0));
    }
}

#[test]
fn pass_fd_gives_the_command_the_locked_descriptor() {
    let lock = LockFile::new();
    let directory = lock.directory().canonicalize().expect("it should exist");
    for mode in [&[][..], &["-F"], &["-s"]] {
        // Also if locket itself has this number in use.
        for number in 3..16 {
            let option = format!("--pass-fd={number}");
            let options = [mode, &[&option]].concat();
            let tell = ["readlink", &format!("/proc/self/fd/{number}")];
            run(&options, &lock, &tell).code(0).stdout(format!("{}/f\n", directory.display()));
        }
    }
    for words in [&["--pass-fd", "2"][..], &["--pass-fd", "-1"], &["--pass-fd", "9", "-o"]] {
        run(words, &lock, &["true"]).code(64);
    }
    // Above the limit of open files of this process.
    run(&["--pass-fd", "2000000000"], &lock, &["true"]).code(126);
}

#[test]
fn l1_a_directory_is_locked_like_a_file() {
    let lock = LockFile::new();
    let path = lock.directory();
    let holder = holder(&[], path);
    run(&["-qn"], path, &["true"]).code(75);
    run(&["-qsn"], path, &["true"]).code(75);
    let shown = answer(&lock.locket(&["status", "."]).code(0));
    assert!(shown.contains(&holder.pid().to_string()), "{shown}");
    if has("l1_a_directory_is_locked_like_a_file (flock)", "flock --version") {
        lock.sh("flock -n . true").code(1);
    }
    let mut waiter = Running::start(Command::new(LOCKET).arg("wait").arg(path)).waiting(path);
    holder.end();
    assert_eq!(waiter.wait().code(), Some(0));
    for mode in [&[][..], &["-o"], &["-F"], &["-s"], &["-w", "1"]] {
        run(mode, path, &["echo", "a"]).code(0).stdout("a\n");
    }
    assert_eq!(answer(&lock.sh("ls -A")), "");
    symlink(path, &lock).expect("the directory should be writable");
    run(&[], &lock, &["true"]).code(0);
    run(&["--no-follow"], &lock, &["true"]).code(66);
}

#[test]
fn l9_a_waiter_moves_to_the_replacement_directory() {
    let lock = LockFile::new();
    lock.sh("mkdir f").code(0);
    let holder = holder(&[], &lock);
    let waiter = waiter(&["-q"], &lock);
    lock.sh("rmdir f; mkdir f").code(0);
    holder.end();
    waiter.line();
    run(&["-qn"], &lock, &["true"]).code(75);
}
