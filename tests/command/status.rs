//! `locket status`:
//! - reports the holders and waiters of a lock, as text, and as JSON for programs;
//! - exits with 0 if the lock is held, with 1 if it is not, and otherwise with an error;
//! - never touches the lock, and creates no file;
//! - as JSON, contains the bytes of a path that is not text, and no control characters, of either kind or of direction;
//! - uses colours on a terminal whose user wants them, and prints no control characters of a file name.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::running::{LOCKET, Running, has, locket_run};
use crate::screen::Terminal;
use crate::support::{PATIENCE, Scratch, is_container, is_root, until_waiting};

fn locket_status() -> assert_cmd::Command {
    let mut command = assert_cmd::Command::new(LOCKET);
    command.arg("status").timeout(PATIENCE);
    command
}

/// Returns the answer about a file, and the exit code.
#[track_caller]
fn answer(options: &[&str], path: &Path) -> (String, Option<i32>) {
    let output = locket_status().args(options).arg(path).output().expect("it should run");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (String::from_utf8(output.stdout).expect("it should be UTF-8"), output.status.code())
}

#[track_caller]
fn parsed(options: &[&str], path: &Path) -> Value {
    serde_json::from_str(&answer(&[&["--json"], options].concat(), path).0).expect("it is JSON")
}

/// Returns the exit code for a lock without a holder. In a container, locket cannot know that the lock is free.
fn free() -> i32 {
    if is_container() { 71 } else { 1 }
}

/// Returns the words of a line, but only the first word of a command.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn a_free_lock() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let shown = path.display().to_string();
    let missing = scratch.join("nosuch/x.lock");
    assert_eq!(answer(&[], &path), (format!("{shown}: free (no such file)\n"), Some(1)));
    assert_eq!(
        answer(&[], &missing),
        (format!("{}: free (no such file)\n", missing.display()), Some(1))
    );
    let json = &parsed(&[], &path)["locks"][0];
    assert_eq!((&json["exists"], &json["state"]), (&false.into(), &"free".into()));
    assert!(!path.exists(), "status should create no file");

    fs::write(&path, "precious").expect("the directory should be writable");
    let (state, json) = if is_container() {
        ("free as far as this container can tell", "unknown")
    } else {
        ("free", "free")
    };
    let code = free();
    assert_eq!(answer(&[], &path), (format!("{shown}: {state}\n"), Some(code)));
    assert_eq!(answer(&["--quiet"], &path), (String::new(), Some(code)));
    assert_eq!(parsed(&[], &path)["locks"][0]["state"], json);
    assert_eq!(parsed(&[], &path)["locks"][0]["exists"], true);
    assert_eq!(fs::read(&path).expect("it should exist"), b"precious");
}

#[test]
fn holders_and_waiters_are_listed() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    let waiters = [&["-x"][..], &["-s"]].map(|options| {
        let mut run = Command::new(LOCKET);
        let waiter = Running::start(run.arg("run").args(options).arg(&path).arg("true"));
        until_waiting(waiter.pid(), &path, 1);
        waiter
    });
    let (text, code) = answer(&[], &path);
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = text.lines().collect();
    let [heading, titles, held, first, second] = lines[..] else { panic!("{text}") };
    assert_eq!(heading, format!("{}: held", path.display()));
    assert_eq!(words(titles), ["MODE", "PID", "USER", "RUNNING", "COMMAND"]);
    let pid = holder.pid().to_string();
    assert_eq!(words(held)[..3], ["held", "exclusive", &pid]);
    // A long command line is truncated, so only its beginning is compared.
    let command = format!("{LOCKET} run {} -- sh -c ", path.display());
    assert!(held.contains(&command.chars().take(60).collect::<String>()), "{held}");
    for (line, mode, waiter) in [(first, "exclusive", &waiters[0]), (second, "shared", &waiters[1])]
    {
        assert_eq!(words(line)[..3], ["waiting", mode, &waiter.pid().to_string()]);
    }
    assert_eq!(answer(&["-q"], &path), (String::new(), Some(0)));
}

#[test]
fn holders_and_waiters_are_listed_as_json() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    let mut run = Command::new(LOCKET);
    let waiter = Running::start(run.arg("run").arg("-s").arg(&path).arg("true"));
    until_waiting(waiter.pid(), &path, 1);

    let json = parsed(&[], &path);
    let lock = &json["locks"][0];
    assert_eq!(lock["path"], *path.to_string_lossy());
    assert_eq!((&lock["exists"], &lock["state"]), (&true.into(), &"held".into()));
    let held = lock["held"].as_array().expect("it is an array");
    let waiting = lock["waiting"].as_array().expect("it is an array");
    let [held, waiting] = [&held[..], &waiting[..]].map(|it| match it {
        [claim] => claim,
        several => panic!("one was expected: {several:?}"),
    });
    assert_eq!((&held["pid"], &held["mode"]), (&holder.pid().into(), &"exclusive".into()));
    assert_eq!((&held["by"], &held["name"]), (&"process".into(), &"locket-command".into()));
    let command = [LOCKET, "run", &path.to_string_lossy(), "--", "sh", "-c", "echo $$; read _"];
    assert_eq!(held["command"], serde_json::json!(command));
    let user = Command::new("id").arg("-un").output().expect("it should run").stdout;
    assert_eq!(held["user"], *String::from_utf8_lossy(&user).trim_end());
    let now = std::time::UNIX_EPOCH.elapsed().expect("it is later than that").as_secs();
    let started = held["started"].as_u64().expect("it is a number");
    assert!((now - 60..=now + 1).contains(&started), "{started} is not about {now}");
    assert_eq!((&waiting["pid"], &waiting["mode"]), (&waiter.pid().into(), &"shared".into()));
}

/// All documented keys are present, with a value or without.
#[test]
fn the_shape_of_the_json_is_as_documented() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _holder = Running::holder(&path);
    let help = locket_status().arg("--help").output().expect("it should run").stdout;
    let help = String::from_utf8(help).expect("it should be UTF-8");
    let keys = |value: &Value| -> Vec<String> {
        value.as_object().expect("it is an object").keys().cloned().collect()
    };
    let json = parsed(&[], &path);
    let (lock, claim) = (&json["locks"][0], &json["locks"][0]["held"][0]);
    assert_eq!(keys(&json), ["locks"]);
    assert_eq!(
        keys(lock),
        ["coverage", "exists", "held", "path", "path_bytes", "state", "waiting"]
    );
    let claim_keys = ["by", "command", "mode", "name", "pid", "started", "stopped", "user"];
    assert_eq!(keys(claim), claim_keys);
    for key in [keys(&json), keys(lock), keys(claim)].concat() {
        assert!(help.contains(&format!("`{key}`")), "{key} is not documented:\n{help}");
    }
}

#[test]
fn all_shared_holders_are_listed() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let readers = [(); 2].map(|()| Running::holder_with(&path, &["-s"]));
    let (text, code) = answer(&[], &path);
    assert_eq!(code, Some(0));
    for reader in &readers {
        let pid = reader.pid().to_string();
        let its = |line: &&str| words(line)[..3] == ["held", "shared", &pid];
        assert_eq!(text.lines().skip(2).filter(its).count(), 1, "{text}");
    }
    // Another shared hold is granted beside them.
    locket_run().arg("-sn").arg(&path).arg("true").assert().code(0);
}

/// `status` neither opens nor locks the file.
#[test]
fn status_never_touches_the_lock() {
    if !has("status_never_touches_the_lock", "strace", &["-qq", "true"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    fs::write(&path, "").expect("the directory should be writable");
    let calls = |arguments: &[&str]| {
        let log = scratch.join("log");
        let mut run = Command::new("strace");
        run.args(["-f", "-qq", "-e", "trace=flock,openat,open,creat", "-o"]).arg(&log);
        run.arg(LOCKET).args(arguments).stdout(std::process::Stdio::null());
        run.status().expect("strace should run");
        let log = fs::read_to_string(log).expect("strace should have written it");
        let shown = path.to_string_lossy();
        // O_PATH does not open the file itself (open(2)).
        let opened = |line: &&str| line.contains(&*shown) && !line.contains("O_PATH");
        log.lines().filter(|line| line.contains("flock(") || opened(line)).count()
    };
    let shown = path.to_str().expect("it should be UTF-8");
    assert_eq!(calls(&["status", shown]), 0);
    // The check must see the calls of `wait`.
    assert_ne!(calls(&["wait", shown]), 0);
}

#[test]
fn the_exit_code_of_several_files_is_0_if_one_is_held() {
    let scratch = Scratch::new();
    let (free, path) = (scratch.join("free.lock"), scratch.lock_path());
    let holder = Running::holder(&path);
    let mut status = locket_status();
    let output = status.current_dir(scratch.path()).args(["free.lock", "test.lock"]).output();
    let output = output.expect("it should run");
    let text = String::from_utf8(output.stdout).expect("it should be UTF-8");
    assert_eq!(output.status.code(), Some(0));
    assert!(text.starts_with("free.lock: free (no such file)\ntest.lock: held\n"), "{text}");
    holder.end();
    locket_status().arg("-q").arg(&free).arg(&path).assert().code(self::free());
}

#[test]
fn an_unreachable_file_is_66_and_the_others_are_reported() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _holder = Running::holder(&path);
    let below = path.join("x.lock");
    let output = locket_status().arg(&below).arg(&path).output().expect("it should run");
    assert_eq!(output.status.code(), Some(66));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.starts_with(&format!("locket: cannot query {}: ", below.display())), "{text}");
    let output = String::from_utf8_lossy(&output.stdout);
    assert!(output.starts_with(&format!("{}: held\n", path.display())), "{output}");
    // With `-q` and without.
    let quiet = locket_status().arg("-q").arg(&below).output().expect("it should run");
    assert_eq!((quiet.status.code(), quiet.stderr.is_empty()), (Some(66), false));
}

/// A user without access to the file can query it.
#[test]
fn status_works_on_an_unreadable_file() {
    use std::os::unix::fs::PermissionsExt;
    if !crate::support::has_mounted_root() {
        return;
    }
    let powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"];
    let launcher = if is_root() { &powerless[..] } else { &["env"] };
    if !has(
        "status_works_on_an_unreadable_file",
        launcher[0],
        &[&launcher[1..], &["true"]].concat(),
    ) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000))
        .expect("it should be possible in the test directory");
    let asked = |task: &[&str]| {
        let mut run = Command::new(launcher[0]);
        run.args(&launcher[1..]).arg(LOCKET).args(task).arg(&path);
        run.output().expect("it should run")
    };
    let output = asked(&["status"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(&format!("  {}  ", holder.pid())), "{text}");
    // The check itself: the file cannot be opened.
    assert_eq!(asked(&["wait", "-n"]).status.code(), Some(66));
}

#[test]
fn all_locks_in_use() {
    let scratch = Scratch::new();
    let (path, free) = (scratch.lock_path(), scratch.join("free.lock"));
    fs::write(&free, "").expect("the directory should be writable");
    let holder = Running::holder(&path);
    let listed = || {
        let output = locket_status().args(["--all", "--json"]).output().expect("it should run");
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        let json: Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
        json["locks"].as_array().expect("it is an array").clone()
    };
    let is = |lock: &Value, path: &Path| lock["path"] == *path.to_string_lossy();
    let locks = listed();
    let found: Vec<&Value> = locks.iter().filter(|lock| is(lock, &path)).collect();
    let [lock] = found[..] else { panic!("{path:?} should be there once: {locks:?}") };
    assert_eq!((&lock["state"], &lock["exists"]), (&"held".into(), &true.into()));
    assert_eq!(lock["held"][0]["pid"], holder.pid());
    assert!(!locks.iter().any(|lock| is(lock, &free)));

    let output = locket_status().arg("--all").output().expect("it should run");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.lines().any(|line| line == format!("{}: held", path.display())), "{text}");
    holder.end();
    assert!(!listed().iter().any(|lock| is(lock, &path)));
}

/// Returns what a terminal shows about a free lock.
#[track_caller]
fn shown(kind: &str, no_colour: Option<&str>, file: &str) -> String {
    let scratch = Scratch::new();
    let terminal = Terminal::new();
    let mut command = Command::new(LOCKET);
    command.args(["status", file]).current_dir(scratch.path()).stdout(terminal.side());
    // Other variables that influence colours, also the one of continuous integration.
    for other in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
        command.env_remove(other);
    }
    command.env("TERM", kind);
    command.envs(no_colour.map(|value| ("NO_COLOR", value)));
    assert_eq!(command.status().expect("it should run").code(), Some(1));
    drop(command);
    terminal.all()
}

#[test]
fn colours_need_a_terminal_and_no_no_color() {
    let plain = "x.lock: free (no such file)\r\n";
    assert_eq!(
        shown("xterm", None, "x.lock"),
        "x.lock: \x1b[1m\x1b[32mfree\x1b[0m (no such file)\r\n"
    );
    assert_eq!(shown("xterm", Some("1"), "x.lock"), plain);
    assert_eq!(shown("dumb", None, "x.lock"), plain);
}

#[test]
fn a_file_name_cannot_write_on_the_screen() {
    assert!(shown("xterm", None, "a\n\x1b[31mb").starts_with(r"a\n\u{1b}[31mb: "));
}

#[test]
fn a_failed_query_is_71() {
    if !has("a_failed_query_is_71", "strace", &["-qq", "true"]) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    fs::write(&path, "").expect("the directory should be writable");
    let shown = path.to_str().expect("it should be UTF-8");
    let asked = |inject: &str, question: &str| {
        let mut run = Command::new("strace");
        run.args(["-f", "-qq", "-o", "/dev/null", "-P", "/proc/locks", "-e", inject]);
        let output = run.args([LOCKET, "status", question]).output().expect("strace should run");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let refused = "inject=openat,open:error=EACCES";
    let (code, text) = asked(refused, shown);
    assert_eq!(code, Some(71), "{text}");
    assert!(text.starts_with(&format!("locket: cannot query the holders of {shown}: ")), "{text}");
    let (code, text) = asked(refused, "--all");
    assert_eq!(code, Some(71), "{text}");
    assert!(
        text.starts_with("locket: cannot list the locks of the system: /proc/locks: "),
        "{text}"
    );
    // Without an injection no error occurs.
    assert_eq!(asked("inject=openat,open:delay_exit=1", shown).0, Some(free()));
}

#[test]
fn json_has_bytes_and_no_control_characters() {
    let scratch = Scratch::new();
    let name =
        [b"a\x1b[2J\xc2\x9b31m\x7f\xff", "\u{202e}\u{200b}\u{e0041}.lock".as_bytes()].concat();
    let path = scratch.path().join(OsStr::from_bytes(&name));
    let holder = Running::holder(&path);
    let output = Command::new(LOCKET).args(["status", "--json"]).arg(&path).output();
    let output = output.expect("it should run").stdout;
    let text = String::from_utf8(output).expect("it should be UTF-8");
    let is_plain =
        |c: char| c == '\n' || !(c.is_control() || "\u{202e}\u{200b}\u{e0041}".contains(c));
    assert!(text.chars().all(is_plain), "{text:?}");
    let json: Value = serde_json::from_str(&text).expect("it is JSON");
    let bytes = json["locks"][0]["path_bytes"].as_array().expect("it is an array");
    let bytes: Vec<u8> =
        bytes.iter().map(|it| it.as_u64().and_then(|it| it.try_into().ok()).unwrap_or(0)).collect();
    assert_eq!(OsStr::from_bytes(&bytes), path.as_os_str());
    assert_eq!(json["locks"][0]["path"], *path.to_string_lossy());
    holder.end();

    let plain = Command::new(LOCKET).args(["status", "--json"]).arg(scratch.lock_path()).output();
    let json: Value = serde_json::from_slice(&plain.expect("it runs").stdout).expect("it is JSON");
    assert!(json["locks"][0]["path_bytes"].is_null());
}
