//! Threads of one process and of two processes on one lock.

use std::time::Duration;

use super::crowd::{Cell, Crowds};
use super::results::Results;
use crate::bench::Result;
use crate::bench::args::Args;
use crate::bench::required::{Bound, Required};
use crate::bench::table::{Report, Table, count, ratio};
use crate::bench::ways::Way;

const WAYS: [Way; 4] = [Way::FlockStat, Way::FlockTimed, Way::LocketUntimed, Way::LocketTimed];
const SHORT: Duration = Duration::from_micros(5);
const NONE: Duration = Duration::ZERO;

/// The number of processes, and of threads in each.
const SIZES: [(usize, usize); 6] = [(1, 1), (1, 2), (1, 4), (1, 8), (1, 16), (2, 4)];

pub(crate) fn measure(
    crowds: &mut Crowds<'_>,
    args: &Args,
    report: &mut Report,
    required: &mut Required,
) -> Result {
    let (rounds, length) = (args.pick(9, 2), Duration::from_millis(args.pick(100, 20)));
    for hold in [NONE, SHORT] {
        let what = if hold.is_zero() { "empty holds".into() } else { format!("holds of {hold:?}") };
        let title = format!("Threads on one lock, {what}, re-locking immediately");
        let header = [
            "way",
            "threads",
            "turns/s",
            "to the limit",
            "CPU/turn",
            "max/min",
            "wait p50",
            "p99",
            "worst",
        ];
        let mut table = Table::new(title, &header);
        for (processes, threads) in SIZES {
            let cell = Cell { processes, threads, hold, think: NONE };
            let results = crowds.compare(&WAYS, cell, rounds, length)?;
            add_rows(&mut table, cell, &results);
            if (processes, threads) == (1, 8) {
                require(&what, &results, required);
            }
        }
        report.add(&table);
    }
    Ok(())
}

fn limit(results: &[(Way, Results)]) -> f64 {
    let limit = results.iter().find(|(way, _)| *way == Way::FlockStat);
    limit.map_or(f64::NAN, |(_, results)| results.per_second())
}

fn add_rows(table: &mut Table, cell: Cell, results: &[(Way, Results)]) {
    let threads = match cell.processes {
        1 => cell.threads.to_string(),
        processes => format!("{processes} x {}", cell.threads),
    };
    let limit = limit(results);
    for (way, results) in results {
        let [turns, cpu, most, p50, p99, worst] = results.figures();
        let to_limit = ratio(results.per_second() / limit);
        let (way, threads) = (way.label().into(), threads.clone());
        table.row([way, threads, turns, to_limit, cpu, most, p50, p99, worst]);
    }
}

fn require(what: &str, results: &[(Way, Results)], required: &mut Required) {
    let per_second = |way: Way| {
        let results = results.iter().find(|(its, _)| *its == way);
        results.map_or(f64::NAN, |(_, results)| results.per_second())
    };
    for (floor, way) in [(Way::FlockStat, Way::LocketUntimed), (Way::FlockTimed, Way::LocketTimed)]
    {
        let what = format!("8 threads, {what}, {}: turns/s against {}", way.label(), floor.label());
        let (limit, turns) = (per_second(floor), per_second(way));
        let figures = (count(limit), count(turns));
        // The threads share one ledger, and yield to each other, which costs turns.
        required.row(&what, figures, turns / limit, &Bound::AtLeast(0.75), ratio);
    }
}
