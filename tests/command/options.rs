//! - Every option, in both spellings and in those of flock(1).
//! - Of two options that exclude each other the last one counts, as in flock(1), where that makes sense.
//! - The `--` before the command is optional. What follows the command's name belongs to the command.

use crate::running::{LOCKET, Running, locket_run};
use crate::support::Scratch;

fn code(path: &std::path::Path, options: &[&str]) -> Option<i32> {
    let output = locket_run().args(options).arg(path).args(["--", "true"]).output();
    output.expect("it should run").status.code()
}

#[test]
fn shared() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for spelling in ["-s", "--shared"] {
        let _reader = Running::holder_with(&path, &[spelling]);
        assert_eq!(code(&path, &[spelling, "-n"]), Some(0));
        assert_eq!(code(&path, &["-n"]), Some(75));
        assert_eq!(code(&path, &["-sn"]), Some(0));
    }
}

#[test]
fn exclusive() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for spelling in [&["-x"][..], &["-e"], &["--exclusive"], &[]] {
        let _holder = Running::holder_with(&path, spelling);
        assert_eq!(code(&path, &["-s", "-n"]), Some(75), "{spelling:?}");
    }
    let _reader = Running::holder_with(&path, &["-s"]);
    for spelling in [&["-x"][..], &["-e"], &["--exclusive"], &[]] {
        assert_eq!(code(&path, &[spelling, &["-n"]].concat()), Some(75), "{spelling:?}");
    }
}

#[test]
fn the_last_of_shared_and_exclusive_counts() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _reader = Running::holder_with(&path, &["-x", "-s"]);
    assert_eq!(code(&path, &["-n", "-x", "-s"]), Some(0));
    assert_eq!(code(&path, &["-n", "-s", "-x"]), Some(75));
}

#[test]
fn nonblock() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _holder = Running::holder(&path);
    for spelling in ["-n", "--nonblock", "--nonblocking", "--nb"] {
        assert_eq!(code(&path, &[spelling]), Some(75), "{spelling}");
    }
}

#[test]
fn timeout() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let holder = Running::holder(&path);
    let spellings = [
        &["-w", "0.02"][..],
        &["-w.02"],
        &["-w", "20ms"],
        &["--timeout", "0.02s"],
        &["--timeout=20ms"],
        &["--wait", "0.02"],
        &["-w", "1h", "-w", "20ms"],
    ];
    for spelling in spellings {
        let refused = locket_run().args(spelling).arg(&path).arg("true").assert();
        let what = format!("cannot lock {} within 20ms:", path.display());
        holder.assert_names_holder(&refused.code(75), &what);
    }
}

#[test]
fn conflict_exit_code() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let _holder = Running::holder(&path);
    for (spelling, expected) in [
        (&["-E", "9"][..], 9),
        (&["-E9"], 9),
        (&["--conflict-exit-code", "0"], 0),
        (&["--conflict-exit-code=255"], 255),
    ] {
        assert_eq!(code(&path, &[&["-n"], spelling].concat()), Some(expected), "{spelling:?}");
        assert_eq!(code(&path, &[&["-w", "1ms"], spelling].concat()), Some(expected));
    }
}

#[test]
fn only_no_fork_replaces_locket_by_the_command() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for (spelling, stays) in
        [("-o", true), ("--close", true), ("-F", false), ("--no-fork", false), ("-x", true)]
    {
        let arguments =
            [spelling.as_ref(), path.as_os_str(), "-c".as_ref(), "echo $$ $PPID".as_ref()];
        let mut run = Running::locket(arguments);
        let line = run.line();
        let (own, parent) = line.split_once(' ').expect("two numbers");
        let locket = run.pid().to_string();
        assert_eq!(parent == locket, stays, "{spelling}");
        assert_eq!(own == locket, !stays, "{spelling}");
        assert_eq!(run.wait().code(), Some(0));
    }
}

#[test]
fn command() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for spelling in [&["-c", "echo a; exit 3"][..], &["--command", "echo a; exit 3"]] {
        locket_run().args(spelling).arg(&path).assert().code(3).stdout("a\n");
        locket_run().arg(&path).args(spelling).assert().code(3).stdout("a\n");
    }
    locket_run().arg("--command=echo a").arg(&path).assert().code(0).stdout("a\n");
}

#[test]
fn verbose_reports_the_steps_and_quiet_reports_nothing() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let text = |options: &[&str]| {
        let output = locket_run().args(options).arg(&path).arg("true").output();
        String::from_utf8(output.expect("it should run").stderr).expect("it should be UTF-8")
    };
    assert_eq!(text(&[]), "");
    assert_eq!(text(&["--quiet"]), "");
    assert_eq!(text(&["-q"]), "");
    let locked = text(&["--verbose"]);
    assert!(locked.starts_with(&format!("locket: locked {} after ", path.display())), "{locked}");
    assert_eq!(locked.lines().count(), 1);

    let holder = Running::holder(&path);
    assert_eq!(text(&["--quiet", "-n"]), "");
    assert_eq!(text(&["--quiet", "-w", "1ms"]), "");

    let mut waiter = Running::with_messages(&["--verbose"], &path);
    let said = waiter.line();
    assert!(said.starts_with("locket: waiting "), "{said}");
    assert!(said.contains(&format!(" for {}", path.display())), "{said}");
    holder.end();
    let said = waiter.line();
    assert!(said.starts_with(&format!("locket: locked {} after ", path.display())), "{said}");
    assert_eq!(waiter.wait().code(), Some(0));
}

#[test]
fn quiet_still_reports_errors() {
    let scratch = Scratch::new();
    let path = scratch.join("missing/x.lock");
    let output = locket_run().args(["--quiet"]).arg(path).arg("true").output();
    let text =
        String::from_utf8(output.expect("it should run").stderr).expect("it should be UTF-8");
    assert!(text.starts_with("locket: cannot create "), "{text}");
}

#[test]
fn errors_show_the_absolute_path() {
    let scratch = Scratch::new();
    let output =
        locket_run().current_dir(scratch.path()).args(["--verbose", "x.lock", "true"]).output();
    let text =
        String::from_utf8(output.expect("it should run").stderr).expect("it should be UTF-8");
    let path = scratch.path().canonicalize().expect("it should exist").join("x.lock");
    assert!(text.contains(&*path.to_string_lossy()), "{text}");
}

#[test]
fn options_after_the_command_are_the_commands() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    for before in [&["--"][..], &[]] {
        let run =
            locket_run().arg(&path).args(before).args(["echo", "-s", "--", "-n", "-w"]).assert();
        run.code(0).stdout("-s -- -n -w\n");
    }
    // Options are also allowed after the file.
    locket_run()
        .arg(&path)
        .args(["-n", "--verbose", "--", "echo", "-s", "--help"])
        .assert()
        .stdout("-s --help\n");
}

#[test]
fn help_and_version() {
    let mut help = assert_cmd::Command::new(LOCKET);
    let output = help.args(["run", "--help"]).output().expect("it should run");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("it should be UTF-8");
    for code in ["64", "66", "71", "75", "126", "127", "128 + N"] {
        assert!(text.contains(&format!(" {code}")), "{code} is not explained:\n{text}");
    }
    let expected = format!("locket {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [&["--version"][..], &["-V"], &["run", "--version"]] {
        let mut version = assert_cmd::Command::new(LOCKET);
        version.args(arguments).assert().code(0).stdout(expected.clone());
    }
}
