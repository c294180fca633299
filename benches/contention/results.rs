//! The sums of the workers' answers.

use std::time::Duration;

use super::crowd::Cell;
use crate::bench::stats::{Histogram, median};
use crate::bench::table::{count, time};
use crate::bench::ways::Way;
use crate::bench::{Result, sane};

/// One round of one way in one cell.
pub(crate) struct Round {
    length: Duration,
    /// The turns of each thread of each process.
    turns: Vec<u64>,
    cpu: u64,
    waits: Histogram,
    worst: u64,
}

impl Round {
    pub(crate) fn new(length: Duration) -> Self {
        Self { length, turns: Vec::new(), cpu: 0, waits: Histogram::default(), worst: 0 }
    }

    /// Adds an answer to `run`.
    pub(crate) fn add(&mut self, answer: &str) -> Result {
        for word in answer.split_whitespace() {
            match word.split_once('=') {
                Some(("cpu", value)) => self.cpu += value.parse::<u64>()?,
                Some(("worst", value)) => self.worst = self.worst.max(value.parse()?),
                Some(("turns", values)) => {
                    for value in values.split(',') {
                        self.turns.push(value.parse()?);
                    }
                }
                Some(("waits", values)) => self.waits.merge(&Histogram::parse(values)?),
                _ => return Err(format!("unknown word in an answer: {word}").into()),
            }
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss)]
    fn per_second(&self) -> f64 {
        self.turns.iter().sum::<u64>() as f64 / self.length.as_secs_f64()
    }

    #[allow(clippy::cast_precision_loss)]
    fn unfairness(&self) -> f64 {
        let (most, least) = (self.turns.iter().max(), self.turns.iter().min());
        most.map_or(0, |most| *most) as f64 / least.map_or(0, |least| *least) as f64
    }
}

/// All rounds of one way in one cell.
pub(crate) struct Results {
    cell: Cell,
    rounds: Vec<Round>,
}

impl Results {
    pub(crate) fn new(cell: Cell) -> Self {
        Self { cell, rounds: Vec::new() }
    }

    pub(crate) fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    /// Checks that each thread has answered and had the lock, and that each turn has its wait in the
    /// histogram. Turns after the end of the period are waits but not turns.
    pub(crate) fn check(&self, way: Way) -> Result {
        let Cell { processes, threads, .. } = self.cell;
        for round in &self.rounds {
            let turns: u64 = round.turns.iter().sum();
            let sound = round.turns.len() == processes * threads
                && round.waits.count() >= turns.max(round.turns.len() as u64)
                && round.cpu > 0;
            sane(sound, || {
                format!("{way:?}, {:?}: {:?} turns, {} ns", self.cell, round.turns, round.cpu)
            })?;
        }
        Ok(())
    }

    /// Returns the turns per second: the median of the rounds.
    pub(crate) fn per_second(&self) -> f64 {
        median(&self.rounds.iter().map(Round::per_second).collect::<Vec<_>>())
    }

    /// Returns the processor time of a turn without its hold. A hold in which another process runs uses
    /// less processor time than its length, so the difference can be negative: then it is 0.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn cpu_of_a_turn(&self) -> f64 {
        let cpu: u64 = self.rounds.iter().map(|round| round.cpu).sum();
        (cpu as f64 / self.waits().count() as f64 - self.cell.hold.as_nanos() as f64).max(0.0)
    }

    /// Returns the turns of each thread in the round of median unfairness. A sum over the rounds would hide
    /// that a different thread starves in each.
    pub(crate) fn turns(&self) -> &[u64] {
        let mut rounds: Vec<&Round> = self.rounds.iter().collect();
        rounds.sort_by(|a, b| a.unfairness().total_cmp(&b.unfairness()));
        rounds.get((rounds.len() - 1) / 2).map_or(&[], |round| round.turns.as_slice())
    }

    pub(crate) fn unfairness(&self) -> f64 {
        median(&self.rounds.iter().map(Round::unfairness).collect::<Vec<_>>())
    }

    pub(crate) fn waits(&self) -> Histogram {
        let mut waits = Histogram::default();
        for round in &self.rounds {
            waits.merge(&round.waits);
        }
        waits
    }

    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn worst_wait(&self) -> f64 {
        self.rounds.iter().map(|round| round.worst).max().unwrap_or(0) as f64
    }

    pub(crate) fn max_and_min(&self) -> String {
        let most = self.turns().iter().max().copied().unwrap_or(0);
        let least = self.turns().iter().min().copied().unwrap_or(0);
        format!("{most}/{least}")
    }

    /// Returns turns per second, processor time of a turn, max/min turns, and the p50, p99 and worst of the waits.
    pub(crate) fn figures(&self) -> [String; 6] {
        let waits = self.waits();
        [
            count(self.per_second()),
            time(self.cpu_of_a_turn()),
            self.max_and_min(),
            time(waits.quantile(0.5)),
            time(waits.quantile(0.99)),
            time(self.worst_wait()),
        ]
    }
}
