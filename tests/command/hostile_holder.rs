//! L2, L3: a holder that cannot be inspected delays nothing.
//!
//! A holder can make a read of its `/proc/PID/cmdline` block forever, with a file system that does not answer. And a file
//! system that does not answer delays only queries about its own files.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::running::LOCKET;
use crate::support::prelude::*;

/// Runs `locket`, which must end. Returns both outputs and the exit code.
#[track_caller]
fn said(arguments: &[&str], path: Option<&Path>) -> (String, Option<i32>) {
    let mut command = assert_cmd::Command::new(LOCKET);
    command.args(arguments).args(path).timeout(Duration::from_secs(60));
    if arguments[0] == "run" {
        command.arg("true");
    }
    let output = command.output().unwrap_or_else(|error| panic!("{arguments:?}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&said).into_owned(), output.status.code())
}

fn ready(check: &str) -> bool {
    if !is_root() {
        skip(check, "root: no other user may mount a file system here");
    }
    is_root()
}

#[test]
fn l3_a_holder_with_an_unreadable_command_line_delays_nothing() {
    let check = "l3_a_holder_with_an_unreadable_command_line_delays_nothing";
    if !ready(check) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let Some(silent) = SilentFs::mount(check, scratch.join("silent")) else { return };
    let holder = Unreadable::holding(&path, &silent);
    // The check itself: a read of the command line blocks.
    let (sender, receiver) = mpsc::channel();
    let mut reader = Command::new("cat")
        .arg(format!("/proc/{}/cmdline", holder.pid()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("cat should start");
    let waiting = thread::spawn(move || {
        let status = reader.wait();
        let _ = sender.send(());
        status
    });
    assert!(
        receiver.recv_timeout(Duration::from_millis(500)).is_err(),
        "it should not be readable"
    );

    let pid = format!("pid {} ", holder.pid());
    for (arguments, code) in [
        (&["run", "-n"][..], 75),
        (&["run", "-w", "0.2"], 75),
        (&["run", "--verbose", "-w", "1"], 75),
        (&["run", "-q", "-w", "0.2"], 75),
        (&["wait", "-w", "0.2"], 75),
    ] {
        let (said, ended) = said(arguments, Some(&path));
        assert_eq!(ended, Some(code), "{arguments:?}: {said}");
        assert!(said.contains(&pid) || arguments.contains(&"-q"), "{arguments:?}: {said}");
    }
    let (table, ended) = said(&["status"], Some(&path));
    assert_eq!(ended, Some(0));
    assert!(table.contains(&format!(" {} ", holder.pid())), "{table}");
    let (json, _) = said(&["status", "--json"], Some(&path));
    let json: Value = serde_json::from_str(&json).expect("it should be JSON");
    let held = &json["locks"][0]["held"][0];
    assert_eq!(
        (held["pid"].as_i64(), held["command"].as_array()),
        (Some(holder.pid().into()), None)
    );
    let (all, _) = said(&["status", "--all"], None);
    assert!(all.contains(&path.display().to_string()), "{all}");

    // The command lines of other holders are read nevertheless.
    let other = scratch.join("other.lock");
    let mut peer = Peer::on(&other);
    peer.acquire("a");
    let (both, _) = said(&["status", &path.display().to_string()], Some(&other));
    // A long one is truncated.
    let peers: String = env!("CARGO_BIN_EXE_locket-peer").chars().take(30).collect();
    assert!(both.contains(&peers), "{both}");
    drop(holder);
    drop(silent);
    drop(waiting.join());
}

#[test]
fn l3_a_file_system_that_does_not_answer_delays_no_other_file() {
    let check = "l3_a_file_system_that_does_not_answer_delays_no_other_file";
    if !ready(check) {
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.lock_path();
    let Some(silent) = SilentFs::mount(check, scratch.join("silent")) else { return };
    let mut holder = Peer::on(&path);
    holder.open_foreign("f", silent.file());
    holder.lock_foreign("f", Mode::Exclusive);
    holder.acquire("a");
    silent.fall_silent();
    let (all, ended) = said(&["status", "--all"], None);
    assert_eq!(ended, Some(0), "{all}");
    for file in [&path, &silent.file()] {
        assert!(all.contains(&format!("{}: ", file.display())), "{all}");
    }
    let (table, ended) = said(&["status"], Some(&path));
    assert!(ended == Some(0) && table.contains(&format!(" {} ", holder.pid())), "{table}");
    let (refused, ended) = said(&["run", "-w", "0.2"], Some(&path));
    assert!(ended == Some(75) && refused.contains(&format!("pid {} ", holder.pid())), "{refused}");

    // A query about its own file does not wait forever, and the other files are reported.
    let (output, ended) = said(&["status", &silent.file().display().to_string()], Some(&path));
    assert!(ended == Some(66) && output.contains(": no answer in "), "{output}");
    assert!(output.contains(&format!("{}: ", path.display())), "{output}");
    drop(silent);
}
