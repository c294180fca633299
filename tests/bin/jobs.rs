//! Carries out requests in separate threads, so that a test can see a request wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use super::command;
use super::failure::{Failure, Outcome};
use super::protocol::{Reply, Request, Value};
use super::world::World;

pub(crate) struct Job {
    thread: JoinHandle<Reply>,
    stop: Arc<AtomicBool>,
}

impl Job {
    pub(crate) fn is_done(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends a `Repeat` after its current turn.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Starts a job and answers with the thread's id, or with 0 on a system without `/proc/thread-self`.
pub(crate) fn start(world: &Arc<World>, name: &str, request: &Request) -> Outcome {
    if world.things().jobs.contains_key(name) {
        return Err(Failure::of_peer(format_args!("there is a job `{name}` already")));
    }
    let (sender, receiver) = mpsc::channel();
    let stop = Arc::new(AtomicBool::new(false));
    let thread = {
        let (world, stop, request) = (Arc::clone(world), Arc::clone(&stop), request.clone());
        thread::Builder::new().spawn(move || {
            let _ = sender.send(thread_id());
            command::timed(|| command::run(&world, &request, &stop))
        })?
    };
    world.things().jobs.insert(name.into(), Job { thread, stop });
    Ok(Value::Number(receiver.recv().unwrap_or_default()))
}

/// Waits until the job has ended and returns its answer.
pub(crate) fn wait(world: &World, name: &str) -> Reply {
    let job =
        world.things().jobs.remove(name).ok_or_else(|| format!("there is no job `{name}`"))?;
    job.thread.join().map_err(|_| "the job panicked".to_string())?
}

fn thread_id() -> u64 {
    let link = std::fs::read_link("/proc/thread-self").unwrap_or_default();
    let name = link.file_name().and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or_default()
}
