//! What the fuzz targets do with the bytes that they get. Each of them panics where the code under test is wrong.
//!
//! The programs in `fuzz_targets/` call one function each, and `tests/corpora.rs` calls all of them with the inputs that are kept
//! in `corpus/`.
#![allow(dead_code, reason = "each program uses one function")]

mod handles;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use locket::fuzzing;
use locket_command::fuzzing as command;
use locket_model::{History, judge};

pub use handles::{operations, threads};

pub type Target = fn(&[u8]);

/// The targets, each with its name: that of its program and of its directory in `corpus/`.
pub const TARGETS: [(&str, Target); 10] = [
    ("command_line", command_line),
    ("duration", duration),
    ("fdinfo", fdinfo),
    ("flock_numbers", flock_numbers),
    ("history", history),
    ("locks", locks),
    ("mountinfo", mountinfo),
    ("operations", operations),
    ("process_stat", process_stat),
    ("threads", threads),
];

/// Words that end with a NUL: command lines of `locket`, `locket run` and flock(1).
pub fn command_line(data: &[u8]) {
    let word = |word: &[u8]| OsString::from_vec(word.to_vec());
    command::command_line(&data.split(|&byte| byte == 0).map(word).collect::<Vec<_>>());
}

/// A duration of the command's options.
pub fn duration(data: &[u8]) {
    command::duration(&String::from_utf8_lossy(data));
}

/// A text of `/proc/PID/fdinfo/N`.
pub fn fdinfo(data: &[u8]) {
    fuzzing::fdinfo(&String::from_utf8_lossy(data));
}

/// The numbers of flock(1).
pub fn flock_numbers(data: &[u8]) {
    command::flock_numbers(data);
}

/// A log of many processes: no text causes a panic, and a log that was read and printed is read as the same calls.
pub fn history(data: &[u8]) {
    let Ok(history) = History::parse(&String::from_utf8_lossy(data)) else { return };
    let again = History::parse(&history.to_string()).expect("a printed history can be parsed");
    assert_eq!(again.calls, history.calls);
    let _verdict = judge(&history);
}

/// A text of `/proc/locks`.
pub fn locks(data: &[u8]) {
    fuzzing::locks(&String::from_utf8_lossy(data));
}

/// A text of `/proc/PID/mountinfo`.
pub fn mountinfo(data: &[u8]) {
    fuzzing::mountinfo(&String::from_utf8_lossy(data));
}

/// A text of `/proc/PID/stat`. The library and the command have a parser each: where both find something, it is the same.
pub fn process_stat(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (ours, theirs) = (fuzzing::process_stat(&text), command::process_stat(text.as_bytes()));
    if let (Some((state, start)), Some((letter, time))) = (ours, theirs) {
        assert!(state.starts_with(letter) && start == time, "{text}");
    }
}
