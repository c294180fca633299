//! A command that prints when it begins and when it ends. Tests build the history of a lock from it.

use std::io::{self, Write};
use std::process::{exit, id};
use std::thread;
use std::time::Duration;

use super::clock;

/// Prints `in PID TIME` immediately and `out TIME` after that many microseconds, each in one write, and exits.
pub(crate) fn stay(microseconds: &str) -> ! {
    let begun = clock::now();
    say(&format!("in {} {begun}\n", id()));
    let time = microseconds.parse().map(Duration::from_micros).unwrap_or_default();
    thread::sleep(time);
    say(&format!("out {}\n", clock::now()));
    exit(0)
}

fn say(line: &str) {
    // A command that cannot print its times must not look successful: the history would lack it.
    if io::stdout().write_all(line.as_bytes()).is_err() {
        exit(libc::EXIT_FAILURE);
    }
}
