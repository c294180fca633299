//! `locket flock`, and locket called as `flock`, where the system's flock(1) may be too old for a comparison.
//! (`flock_idioms` compares the rest.)
//! - the command line of util-linux 2.42, as `getopt_long(3)` reads it;
//! - a timed wait for the lock on a descriptor, which sleeps in the kernel;
//! - `--fcntl`, `--start`, `--length`, `--fd`;
//! - a signal reaches the command, and the lock is held until the command ends: the remaining difference from flock(1).

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::flock_idioms::paths_with_locket_as_flock;
use crate::lock_file::{LOCKET, LockFile, answer, is_free, said};
use crate::running::{HOLD, Running, holder};
use crate::screen::Terminal;
use crate::support::{until, words_of};

/// Runs a script. `flock` is locket.
#[track_caller]
fn script(text: &str) -> (Option<i32>, String, String) {
    let (lock, links) = (LockFile::new(), LockFile::new());
    let [path, _] = paths_with_locket_as_flock(&links);
    let run = lock.command("bash", &["-c", text]).env("PATH", path).assert();
    (run.get_output().status.code(), answer(&run), said(&run))
}

/// Starts `locket flock` in the directory.
#[track_caller]
fn start(lock: &LockFile, words: &[&str]) -> Running {
    let mut command = Command::new(LOCKET);
    Running::start(command.arg("flock").args(words).current_dir(lock.directory()))
}

#[test]
fn wrong_arguments_are_64_with_the_messages_of_flock() {
    let lock = LockFile::new();
    let range = format!("'256': {}", message(libc::ERANGE));
    let exit_code = "invalid exit code (allowed values: 0-255): ";
    for (words, said) in [
        ("", "not enough arguments?"),
        ("-z f true", "unrecognized option '-z'?"),
        ("-zn f true", "unrecognized option '-zn'?"),
        ("--nosuch f true", "unrecognized option '--nosuch'?"),
        ("--shared=1 f true", "unrecognized option '--shared=1'?"),
        // Several options begin with this.
        ("--ver", "unrecognized option '--ver'?"),
        ("--n f true", "unrecognized option '--n'?"),
        ("--f f true", "unrecognized option '--f'?"),
        ("-w", "option '-w' requires an argument?"),
        ("--fd", "option '--fd' requires an argument?"),
        ("-w 5s f true", "invalid timeout: '5s'"),
        ("-E x f true", &format!("{exit_code}'x'")),
        ("-E 256 f true", &format!("{exit_code}{range}")),
        ("--fd x true", "invalid file descriptor: 'x'"),
        ("x", "invalid file descriptor: 'x'"),
        ("--start x f true", "invalid as start offset: 'x': Invalid argument"),
        ("--length -1 f true", "invalid as length of lock range: '-1': Invalid argument"),
        ("-oF f true", "the --no-fork and --close options are incompatible"),
        ("-n", "missing file descriptor, file or directory"),
        ("-c true", "missing file descriptor, file or directory"),
        ("--fd 9", "missing command"),
        ("f -c echo a", "-c requires exactly one command argument"),
        ("f -c", "-c requires exactly one command argument"),
        ("--fd 9 --command", "--command requires exactly one command argument"),
    ] {
        // The question mark stands for the reference to the help.
        let said = match said.strip_suffix('?') {
            Some(said) => format!("flock: {said}\nTry 'flock --help' for more information.\n"),
            None => format!("flock: {said}\n"),
        };
        lock.sh(&format!("$L flock {words}")).code(64).stdout("").stderr(said);
    }
    let timer = "flock: cannot set up timer: Invalid argument\n";
    lock.sh("$L flock -w -5 f true").code(71).stderr(timer);
    assert_eq!(answer(&lock.sh("ls -A")), "");
}

/// Returns the system's text for an error, as glibc's flock(1) prints it.
fn message(errno: i32) -> String {
    words_of(errno).split(" (os error").next().unwrap_or_default().to_string()
}

#[test]
fn help_and_version() {
    let lock = LockFile::new();
    for word in ["-h", "--help", "--hel", "-nh"] {
        let text = answer(&lock.sh(&format!("$L flock {word}")).code(0).stderr(""));
        for option in ["--shared", "--fcntl", "--start", "--length", "--fd", "--no-fork"] {
            assert!(text.contains(option), "{text}");
        }
    }
    for word in ["-V", "--version", "--vers"] {
        let text = answer(&lock.sh(&format!("$L flock {word}")).code(0));
        let is_ours = text.starts_with("flock from locket ");
        assert!(is_ours && text.contains("util-linux 2.42"), "{text}");
    }
}

/// Scripts, with what they print on standard output.
#[test]
fn scripts_print_what_they_do_under_flock() {
    for (text, expected) in [
        // Options end at the first argument.
        ("flock f echo - -x --; flock -- -n echo a; ls ./-n", "- -x --\na\n./-n\n"),
        ("flock - echo a; ls ./-", "a\n./-\n"),
        // fcntl locks exclude only fcntl locks, and they cover ranges.
        (
            "exec 8<>f 9<>f; flock --fcntl 8; flock --fcntl -n 9; echo $?; flock --fcntl -sn 9; echo $?; \
             flock -n 9; echo $?; flock --fcntl -u 8; flock --fcntl -n 9; echo $?",
            "1\n1\n0\n0\n",
        ),
        (
            "exec 7<>f 8<>f 9<>f; flock --start 10 --length 5 8; flock --start 15 -n 9; echo $?; \
             flock --length 10 -n 9; echo $?; flock --length 11 -n 7; echo $?; \
             flock --start 14 -n 7; echo $?; flock --start 0xe --length 1K -n 7; echo $?",
            "0\n0\n1\n1\n1\n",
        ),
    ] {
        assert_eq!(script(text), (Some(0), expected.into(), String::new()), "{text}");
    }
}

#[test]
fn a_command_under_a_descriptor() {
    let text = "exec 10<>f; flock -n --fd 10 echo 1 2; flock --fd 10 -c 'echo 3; readlink /proc/self/fd/10 | grep -c f'; \
                flock -n f true; echo $?; flock -o --fd 10 -c 'flock -n --fd 10 true'; echo $?";
    let said = "flock: 10: Bad file descriptor\n";
    assert_eq!(script(text), (Some(0), "1 2\n3\n1\n1\n65\n".into(), said.into()));
}

#[test]
fn l4_a_timed_wait_for_a_descriptor_sleeps_in_the_kernel_and_is_granted() {
    for (options, expected) in [("", libc::SYS_flock), ("--fcntl", libc::SYS_fcntl)] {
        let lock = LockFile::new();
        let hold = format!(r#"exec "$0" flock {options} "$1" sh -c '{HOLD}'"#);
        let holder = Running::sh(&hold, &[&lock]);
        holder.line();
        let wait = format!(r#"exec 9<>"$1"; exec "$0" flock {options} -w 60 9"#);
        let mut waiter = Running::sh(&wait, &[&lock]);
        let read = |what: &str| {
            std::fs::read_to_string(format!("/proc/{}/{what}", waiter.pid())).unwrap_or_default()
        };
        until("it sleeps in the call", || {
            read("syscall").starts_with(&format!("{expected} ")) && read("stat").contains(") S ")
        });
        holder.end();
        assert_eq!(waiter.wait().code(), Some(0));
    }
}

#[test]
fn l3_a_timed_wait_is_never_early() {
    for options in ["", "--fcntl"] {
        let lock = LockFile::new();
        let holder = Running::sh(&format!(r#""$0" flock {options} "$1" sh -c '{HOLD}'"#), &[&lock]);
        holder.line();
        let start = Instant::now();
        lock.sh(&format!("$L flock {options} -w 0.3 f true")).code(1).stdout("").stderr("");
        assert!(start.elapsed() >= Duration::from_millis(300), "{options}");
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
    needs!("env --block-signal=ALRM true");
    let text = "exec 8<>f 9<>f; flock --fcntl 8; env --block-signal=ALRM flock --fcntl -w .2 9; echo $?; \
                flock --fcntl -u 8; env --block-signal=ALRM flock --fcntl -w .2 f grep SigBlk /proc/self/status";
    let (code, output, _) = script(text);
    assert_eq!((code, &output[..]), (Some(0), "1\nSigBlk:\t0000000000002000\n"));
}

/// An exclusive fcntl lock needs a descriptor that is open for writing (fcntl(2)).
#[test]
fn an_fcntl_lock_of_a_directory_is_shared_or_65() {
    let lock = LockFile::new();
    lock.sh("$L flock --fcntl -s . true").code(0);
    lock.sh("$L flock --fcntl . true").code(65).stderr("flock: .: Bad file descriptor\n");
}

#[test]
fn a_signal_is_passed_on_and_the_lock_is_held_until_the_command_ends() {
    let lock = LockFile::new();
    let listen = "trap 'echo term; read _; exit 7' TERM; echo ready; while :; do sleep 0.01; done";
    let mut run = start(&lock, &["f", "sh", "-c", listen]);
    run.line();
    run.signal(Signal::SIGTERM);
    assert_eq!(run.line(), "term");
    assert!(!is_free(&lock));
    run.tell("");
    assert_eq!(run.wait().code(), Some(7));
}

/// flock(1) exits with 128 + N if a signal has ended its command, and ends by a signal that was sent to flock(1) itself.
#[test]
fn it_ends_by_a_signal_only_if_that_was_sent_to_it() {
    let lock = LockFile::new();
    assert_eq!(start(&lock, &["f", "sh", "-c", "kill -INT $$"]).wait().code(), Some(130));
    let mut interrupted = start(&lock, &["f", "sh", "-c", "echo ready; exec sleep 1000"]);
    interrupted.line();
    interrupted.signal_all(Signal::SIGINT);
    assert_eq!(interrupted.wait().signal(), Some(Signal::SIGINT as i32));
}

/// The last component of `argv[0]` decides.
#[test]
fn a_program_named_flock_behaves_as_flock() {
    let lock = LockFile::new();
    let _holder = holder(&[], &lock);
    for (name, code) in [("flock", 1), ("/usr/bin/flock", 1), ("flocks", 64)] {
        let mut command = Command::new(LOCKET);
        command.arg0(name).args(["-n", &lock, "true"]).stderr(Stdio::null());
        assert_eq!(command.status().expect("it should run").code(), Some(code), "{name}");
    }
}

/// System errors have the exit codes of flock(1).
#[test]
fn system_errors_have_the_codes_of_flock() {
    needs!("strace -qq true");
    let lock = LockFile::new();
    // locket opens it by its absolute path.
    let path = lock.directory().canonicalize().expect("it should exist").join("f");
    let path = path.to_str().expect("it should be UTF-8");
    let files = format!("cannot open lock file f: {}", message(libc::EMFILE));
    for (inject, code, said) in [
        ("openat:error=ENOSPC", 73, "cannot open lock file f: No space left on device"),
        ("openat:error=EROFS", 73, "cannot open lock file f: Read-only file system"),
        ("openat:error=EACCES", 66, "cannot open lock file f: Permission denied"),
        ("openat:error=EMFILE", 71, &files),
        ("flock:error=ENOLCK", 71, "f: No locks available"),
        ("flock:error=EINVAL", 65, "f: Invalid argument"),
    ] {
        let options = ["-e", &format!("inject={inject}"), "-P", path];
        let (run, _) = lock.strace(&options, &["flock", "f", "true"]);
        run.code(code).stderr(format!("flock: {said}\n"));
    }
    // Without an injection no error occurs.
    let (run, _) = lock.strace(&["-e", "inject=flock:delay_exit=1"], &["flock", "f", "true"]);
    run.code(0).stderr("");
}

/// The lock is on a descriptor that a script's redirections cannot name.
#[test]
fn the_commands_descriptor_is_above_nine() {
    let text = "flock f sh -c 'exec 3>&- 4>&- 9>&-; flock -o g true; for fd in /proc/self/fd/*; do \
                [ \"$(readlink $fd)\" = \"$PWD/f\" ] && echo ${fd##*/}; done'";
    let (_, output, _) = script(text);
    assert_eq!(output.trim_end().len(), 2, "{output}");
}

/// In this mode locket does not report a wait, not even at a terminal.
#[test]
fn a_wait_prints_nothing() {
    let lock = LockFile::new();
    let holder = holder(&[], &lock);
    let (mut silent, mut terminal) = (Terminal::new(), Terminal::new());
    let mut command = Command::new(LOCKET);
    command.args(["flock", &lock, "true"]).env("TERM", "xterm").stderr(silent.side());
    let mut waiter = Running::start(&mut command).waiting(&lock);
    drop(command);
    // A later wait of `locket run` is shown.
    let shown = terminal.waiter("xterm", &[], &lock);
    terminal.until_shown("locket: waiting ");
    holder.end();
    assert_eq!(waiter.wait().code(), Some(0));
    assert_eq!(silent.all(), "");
    shown.end();
}

#[test]
fn l9_a_waiter_locks_the_replacement_file_or_directory() {
    for (make, remove) in [("touch f", "rm f"), ("mkdir f", "rmdir f")] {
        let lock = LockFile::new();
        lock.sh(make).code(0);
        let holder = start(&lock, &["f", "sh", "-c", HOLD]);
        holder.line();
        let waiter = start(&lock, &["f", "sh", "-c", HOLD]).waiting(&lock);
        lock.sh(&format!("{remove}; {make}")).code(0);
        holder.end();
        waiter.line();
        lock.sh("$L flock -n f true").code(1);
        waiter.end();
        lock.sh("$L flock -n f true").code(0);
    }
}

/// `--verbose` writes to standard output, which may be a full pipe.
#[test]
fn l15_a_full_pipe_delays_no_command() {
    let text = "mkfifo p; exec 3<>p; dd if=/dev/zero bs=65536 count=1 >&3 2>/dev/null; \
                $L flock --verbose f sh -c 'echo ran >out' >&3; cat out";
    LockFile::new().sh(text).code(0).stdout("ran\n");
}
