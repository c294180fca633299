//! Runs commands in separate threads, so that a test can see a command wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use super::command;
use super::refusal::{Refusal, Reply};
use super::world::{World, nothing};

pub(crate) struct Job {
    thread: JoinHandle<String>,
    stop: Arc<AtomicBool>,
}

/// Starts a job and answers with the thread's id, or with nothing on a system without `/proc/thread-self`.
pub(crate) fn start(world: &Arc<World>, name: &str, words: &[&str]) -> Reply {
    if world.things().jobs.contains_key(name) {
        return Err(Refusal::usage(format_args!("there is a job `{name}` already")));
    }
    let (sender, receiver) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let thread = {
        let (world, stop) = (Arc::clone(world), Arc::clone(&stop));
        let words: Vec<String> = words.iter().map(|&word| word.into()).collect();
        thread::Builder::new().spawn(move || {
            let _ = sender.send(thread_id());
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            command::timed(|| command::run(&world, &words, &stop))
        })?
    };
    world.things().jobs.insert(name.into(), Job { thread, stop });
    Ok(receiver.recv().unwrap_or_default())
}

/// Waits until the job has ended and returns its answer.
pub(crate) fn wait(world: &World, name: &str) -> Result<String, Refusal> {
    let job = world.things().jobs.remove(name).ok_or_else(|| nothing("job", name))?;
    job.thread.join().map_err(|_| Refusal::usage("the job panicked"))
}

pub(crate) fn poll(world: &World, name: &str) -> Reply {
    let things = world.things();
    let job = things.jobs.get(name).ok_or_else(|| nothing("job", name))?;
    Ok(if job.thread.is_finished() { "done" } else { "running" }.into())
}

/// Ends a `repeat` after its current turn.
pub(crate) fn stop(world: &World, name: &str) -> Reply {
    let things = world.things();
    let job = things.jobs.get(name).ok_or_else(|| nothing("job", name))?;
    job.stop.store(true, Ordering::Relaxed);
    Ok(String::new())
}

fn thread_id() -> String {
    let link = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    link.file_name().unwrap_or_default().to_string_lossy().into()
}
