//! Job control by a shell at a terminal, and the exit statuses that shells and containers expect:
//! - Ctrl-Z stops the command and locket, also if the command cleans up first; `fg` and `bg` continue both;
//! - a loop of a script stops at Ctrl-C;
//! - when a terminal hangs up, the kernel signals only the first process of its session: the command gets one SIGHUP;
//! - as the first process of a container, locket is ended by signals, reaps orphans, and exits with 128 + N.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};

use crate::lock_file::{LOCKET, LockFile, is_free};
use crate::running::{HOLD, Running, children, holder, pid};
use crate::screen::Session;
use crate::support::{until, until_waiting};

/// Starts a shell with job control at a terminal, and types this.
#[track_caller]
fn shell(typed: &str) -> Session {
    let environment = ["env", "TERM=dumb", "PS1=", "PS2=", "HISTFILE=/dev/null"];
    let bash = ["bash", "--norc", "--noprofile", "--noediting", "-i"];
    let mut session = Session::start(&[&environment[..], &bash].concat());
    session.terminal.press(&format!("{typed}\n"));
    session
}

#[test]
fn a_stopped_job_is_continued_in_the_foreground() {
    needs!("setsid --version", "bash --version", "env --default-signal true");
    let lock = LockFile::new();
    let read = "while read x; do [ $x = end ] && exit 5; echo got.$x.; done";
    let mut session = shell(&format!("{LOCKET} run {lock} sh -c 'echo rea\"\"dy; {read}'"));
    session.terminal.until_shown("ready\r\n");
    for turn in 1..=3 {
        session.terminal.press("\x1a");
        session.terminal.until_seen("a stopped job", |it| it.matches("Stopped").count() >= turn);
        assert!(!is_free(&lock));
        // The terminal may lose a key that is pressed while the shell takes the terminal back.
        session.terminal.press(&format!("\nfg\n{turn}\n"));
        session.terminal.until_shown(&format!("got.{turn}."));
    }
    session.terminal.press("end\necho code $?.\n");
    session.terminal.until_shown("code 5.");
    assert!(is_free(&lock));
    session.terminal.press("exit\n");
    assert_eq!(session.wait().code(), Some(0));
}

#[test]
fn a_stopped_job_is_continued_in_the_background() {
    needs!("setsid --version", "bash --version", "env --default-signal true", "mkfifo --version");
    let lock = LockFile::new();
    lock.sh("mkfifo go").code(0);
    // The command has no child: a child that is stopped between vfork and exec would keep its parent from stopping.
    let wait = format!("read x <{}", lock.beside("go"));
    let command = format!("sh -c 'echo rea\"\"dy; {wait}; echo do\"\"ne; exit 6'");
    let mut session = shell(&format!("{LOCKET} run {lock} {command}"));
    session.terminal.until_shown("ready\r\n");
    session.terminal.press("\x1a");
    session.terminal.until_shown("Stopped");
    session.terminal.press("\nbg\n");
    // The command reads this only if it was continued.
    fs::write(lock.beside("go"), "\n").expect("the command reads it");
    session.terminal.until_shown("done\r\n");
    // The shell forgets a job when it has reported its end, which may be before `wait`.
    session.terminal.press("wait $!; echo code $?.\n");
    let is_told = |shown: &str| shown.contains("code 6.") || shown.contains("Exit 6");
    session.terminal.until_seen("how it ended", is_told);
    until("the lock is free", || is_free(&lock));
}

const EDITOR: &str = "
import os, signal, sys
def stop(*_):
    os.write(1, b'cleaning.')
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    signal.signal(signal.SIGTSTP, stop)
    os.write(1, b'back.')
signal.signal(signal.SIGTSTP, stop)
os.write(1, b'ready.')
print('got.%s.' % sys.stdin.readline().strip())
";

/// Editors and pagers restore the terminal before they stop.
#[test]
fn a_command_that_cleans_up_before_it_stops_is_a_stopped_job() {
    needs!("setsid --version", "bash --version", "env --default-signal true", "python3 --version");
    for how in ["SIGTSTP", "SIGSTOP"] {
        let lock = LockFile::new();
        let script = lock.beside("editor.py");
        fs::write(&script, EDITOR).expect("the directory should be writable");
        let mut session = shell(&format!("{LOCKET} run {lock} python3 {script} {how}"));
        session.terminal.until_shown("ready.");
        session.terminal.press("\x1a");
        session.terminal.until_shown("cleaning.");
        session.terminal.until_shown("Stopped");
        session.terminal.press("\nfg\n");
        session.terminal.until_shown("back.");
        session.terminal.press("word\n");
        session.terminal.until_shown("got.word.");
    }
}

#[test]
fn a_pipeline_can_read_the_terminal() {
    needs!("setsid --version", "bash --version", "env --default-signal true");
    let lock = LockFile::new();
    let mut session = shell(&format!("head -n 1 | {LOCKET} run {lock} cat | cat"));
    until("it runs", || lock.directory().join("f").exists());
    session.terminal.press("wo\"rd\n");
    session.terminal.until_shown("\r\nwo\"rd\r\n");
}

/// Presses Ctrl-C in the first turn of a loop of `locket run`. Returns what the terminal showed, and the status.
#[track_caller]
fn interrupted_loop(command: &str) -> (String, ExitStatus) {
    let lock = LockFile::new();
    let run = format!("{LOCKET} run {lock} {command}");
    let script = format!("for i in 1 2; do echo turn $i.; {run}; done; echo over.");
    let mut session = Session::start(&["bash", "-c", &script]);
    session.terminal.until_shown("ready.");
    session.terminal.press("\x03");
    session.terminal.until_shown("^C");
    let status = session.wait();
    (session.terminal.all(), status)
}

#[test]
fn a_loop_stops_at_an_interrupt() {
    needs!("setsid --version", "bash --version", "env --default-signal true");
    let (shown, status) = interrupted_loop("sh -c 'echo ready.; exec sleep 1000'");
    assert!(shown.contains("turn 1.") && !shown.contains("turn 2."), "{shown:?}");
    assert_eq!(status.signal(), Some(Signal::SIGINT as i32));
    // A command that only prints a message at the interrupt does not stop the loop.
    let says_so = "sh -c 'trap \"exit 130\" INT; echo ready.; [ -e /dev/null.2 ] || sleep 1'";
    let (shown, status) = interrupted_loop(says_so);
    assert!(shown.contains("turn 2.") && shown.contains("over."), "{shown:?}");
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_hangup_of_the_terminal_reaches_the_command_once() {
    const TRIALS: usize = if cfg!(feature = "stress") { 100 } else { 10 };
    needs!("script --version", "mkfifo --version");
    let peer = env!("CARGO_BIN_EXE_locket-peer");
    for _ in 0..TRIALS {
        let lock = LockFile::new();
        lock.sh("mkfifo input").code(0);
        let command = format!("exec {LOCKET} run f sh -c 'exec {peer} signals <input >log'");
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]).current_dir(lock.directory());
        script.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut script = script.spawn().expect("script should start");
        let keep = File::options().write(true).open(lock.beside("input"));
        let keep = keep.expect("the command opens it too");
        let said = || fs::read_to_string(lock.beside("log")).unwrap_or_default();
        until("the command is ready", || said().ends_with('\n'));
        // The other side of the terminal is closed.
        script.kill().expect("it is a child of the test");
        script.wait().expect("it is a child of the test");
        until("the command has got SIGHUP", || said().contains("\n1 "));
        assert!(!is_free(&lock));
        // When locket passes this one on, it has handled the other.
        let ready = said();
        let command = ready.lines().next().and_then(|line| line.strip_prefix("ready "));
        let command = command.expect("the command printed its process id");
        let stat = fs::read_to_string(format!("/proc/{command}/stat")).expect("it should exist");
        let locket = stat.rsplit(") ").next().and_then(|it| it.split(' ').nth(1));
        let locket: u32 = locket.and_then(|it| it.parse().ok()).expect("it has a parent");
        kill(pid(locket), Signal::SIGUSR1).expect("it should exist");
        until("the command has got SIGUSR1", || said().contains("\n10 "));
        assert_eq!(said().matches("\n1 ").count(), 1, "{}", said());
        drop(keep);
        until("the lock is free", || is_free(&lock));
    }
}

/// Starts `locket run` as the first process of a container.
#[track_caller]
fn contained(options: &[&str], path: &str, command: &[&str]) -> Running {
    let mut run = Command::new("unshare");
    run.args(["--pid", "--fork", "--kill-child", "--mount-proc", LOCKET, "run"]);
    Running::start(run.args(options).arg(path).args(command))
}

#[test]
fn signals_end_the_first_process_of_a_container() {
    needs!("unshare --pid --fork --kill-child --mount-proc true");
    let lock = LockFile::new();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut run = contained(&[], &lock, &["sh", "-c", HOLD]);
        assert_ne!(run.line(), "1");
        kill(pid(children(run.pid())[0]), signal).expect("it should exist");
        assert_eq!(run.wait().code(), Some(128 + signal as i32));
        assert!(is_free(&lock));
    }
}

/// The kernel discards a signal that the first process of a container does not handle (`pid_namespaces(7)`).
#[test]
fn signals_end_a_wait_of_the_first_process_of_a_container() {
    needs!("unshare --pid --fork --kill-child --mount-proc true");
    let lock = LockFile::new();
    let _holder = holder(&[], &lock);
    for options in [&[][..], &["-q"], &["-w", "1h"]] {
        let mut run = contained(options, &lock, &["true"]);
        until("locket has started", || children(run.pid()).len() == 1);
        let locket = children(run.pid())[0];
        until_waiting(locket, lock.as_ref(), 1);
        kill(pid(locket), Signal::SIGTERM).expect("it should exist");
        assert_eq!(run.wait().code(), Some(128 + Signal::SIGTERM as i32), "{options:?}");
    }
}

/// A grandchild loses its parent and ends. It is reaped, or stays a zombie for a second.
const ORPHAN: &str = "
import os, time
read, write = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.write(write, b'%d' % os.getpid())
    os._exit(0)
os.wait()
orphan = int(os.read(read, 100))
deadline = time.monotonic() + 1
while os.path.exists('/proc/%d' % orphan) and time.monotonic() < deadline:
    time.sleep(0.001)
print('zombie' if os.path.exists('/proc/%d' % orphan) else 'reaped')
";

#[test]
fn the_first_process_of_a_container_reaps_orphans() {
    needs!("unshare --pid --fork --kill-child --mount-proc true", "python3 --version");
    let lock = LockFile::new();
    for (options, expected) in [(&[][..], "reaped"), (&["-F"], "zombie")] {
        let mut run = contained(options, &lock, &["python3", "-c", ORPHAN]);
        assert_eq!(run.line(), expected);
        assert_eq!(run.wait().code(), Some(0));
    }
}
