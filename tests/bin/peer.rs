//! A process that uses the lock on a test's commands. It reads one command a line from its input and writes one answer
//! a line to its output. `tests/README.md` describes the protocol.

mod clock;
mod command;
mod foreign;
#[cfg(unix)]
mod forked;
mod handle;
#[cfg(unix)]
mod inside;
mod jobs;
mod process;
mod refusal;
#[cfg(target_os = "linux")]
mod signals;
mod words;
mod world;

use std::io::{self, Write};
use std::process::exit;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

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

/// Answers commands until the end of the input, then exits.
fn serve(world: &Arc<World>) -> ! {
    let mut line = String::new();
    while matches!(io::stdin().read_line(&mut line), Ok(1..)) {
        // One write for each answer: several processes may write to one pipe, and their lines must not mix.
        let answer = command::answer(world, line.trim_end_matches(['\r', '\n'])) + "\n";
        if io::stdout().write_all(answer.as_bytes()).is_err() {
            break;
        }
        line.clear();
    }
    thread::sleep(Duration::from_millis(world.things().linger_ms));
    exit(0)
}
