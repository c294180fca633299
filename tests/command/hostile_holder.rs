//! L2, L3: a holder that cannot be inspected delays nothing.
//!
//! A holder can make a read of its `/proc/PID/cmdline` block forever, with a file system that does not answer. And a file
//! system that does not answer delays only queries about its own files.

use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::lock_file::{LockFile, answer, said};
use crate::support::prelude::*;

/// Mounts a file system that can stop answering.
fn mount_silent(check: &str, lock: &LockFile) -> Option<SilentFs> {
    if !is_root() {
        skip(check, "root: no other user may mount a file system here");
        return None;
    }
    SilentFs::mount(check, lock.beside("silent").into())
}

/// Runs `locket`, which must end. Returns both outputs.
#[track_caller]
fn both(lock: &LockFile, arguments: &str, code: i32) -> String {
    let run = lock.sh(&format!("$L {arguments}")).code(code);
    answer(&run) + &said(&run)
}

#[test]
fn l3_a_holder_with_an_unreadable_command_line_delays_nothing() {
    let lock = LockFile::new();
    let check = "l3_a_holder_with_an_unreadable_command_line_delays_nothing";
    let Some(silent) = mount_silent(check, &lock) else { return };
    let holder = Unreadable::holding(lock.as_ref(), &silent);
    // The check itself: a read of the command line blocks.
    let mut reader = Command::new("cat");
    reader.arg(format!("/proc/{}/cmdline", holder.pid())).stdout(Stdio::null());
    let mut reader = reader.stderr(Stdio::null()).spawn().expect("cat should start");
    thread::sleep(Duration::from_millis(500));
    assert!(reader.try_wait().expect("it is a child").is_none(), "it should not be readable");

    let pid = format!("pid {} ", holder.pid());
    for arguments in
        ["run -n f true", "run -w 0.2 f true", "run --verbose -w 1 f true", "wait -w 0.2 f"]
    {
        let said = both(&lock, arguments, 75);
        assert!(said.contains(&pid), "{arguments}: {said}");
    }
    assert_eq!(both(&lock, "run -q -w 0.2 f true", 75), "");
    let table = both(&lock, "status f", 0);
    assert!(table.contains(&format!(" {} ", holder.pid())), "{table}");
    let json: Value = serde_json::from_str(&both(&lock, "status --json f", 0)).expect("it is JSON");
    let held = &json["locks"][0]["held"][0];
    let of_holder = (held["pid"].as_i64(), held["command"].as_array());
    assert_eq!(of_holder, (Some(holder.pid().into()), None));
    let all = both(&lock, "status --all", 0);
    assert!(all.contains(&*lock), "{all}");

    // The command lines of other holders are read nevertheless.
    let mut peer = Peer::on(lock.beside("other"));
    peer.acquire("a");
    // A long one is truncated.
    let peers: String = env!("CARGO_BIN_EXE_locket-peer").chars().take(30).collect();
    let table = both(&lock, "status f other", 0);
    assert!(table.contains(&peers), "{table}");
    drop(holder);
    drop(silent);
    reader.wait().expect("it is a child");
}

#[test]
fn l3_a_file_system_that_does_not_answer_delays_no_other_file() {
    let lock = LockFile::new();
    let check = "l3_a_file_system_that_does_not_answer_delays_no_other_file";
    let Some(silent) = mount_silent(check, &lock) else { return };
    let file = silent.file().display().to_string();
    let mut holder = Peer::on(&*lock);
    holder.open_foreign("f", silent.file());
    holder.lock_foreign("f", Mode::Exclusive);
    holder.acquire("a");
    silent.fall_silent();
    let all = both(&lock, "status --all", 0);
    for file in [&lock, &file[..]] {
        assert!(all.contains(&format!("{file}: ")), "{all}");
    }
    let table = both(&lock, "status f", 0);
    assert!(table.contains(&format!(" {} ", holder.pid())), "{table}");
    let refused = both(&lock, "run -w 0.2 f true", 75);
    assert!(refused.contains(&format!("pid {} ", holder.pid())), "{refused}");
    // A query about its own file does not wait forever, and the other files are reported.
    let output = both(&lock, &format!("status {file} f"), 66);
    assert!(output.contains(": no answer in ") && output.contains("f: "), "{output}");
    // Before the holder, which could not close the file.
    drop(silent);
}
