//! - Paths, arguments and strings are bytes, and reach the command unchanged.
//! - `-c` is run by `$SHELL`, or by `/bin/sh` if that is unset.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::running::{Running, locket_run, make_script};
use crate::support::Scratch;

#[test]
fn arguments_reach_the_command_unchanged() {
    let scratch = Scratch::new();
    let arguments = [
        &b""[..],
        b" ",
        b"a  b",
        b"*",
        b"$HOME",
        b"`id`",
        b"\"'\\",
        b"-n",
        b"--",
        b"\n",
        b"\xff\xfe",
        b"\x01\x7f",
        "ä☃".as_bytes(),
    ];
    let expected: Vec<u8> = arguments.iter().flat_map(|it| [it, &b"\0"[..]].concat()).collect();
    for options in [&[][..], &["-o"]] {
        let run = locket_run()
            .args(options)
            .arg(scratch.lock_path())
            .args(["--", "printf", r"%s\0"])
            .args(arguments.map(OsStr::from_bytes))
            .assert();
        run.code(0).stdout(expected.clone());
    }
}

#[test]
fn a_lock_file_name_may_have_any_bytes() {
    let scratch = Scratch::new();
    for name in [&b"\xff\xfe.lock"[..], b" ", b"-", b"a\nb", b"*"] {
        let path = scratch.path().join(OsStr::from_bytes(name));
        let _holder = Running::holder(&path);
        assert!(path.exists());
        locket_run().arg("-n").arg(&path).arg("true").assert().code(75);
    }
    // A name that looks like an option is allowed too.
    let mut run = locket_run();
    run.current_dir(scratch.path()).args(["--", "-n", "true"]).assert().code(0);
    assert!(scratch.join("-n").exists());
}

#[test]
fn a_string_is_run_by_the_users_shell() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let shell = scratch.join("shell");
    make_script(&shell, "#!/bin/sh\nprintf '<%s>' \"$@\"\n");
    let string = OsStr::from_bytes(b"a  'b' \xff; c");
    for options in [&[][..], &["-o"]] {
        let mut run = locket_run();
        run.env("SHELL", &shell).args(options).arg(&path).arg("-c").arg(string);
        run.assert().code(0).stdout(&b"<-c><a  'b' \xff; c>"[..]);
    }
}

#[test]
fn a_string_is_run_by_bin_sh_if_shell_is_unset() {
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let tell = "echo $0";
    locket_run().env_remove("SHELL").arg(&path).args(["-c", tell]).assert().stdout("/bin/sh\n");
    locket_run().env("SHELL", "").arg(&path).args(["-c", tell]).assert().stdout("/bin/sh\n");
    locket_run().env("SHELL", "/no/such").arg(&path).args(["-c", tell]).assert().code(127);
}
