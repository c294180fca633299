//! `locket status`:
//! - reports the holders and waiters of a lock, as text, and as JSON for programs;
//! - exits with 0 if the lock is held, with 1 if it is not, and otherwise with an error;
//! - never touches the lock, and creates no file;
//! - as JSON, contains the bytes of a path that is not text, and no control characters, of either kind or of direction;
//! - uses colours on a terminal whose user wants them, and prints no control characters of a file name.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::lock_file::{LOCKET, LockFile, answer, powerless, run, said};
use crate::running::{holder, waiter};
use crate::screen::Terminal;
use crate::support::{has_mounted_root, is_container};

/// Returns the exit code for a lock without a holder. In a container, locket cannot know that the lock is free.
fn free() -> i32 {
    if is_container() { 71 } else { 1 }
}

/// Returns the answer of `status` with these arguments as JSON.
#[track_caller]
fn parsed(lock: &LockFile, arguments: &str) -> Value {
    let run = lock.sh(&format!("$L status --json {arguments}")).stderr("");
    serde_json::from_str(&answer(&run)).expect("it is JSON")
}

#[track_caller]
fn array(value: &Value) -> &[Value] {
    value.as_array().expect("it is an array")
}

#[test]
fn a_free_lock() {
    let lock = LockFile::new();
    lock.sh("$L status f").code(1).stdout("f: free (no such file)\n").stderr("");
    let missing = "nosuch/x.lock: free (no such file)\n";
    lock.sh("$L status nosuch/x.lock").code(1).stdout(missing).stderr("");
    let json = &parsed(&lock, "f")["locks"][0];
    assert_eq!((&json["exists"], &json["state"]), (&false.into(), &"free".into()));
    assert_eq!(answer(&lock.sh("ls -A")), "", "status should create no file");

    fs::write(&lock, "precious").expect("the directory should be writable");
    let (state, json) = if is_container() {
        ("free as far as this container can tell", "unknown")
    } else {
        ("free", "free")
    };
    lock.sh("$L status f").code(free()).stdout(format!("f: {state}\n")).stderr("");
    lock.sh("$L status --quiet f").code(free()).stdout("").stderr("");
    assert_eq!(parsed(&lock, "f")["locks"][0]["state"], json);
    assert_eq!(parsed(&lock, "f")["locks"][0]["exists"], true);
    assert_eq!(fs::read(&lock).expect("it should exist"), b"precious");
}

#[test]
fn holders_and_waiters_are_listed() {
    let lock = LockFile::new();
    let holder = holder(&[], &lock);
    let waiters = [waiter(&["-x"], &lock), waiter(&["-s"], &lock)];
    let text = answer(&lock.locket(&["status", &lock]).code(0).stderr(""));
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    let [heading, titles, held, waiting @ ..] = &lines[..] else { panic!("{text}") };
    assert_eq!(heading.join(" "), format!("{lock}: held"));
    assert_eq!(titles[..], ["MODE", "PID", "USER", "RUNNING", "COMMAND"]);
    assert_eq!(held[..3], ["held", "exclusive", &holder.pid().to_string()]);
    // A long command line is truncated, so only its beginning is compared.
    let command = format!("{LOCKET} run {lock} -- sh -c ");
    assert!(text.contains(&command.chars().take(60).collect::<String>()), "{text}");
    assert_eq!(waiting.len(), 2, "{text}");
    for ((line, mode), waiter) in waiting.iter().zip(["exclusive", "shared"]).zip(&waiters) {
        assert_eq!(line[..3], ["waiting", mode, &waiter.pid().to_string()]);
    }
    lock.sh("$L status -q f").code(0).stdout("").stderr("");

    let json = parsed(&lock, &lock);
    let lock_entry = &json["locks"][0];
    let [held] = array(&lock_entry["held"]) else { panic!("one was expected: {json}") };
    assert_eq!(lock_entry["path"], *lock);
    assert_eq!((&lock_entry["exists"], &lock_entry["state"]), (&json!(true), &json!("held")));
    assert_eq!((&held["pid"], &held["mode"]), (&json!(holder.pid()), &json!("exclusive")));
    assert_eq!((&held["by"], &held["name"]), (&json!("process"), &json!("locket-command")));
    let command = [LOCKET, "run", &lock, "--", "sh", "-c", "echo $$; read _"];
    assert_eq!(held["command"], json!(command));
    assert_eq!(held["user"], answer(&lock.sh("id -un")).trim_end());
    let now = std::time::UNIX_EPOCH.elapsed().expect("it is later than that").as_secs();
    let started = held["started"].as_u64().expect("it is a number");
    assert!((now - 60..=now + 1).contains(&started), "{started} is not about {now}");
    let of = |claim: &Value| (claim["pid"].clone(), claim["mode"].clone());
    let waiting: Vec<_> = array(&lock_entry["waiting"]).iter().map(of).collect();
    let [first, second] = waiters.each_ref().map(|waiter| json!(waiter.pid()));
    assert_eq!(waiting, [(first, json!("exclusive")), (second, json!("shared"))]);

    // All documented keys are present, with a value or without.
    let documentation = answer(&lock.sh("$L status --help"));
    let keys = |value: &Value| -> Vec<String> {
        value.as_object().expect("it is an object").keys().cloned().collect()
    };
    assert_eq!(keys(&json), ["locks"]);
    let of_lock = ["coverage", "exists", "held", "path", "path_bytes", "state", "waiting"];
    assert_eq!(keys(lock_entry), of_lock);
    let of_claim = ["by", "command", "mode", "name", "pid", "started", "stopped", "user"];
    assert_eq!(keys(held), of_claim);
    for key in ["locks"].iter().chain(&of_lock).chain(&of_claim) {
        let is_documented = documentation.contains(&format!("`{key}`"));
        assert!(is_documented, "{key} is not documented:\n{documentation}");
    }
}

#[test]
fn all_shared_holders_are_listed() {
    let lock = LockFile::new();
    let readers = [(); 2].map(|()| holder(&["-s"], &lock));
    let json = parsed(&lock, "f");
    for reader in &readers {
        let is_its = |claim: &&Value| claim["pid"] == reader.pid() && claim["mode"] == "shared";
        let count = array(&json["locks"][0]["held"]).iter().filter(is_its).count();
        assert_eq!(count, 1, "{json}");
    }
    // Another shared hold is granted beside them.
    run(&["-sn"], &lock, &["true"]).code(0);
}

/// `status` neither opens nor locks the file.
#[test]
fn status_never_touches_the_lock() {
    needs!("strace -qq true");
    let lock = LockFile::new();
    fs::write(&lock, "").expect("the directory should be writable");
    let calls = |command: &str| {
        let (_, log) =
            lock.strace(&["-f", "-e", "trace=flock,openat,open,creat"], &[command, &lock]);
        // O_PATH does not open the file itself (open(2)).
        let opened = |line: &&str| line.contains(&*lock) && !line.contains("O_PATH");
        log.lines().filter(|line| line.contains("flock(") || opened(line)).count()
    };
    assert_eq!(calls("status"), 0);
    // The check must see the calls of `wait`.
    assert_ne!(calls("wait"), 0);
}

#[test]
fn several_files() {
    let lock = LockFile::new();
    let holder = holder(&[], &lock);
    // The exit code is 0 if one is held.
    let text = answer(&lock.sh("$L status free f").code(0).stderr(""));
    assert!(text.starts_with("free: free (no such file)\nf: held\n"), "{text}");
    // An unreachable file is 66, and the others are reported.
    let both = lock.sh("$L status f/x f").code(66);
    let (text, message) = (answer(&both), said(&both));
    assert!(message.starts_with(&format!("locket: cannot query {lock}/x: ")), "{message}");
    assert!(text.starts_with("f: held\n"), "{text}");
    assert_ne!(said(&lock.sh("$L status -q f/x").code(66)), "");
    holder.end();
    lock.sh("$L status -q free f").code(free()).stdout("").stderr("");
}

/// A user without access to the file can query it.
#[test]
fn status_works_on_an_unreadable_file() {
    let check = "status_works_on_an_unreadable_file";
    let Some(locket) = powerless(check).filter(|_| has_mounted_root()) else { return };
    let lock = LockFile::new();
    let holder = holder(&[], &lock);
    let text = answer(&lock.sh(&format!("chmod 000 f; {locket} status f")).code(0));
    assert!(text.contains(&format!("  {}  ", holder.pid())), "{text}");
    // The check itself: the file cannot be opened.
    lock.sh(&format!("{locket} wait -n f")).code(66);
}

#[test]
fn all_locks_in_use() {
    let lock = LockFile::new();
    let free = lock.beside("free");
    fs::write(&free, "").expect("the directory should be writable");
    let holder = holder(&[], &lock);
    let listed = |path: &str| {
        let json = parsed(&lock, "--all");
        let is_it = |lock: &&Value| lock["path"] == path;
        array(&json["locks"]).iter().filter(is_it).cloned().collect::<Vec<_>>()
    };
    let found = listed(&lock);
    let [entry] = &found[..] else { panic!("{lock} should be there once: {found:?}") };
    assert_eq!((&entry["state"], &entry["exists"]), (&json!("held"), &json!(true)));
    assert_eq!(entry["held"][0]["pid"], holder.pid());
    assert_eq!(listed(&free), Vec::<Value>::new());
    let text = answer(&lock.sh("$L status --all").code(0));
    assert!(text.lines().any(|line| line == format!("{lock}: held")), "{text}");
    holder.end();
    assert_eq!(listed(&lock), Vec::<Value>::new());
}

/// Returns what a terminal shows about a free lock.
#[track_caller]
fn shown(kind: &str, no_colour: Option<&str>, file: &str) -> String {
    let lock = LockFile::new();
    let mut terminal = Terminal::new();
    let mut command = Command::new(LOCKET);
    command.args(["status", file]).current_dir(lock.directory()).stdout(terminal.side());
    // Other variables that influence colours, also the one of continuous integration.
    for other in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
        command.env_remove(other);
    }
    command.env("TERM", kind).envs(no_colour.map(|value| ("NO_COLOR", value)));
    assert_eq!(command.status().expect("it should run").code(), Some(1));
    drop(command);
    terminal.all()
}

#[test]
fn colours_need_a_terminal_and_no_no_color() {
    let plain = "x.lock: free (no such file)\r\n";
    let coloured = "x.lock: \x1b[1m\x1b[32mfree\x1b[0m (no such file)\r\n";
    assert_eq!(shown("xterm", None, "x.lock"), coloured);
    assert_eq!(shown("xterm", Some("1"), "x.lock"), plain);
    assert_eq!(shown("dumb", None, "x.lock"), plain);
    // A file name cannot write on the screen.
    assert!(shown("xterm", None, "a\n\x1b[31mb").starts_with(r"a\n\u{1b}[31mb: "));
}

#[test]
fn a_failed_query_is_71() {
    needs!("strace -qq true");
    let lock = LockFile::new();
    fs::write(&lock, "").expect("the directory should be writable");
    let refused = "inject=openat,open:error=EACCES";
    for (inject, question, code, expected) in [
        (refused, &*lock, 71, &format!("locket: cannot query the holders of {lock}: ")[..]),
        (refused, "--all", 71, "locket: cannot list the locks of the system: /proc/locks: "),
        // Without an injection no error occurs.
        ("inject=openat,open:delay_exit=1", &*lock, free(), ""),
    ] {
        let options = ["-f", "-P", "/proc/locks", "-e", inject];
        let (run, _) = lock.strace(&options, &["status", question]);
        let text = said(&run.code(code));
        assert!(text.starts_with(expected), "{text}");
    }
}

#[test]
fn json_has_bytes_and_no_control_characters() {
    let lock = LockFile::new();
    let control = "\u{202e}\u{200b}\u{e0041}";
    let name = [b"a\x1b[2J\xc2\x9b31m\x7f\xff", control.as_bytes()].concat();
    let path = lock.directory().join(OsStr::from_bytes(&name));
    let holder = holder(&[], &path);
    let text = answer(&lock.sh("$L status --json $PWD/*").code(0));
    let is_plain = |c: char| c == '\n' || !(c.is_control() || control.contains(c));
    assert!(text.chars().all(is_plain), "{text:?}");
    let json: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(json["locks"][0]["path_bytes"], json!(path.as_os_str().as_bytes()));
    assert_eq!(json["locks"][0]["path"], *path.to_string_lossy());
    holder.end();
    assert!(parsed(&lock, "f")["locks"][0]["path_bytes"].is_null());
}
