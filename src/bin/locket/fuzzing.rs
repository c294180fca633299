//! The command's parsers for the fuzz targets in `fuzz/`, which alone compile this (`--cfg fuzzing`), as a library.

use std::ffi::OsString;
use std::time::Duration;

use clap::Parser as _;

use crate::args::{Args, RunOptions};
use crate::duration::{self, HumanDuration};
use crate::flock;
use crate::processes::parse_stat;

/// A text as a duration. What is parsed and printed in milliseconds is parsed as the same.
pub fn duration(text: &str) {
    let Ok(time) = duration::parse(text) else { return };
    let _ = HumanDuration(time).to_string();
    // Below this a floating-point number of seconds has all milliseconds.
    if time < Duration::from_secs(1 << 32) {
        let whole = Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or_default());
        let again = duration::parse(&format!("{}ms", whole.as_millis()));
        let difference = again.map(|again| again.abs_diff(whole));
        assert!(difference.is_ok_and(|it| it < Duration::from_micros(1)), "{whole:?}");
    }
}

/// Bytes as the numbers of flock(1).
pub fn flock_numbers(text: &[u8]) {
    flock::fuzzing::numbers(text);
}

/// Words as the command lines of `locket`, `locket run` and flock(1).
pub fn command_line(words: &[OsString]) {
    flock::fuzzing::command_line(words);
    for error in [
        Args::try_parse_from([OsString::from("locket")].iter().chain(words)).err(),
        RunOptions::parse_words(words).err(),
    ] {
        // A message is printed for people.
        let _ = error.map(|error| error.render().to_string());
    }
}

/// Returns the state and the time of the start in `/proc/PID/stat`.
#[must_use]
pub fn process_stat(text: &[u8]) -> Option<(char, u64)> {
    parse_stat(text).map(|stat| (stat.state, stat.start))
}
