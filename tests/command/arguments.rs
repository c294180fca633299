//! - Paths, arguments and strings are bytes, and reach the command unchanged.
//! - So do the streams, the environment and the directory. A broken pipe ends the command.
//! - `-c` is run by `$SHELL`, or by `/bin/sh` if that is unset.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::lock_file::{LockFile, locket_run, make_script, run};
use crate::running::holder;

#[test]
fn arguments_reach_the_command_unchanged() {
    let lock = LockFile::new();
    let arguments: &[u8] =
        b"\0 \0a  b\0*\0$HOME\0`id`\0\"'\\\0-n\0--\0\n\0\xff\xfe\0\x01\x7f\0\xc3\xa4\xe2\x98\x83";
    let words = arguments.split(|&it| it == 0).map(OsStr::from_bytes);
    let command = ["--", "printf", r"%s\0"].map(OsStr::new).into_iter().chain(words);
    for options in [&[][..], &["-o"]] {
        let run = locket_run(options, &lock, command.clone()).assert().code(0);
        run.stdout([arguments, b"\0"].concat());
    }
}

#[test]
fn a_lock_file_name_may_have_any_bytes() {
    let lock = LockFile::new();
    for name in [&b"\xff\xfe.lock"[..], b" ", b"-", b"a\nb", b"*"] {
        let path = lock.directory().join(OsStr::from_bytes(name));
        let _holder = holder(&[], &path);
        assert!(path.exists());
        run(&["-n"], &path, &["true"]).code(75);
    }
    // A name that looks like an option is allowed too.
    lock.locket(&["run", "--", "-n", "true"]).code(0);
    assert!(lock.directory().join("-n").exists());
}

#[test]
fn a_string_is_run_by_the_users_shell() {
    let lock = LockFile::new();
    let shell = lock.beside("shell");
    make_script(&shell, "#!/bin/sh\nprintf '<%s>' \"$@\"\n");
    let string = OsStr::from_bytes(b"a  'b' \xff; c");
    for options in [&[][..], &["-o"]] {
        let mut run = locket_run(options, &lock, ["-c".as_ref(), string]);
        run.env("SHELL", &shell).assert().code(0).stdout(&b"<-c><a  'b' \xff; c>"[..]);
    }
    let tell = || locket_run(&[], &lock, ["-c", "echo $0"]);
    tell().env_remove("SHELL").assert().stdout("/bin/sh\n");
    tell().env("SHELL", "").assert().stdout("/bin/sh\n");
    tell().env("SHELL", "/no/such").assert().code(127);
}

#[test]
fn streams_pass_through() {
    let lock = LockFile::new();
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    for options in [&[][..], &["-o"], &["--quiet"]] {
        let mut run = locket_run(options, &lock, ["--", "sh", "-c", "cat; echo oops >&2"]);
        let run = run.write_stdin(bytes.clone()).assert().code(0);
        run.stdout(bytes.clone()).stderr("oops\n");
    }
}

#[test]
fn environment_and_directory_pass_through() {
    let lock = LockFile::new();
    let output = |launcher: &str| {
        let script = format!("exec {launcher} sh -c 'pwd; env -0 | sort -z'");
        let mut command = lock.command("sh", &["-c", &script]);
        command.env("LOCKET_BYTES", OsStr::from_bytes(b"\xff =\n")).env("LOCKET_NONE", "");
        command.output().expect("it should run").stdout
    };
    let plain = output("env");
    let bytes = &b"LOCKET_BYTES=\xff =\n\0"[..];
    assert!(plain.windows(bytes.len()).any(|it| it == bytes));
    for launcher in ["$L run f", "$L run -o f"] {
        assert!(output(launcher) == plain, "{launcher}");
    }
}

#[test]
fn a_broken_pipe_ends_the_command_silently() {
    needs!("bash --version");
    let lock = LockFile::new();
    for options in ["", "-o"] {
        lock.sh(&format!("$L run {options} f sh -c 'yes | head -1'")).stdout("y\n").stderr("");
        // No process reads what the command writes.
        let script = format!("$L run {options} f yes | true; echo ${{PIPESTATUS[0]}}");
        let run = lock.command("bash", &["-c", &script]).assert();
        run.stdout(format!("{}\n", 128 + 13)).stderr("");
    }
}
