//! A process that uses the lock on a test's requests. It reads one request a line from its input and writes one answer
//! a line to its output.

mod clock;
mod command;
mod failure;
mod foreign;
#[cfg(unix)]
mod forked;
#[cfg(unix)]
mod inside;
mod jobs;
mod process;
#[path = "../support/protocol.rs"]
mod protocol;
#[cfg(target_os = "linux")]
mod signals;
mod world;

use std::io::{self, Write};
use std::process::exit;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use protocol::Reply;
use world::World;

fn main() {
    #[cfg(target_os = "linux")]
    if std::env::args().nth(1).is_some_and(|argument| argument == "signals") {
        signals::tell();
    }
    #[cfg(unix)]
    if let [_, verb, time] = &std::env::args().collect::<Vec<_>>()[..] {
        if verb == "inside" {
            inside::stay(time);
        }
    }
    serve(&Arc::new(World::default()))
}

/// Answers requests until the end of the input, then exits.
fn serve(world: &Arc<World>) -> ! {
    let mut line = String::new();
    while matches!(io::stdin().read_line(&mut line), Ok(1..)) {
        // One write for each answer: several processes may write to one pipe, and their lines must not mix.
        let answer: Reply = match serde_json::from_str(&line) {
            Ok(request) => command::answer(world, &request),
            Err(error) => Err(error.to_string()),
        };
        let written = serde_json::to_string(&answer).map_err(io::Error::from);
        if written.and_then(|text| io::stdout().write_all((text + "\n").as_bytes())).is_err() {
            break;
        }
        line.clear();
    }
    thread::sleep(Duration::from_millis(world.things().linger_ms));
    exit(0)
}
