//! Worker processes that use one lock in one way, and start at the same instant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::seq::SliceRandom;

use super::results::{Results, Round};
use crate::bench::processes::{Worker, lock_file_of};
use crate::bench::python::Python;
use crate::bench::ways::Way;
use crate::bench::{Result, sys};

/// The number of users of the lock, and how they use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) processes: usize,
    /// The threads of each process.
    pub(crate) threads: usize,
    pub(crate) hold: Duration,
    /// The average time between a release and the next acquisition.
    pub(crate) think: Duration,
}

/// The workers of each way, as many as have been needed so far. They sleep while other ways are
/// measured, since a Python takes longer to start than to measure.
pub(crate) struct Crowds<'a> {
    dir: &'a Path,
    pub(crate) python: &'a Python,
    started: Vec<Crowd>,
}

struct Crowd {
    way: Way,
    path: PathBuf,
    workers: Vec<Worker>,
}

impl<'a> Crowds<'a> {
    pub(crate) fn new(dir: &'a Path, python: &'a Python) -> Self {
        Self { dir, python, started: Vec::new() }
    }

    /// Measures these ways in turns, in a new order each round.
    pub(crate) fn compare(
        &mut self,
        ways: &[Way],
        cell: Cell,
        rounds: usize,
        length: Duration,
    ) -> Result<Vec<(Way, Results)>> {
        let present = |way: &Way| self.python.missing(*way).is_none();
        let mut results: Vec<(Way, Results)> =
            ways.iter().copied().filter(present).map(|way| (way, Results::new(cell))).collect();
        for _ in 0..rounds {
            let mut order: Vec<usize> = (0..results.len()).collect();
            order.shuffle(&mut rand::rng());
            for at in order {
                let (way, results) = &mut results[at];
                let round = self.crowd(*way, cell.processes)?.run(cell, length)?;
                results.add(round);
            }
        }
        for (way, results) in &results {
            results.check(*way)?;
        }
        Ok(results)
    }

    fn crowd(&mut self, way: Way, size: usize) -> Result<&mut Crowd> {
        let at = self.started.iter().position(|crowd| crowd.way == way);
        let at = at.unwrap_or_else(|| {
            let path = lock_file_of(way, self.dir);
            self.started.push(Crowd { way, path, workers: Vec::new() });
            self.started.len() - 1
        });
        let crowd = &mut self.started[at];
        let size = workers_of(way, size);
        let started = crowd.workers.len();
        for _ in started..size {
            crowd.workers.push(Worker::start(way, &crowd.path, self.python)?);
        }
        // Each new worker takes turns for a millisecond, as a warm-up.
        for worker in &mut crowd.workers[started..] {
            let now = sys::now();
            worker.ask(&format!("{} {now} {} 0 0 1", command_of(way), now + 1_000_000))?;
        }
        Ok(crowd)
    }
}

/// Returns the number of workers. With an inherited handle it is one: its forked children take the turns.
fn workers_of(way: Way, processes: usize) -> usize {
    if way == Way::LocketInherited { 1 } else { processes }
}

fn command_of(way: Way) -> &'static str {
    if way == Way::LocketInherited { "fork" } else { "run" }
}

impl Crowd {
    fn run(&mut self, cell: Cell, length: Duration) -> Result<Round> {
        let workers = &mut self.workers[..workers_of(self.way, cell.processes)];
        // All workers must have received the command when the period begins.
        let lead =
            Duration::from_millis(5) + Duration::from_micros(300) * u32::try_from(cell.processes)?;
        let start = sys::now() + nanoseconds(lead);
        let end = start + nanoseconds(length);
        let (hold, think) = (nanoseconds(cell.hold), nanoseconds(cell.think));
        let command = command_of(self.way);
        // The number of threads, or of children.
        let each = cell.processes * cell.threads / workers.len();
        for worker in workers.iter_mut() {
            worker.send(&format!("{command} {start} {end} {hold} {think} {each}"))?;
        }
        let mut round = Round::new(length);
        for worker in workers {
            round.add(&worker.receive()?)?;
        }
        Ok(round)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "a benchmark does not run for centuries")]
fn nanoseconds(duration: Duration) -> u64 {
    duration.as_nanos() as u64
}
