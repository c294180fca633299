//! A command that tells when it begins and when it ends, for the history of a lock that it runs under.

use std::io::{self, Write};
use std::process::{exit, id};
use std::thread;
use std::time::Duration;

use super::clock;

/// Says `in PID TIME` at once and `out TIME` after so many microseconds, each in one write, and ends.
pub(crate) fn stay(microseconds: &str) -> ! {
    let begun = clock::now();
    say(&format!("in {} {begun}\n", id()));
    let time = microseconds.parse().map(Duration::from_micros).unwrap_or_default();
    thread::sleep(time);
    say(&format!("out {}\n", clock::now()));
    exit(0)
}

fn say(line: &str) {
    // A command that cannot tell has no place in a history.
    if io::stdout().write_all(line.as_bytes()).is_err() {
        exit(libc::EXIT_FAILURE);
    }
}
