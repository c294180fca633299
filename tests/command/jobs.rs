//! Job control by a shell at a terminal, and the exit statuses that shells and containers expect:
//! - Ctrl-Z stops the command and locket, also if the command cleans up first; `fg` and `bg` continue both;
//! - a loop of a script stops at Ctrl-C;
//! - when a terminal hangs up, the kernel signals only the first process of its session: the command gets one SIGHUP;
//! - as the first process of a container, locket is ended by signals, reaps orphans, and exits with 128 + N.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};

use crate::running::{HOLD, LOCKET, Running, children, has, is_free, pid};
use crate::screen::Terminal;
use crate::support::{Scratch, until, until_waiting};

/// A terminal, and the first process of its session.
struct Session {
    terminal: Terminal,
    process: Child,
}

impl Session {
    #[track_caller]
    fn start(arguments: &[&str]) -> Self {
        let terminal = Terminal::new();
        let mut command = Command::new("setsid");
        command.args(["--ctty", "env", "--default-signal"]).args(arguments);
        command.env("TERM", "dumb").env("PS1", "").env("PS2", "").env("HISTFILE", "/dev/null");
        command.stdin(terminal.side()).stdout(terminal.side()).stderr(terminal.side());
        let process = command.spawn().expect("it should start");
        Self { terminal, process }
    }

    /// Starts a shell with job control.
    #[track_caller]
    fn shell() -> Self {
        Self::start(&["bash", "--norc", "--noprofile", "--noediting", "-i"])
    }

    /// Types `locket run` with these arguments at the shell.
    #[track_caller]
    fn type_locket(&mut self, path: &Path, command: &str) {
        let path = path.display();
        self.terminal.press(&format!("{LOCKET} run {path} {command}\n"));
    }

    #[track_caller]
    fn ended(mut self) -> ExitStatus {
        until("the session should end", || {
            self.process.try_wait().expect("it is a child of the test").is_some()
        });
        self.process.wait().expect("it is a child of the test")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn has_shell(check: &str) -> bool {
    has(check, "setsid", &["--version"])
        && has(check, "bash", &["--version"])
        && has(check, "env", &["--default-signal", "true"])
}

#[test]
fn a_stopped_job_is_continued_in_the_foreground() {
    if !has_shell("a_stopped_job_is_continued_in_the_foreground") {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let mut session = Session::shell();
    let read = "while read x; do [ $x = end ] && exit 5; echo got.$x.; done";
    session.type_locket(&path, &format!("sh -c 'echo rea\"\"dy; {read}'"));
    session.terminal.until_shown("ready\r\n");
    for turn in 1..=3 {
        session.terminal.press("\x1a");
        session.terminal.until_seen("a stopped job", |it| it.matches("Stopped").count() >= turn);
        assert!(!is_free(&path));
        // The terminal may lose a key that is pressed while the shell takes the terminal back.
        session.terminal.press(&format!("\nfg\n{turn}\n"));
        session.terminal.until_shown(&format!("got.{turn}."));
    }
    session.terminal.press("end\necho code $?.\n");
    session.terminal.until_shown("code 5.");
    assert!(is_free(&path));
    session.terminal.press("exit\n");
    assert_eq!(session.ended().code(), Some(0));
}

#[test]
fn a_stopped_job_is_continued_in_the_background() {
    let check = "a_stopped_job_is_continued_in_the_background";
    if !has_shell(check) || !has(check, "mkfifo", &["--version"]) {
        return;
    }
    let scratch = Scratch::new();
    let (path, go) = (scratch.lock_path(), scratch.join("go"));
    assert!(Command::new("mkfifo").arg(&go).status().is_ok_and(|it| it.success()));
    let mut session = Session::shell();
    // The command has no child: a child that is stopped between vfork and exec would keep its parent from stopping.
    let wait = format!("read x <{}", go.display());
    session.type_locket(&path, &format!("sh -c 'echo rea\"\"dy; {wait}; echo do\"\"ne; exit 6'"));
    session.terminal.until_shown("ready\r\n");
    session.terminal.press("\x1a");
    session.terminal.until_shown("Stopped");
    session.terminal.press("\nbg\n");
    // The command reads this only if it was continued.
    fs::write(&go, "\n").expect("the command reads it");
    session.terminal.until_shown("done\r\n");
    // The shell forgets a job when it has reported its end, which may be before `wait`.
    session.terminal.press("wait $!; echo code $?.\n");
    let is_told = |shown: &str| shown.contains("code 6.") || shown.contains("Exit 6");
    session.terminal.until_seen("how it ended", is_told);
    until("the lock is free", || is_free(&path));
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
    let check = "a_command_that_cleans_up_before_it_stops_is_a_stopped_job";
    if !has_shell(check) || !has(check, "python3", &["-c", ""]) {
        return;
    }
    for how in ["SIGTSTP", "SIGSTOP"] {
        let scratch = Scratch::new();
        let (path, script) = (scratch.lock_path(), scratch.join("editor.py"));
        fs::write(&script, EDITOR).expect("the directory should be writable");
        let mut session = Session::shell();
        session.type_locket(&path, &format!("python3 {} {how}", script.display()));
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
    if !has_shell("a_pipeline_can_read_the_terminal") {
        return;
    }
    let scratch = Scratch::new();
    let mut session = Session::shell();
    let path = scratch.lock_path();
    session.terminal.press(&format!("head -n 1 | {LOCKET} run {} cat | cat\n", path.display()));
    until("it runs", || path.exists());
    session.terminal.press("wo\"rd\n");
    session.terminal.until_shown("\r\nwo\"rd\r\n");
}

/// Presses Ctrl-C in the first turn of a loop of `locket run`. Returns what the terminal showed, and the status.
#[track_caller]
fn interrupted_loop(command: &str) -> (String, ExitStatus) {
    let scratch = Scratch::new();
    let script = format!(
        "for i in 1 2; do echo turn $i.; {LOCKET} run {} {command}; done; echo over.",
        scratch.lock_path().display()
    );
    let mut session = Session::start(&["bash", "-c", &script]);
    session.terminal.until_shown("ready.");
    session.terminal.press("\x03");
    session.terminal.until_shown("^C");
    until("the loop should end", || {
        session.process.try_wait().expect("it is a child of the test").is_some()
    });
    let status = session.process.wait().expect("it is a child of the test");
    let terminal = std::mem::replace(&mut session.terminal, Terminal::new());
    (terminal.all(), status)
}

#[test]
fn a_loop_stops_at_an_interrupt() {
    if !has_shell("a_loop_stops_at_an_interrupt") {
        return;
    }
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
    let check = "a_hangup_of_the_terminal_reaches_the_command_once";
    if !has(check, "script", &["--version"]) || !has(check, "mkfifo", &["--version"]) {
        return;
    }
    let peer = env!("CARGO_BIN_EXE_locket-peer");
    for _ in 0..TRIALS {
        let scratch = Scratch::new();
        let (path, input, log) = (scratch.lock_path(), scratch.join("input"), scratch.join("log"));
        assert!(Command::new("mkfifo").arg(&input).status().is_ok_and(|it| it.success()));
        let command = format!(
            "exec {LOCKET} run {} sh -c 'exec {peer} signals <{} >{}'",
            path.display(),
            input.display(),
            log.display()
        );
        let mut script = Command::new("script");
        script.args(["-qec", &command, "/dev/null"]);
        let mut script = script
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("script should start");
        let keep = File::options().write(true).open(&input).expect("the command opens it too");
        let said = || fs::read_to_string(&log).unwrap_or_default();
        until("the command is ready", || said().ends_with('\n'));
        // The other side of the terminal is closed.
        script.kill().expect("it is a child of the test");
        script.wait().expect("it is a child of the test");
        until("the command has got SIGHUP", || said().contains("\n1 "));
        assert!(!is_free(&path));
        // When locket passes this one on, it has handled the other.
        let ready = said();
        let command: u32 = ready
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("ready "))
            .and_then(|it| it.parse().ok())
            .expect("the command printed its process id");
        let stat = fs::read_to_string(format!("/proc/{command}/stat")).expect("it should exist");
        let locket = stat.rsplit(") ").next().and_then(|it| it.split(' ').nth(1));
        let locket: u32 = locket.and_then(|it| it.parse().ok()).expect("it has a parent");
        kill(pid(locket), Signal::SIGUSR1).expect("it should exist");
        until("the command has got SIGUSR1", || said().contains("\n10 "));
        assert_eq!(said().matches("\n1 ").count(), 1, "{}", said());
        drop(keep);
        until("the lock is free", || is_free(&path));
    }
}

/// Starts `locket run` as the first process of a container.
#[track_caller]
fn contained(check: &str, options: &[&str], path: &Path, command: &[&str]) -> Option<Running> {
    let container = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    if !has(check, "unshare", &[&container[..], &["true"]].concat()) {
        return None;
    }
    let mut run = Command::new("unshare");
    run.args(container).args([LOCKET, "run"]).args(options).arg(path).args(command);
    Some(Running::start(&mut run))
}

#[test]
fn signals_end_the_first_process_of_a_container() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let check = "signals_end_the_first_process_of_a_container";
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let Some(mut run) = contained(check, &[], &path, &["sh", "-c", HOLD]) else { return };
        assert_ne!(run.line(), "1");
        kill(pid(children(run.pid())[0]), signal).expect("it should exist");
        assert_eq!(run.wait().code(), Some(128 + signal as i32));
        assert!(is_free(&path));
    }
}

/// The kernel discards a signal that the first process of a container does not handle (`pid_namespaces(7)`).
#[test]
fn signals_end_a_wait_of_the_first_process_of_a_container() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let check = "signals_end_a_wait_of_the_first_process_of_a_container";
    let _holder = Running::holder(&path);
    for options in [&[][..], &["-q"], &["-w", "1h"]] {
        let Some(mut run) = contained(check, options, &path, &["true"]) else { return };
        until("locket has started", || children(run.pid()).len() == 1);
        let locket = children(run.pid())[0];
        until_waiting(locket, &path, 1);
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
    let check = "the_first_process_of_a_container_reaps_orphans";
    if !has(check, "python3", &["-c", ""]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for (options, expected) in [(&[][..], "reaped"), (&["-F"], "zombie")] {
        let command = ["python3", "-c", ORPHAN];
        let Some(mut run) = contained(check, options, &path, &command) else { return };
        assert_eq!(run.line(), expected);
        assert_eq!(run.wait().code(), Some(0));
    }
}
