//! The overshoot of a timeout.

use std::thread;
use std::time::Duration;

use rand::seq::SliceRandom;

use crate::Bench;
use crate::bench::processes::Worker;
use crate::bench::required::{Bound, Required};
use crate::bench::stats::{median, quantile};
use crate::bench::sys::{self, Raw};
use crate::bench::table::{Report, Table, ratio, time};
use crate::bench::ways::Way;
use crate::bench::{Result, sane};

const TIMEOUTS: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(100)];
const WAYS: [Way; 4] = [Way::LocketTimed, Way::Poller, Way::LocketPy, Way::Filelock];
const LIMIT: &str = "a sleep (the limit)";

enum Subject {
    /// Sleeps, without a lock.
    Sleep,
    Waiter(Way, Worker),
}

struct Cell {
    subject: usize,
    timeout: Duration,
    /// In nanoseconds.
    overshoots: Vec<f64>,
}

impl Subject {
    fn way(&self) -> Option<Way> {
        match self {
            Self::Sleep => None,
            Self::Waiter(way, _) => Some(*way),
        }
    }

    /// Returns whether the subject is measured in this round. Only the required figure is measured often, since these
    /// rounds are slow.
    fn is_due(&self, round: usize) -> bool {
        let every = match self.way() {
            Some(Way::LocketTimed) => 1,
            None => 4,
            Some(_) => 12,
        };
        round % every == 0
    }

    #[allow(clippy::cast_precision_loss)]
    fn overshoot(&mut self, timeout: Duration) -> Result<f64> {
        let took = match self {
            Self::Sleep => {
                let start = sys::now();
                thread::sleep(timeout);
                sys::now() - start
            }
            Self::Waiter(_, worker) => {
                worker.ask(&format!("expire {}", timeout.as_nanos()))?;
                let [took, ..] = worker.numbers::<3>()?;
                took
            }
        };
        Ok(took as f64 - timeout.as_nanos() as f64)
    }
}

pub(crate) fn measure(bench: Bench<'_>, report: &mut Report, required: &mut Required) -> Result {
    let present = |way: &Way| bench.python.missing(*way).is_none();
    let (mut subjects, mut holds) = (vec![Subject::Sleep], Vec::new());
    for way in WAYS.into_iter().filter(present) {
        let holder = Raw::open(&bench.lock_file_of(way))?;
        holder.lock()?;
        holds.push(holder);
        subjects.push(Subject::Waiter(way, bench.start(way)?));
    }
    let cell = |subject, timeout| Cell { subject, timeout, overshoots: Vec::new() };
    let mut cells: Vec<Cell> = (0..subjects.len())
        .flat_map(|subject| TIMEOUTS.map(|timeout| cell(subject, timeout)))
        .collect();
    for subject in &mut subjects {
        subject.overshoot(TIMEOUTS[0])?; // Warm.
    }
    let rounds = bench.args.pick(360, 3);
    for round in 0..rounds {
        cells.shuffle(&mut rand::rng());
        for cell in &mut cells {
            let subject = &mut subjects[cell.subject];
            if subject.is_due(round) {
                cell.overshoots.push(subject.overshoot(cell.timeout)?);
            }
        }
    }
    cells.sort_by_key(|cell| (cell.timeout, cell.subject));
    let table = table(bench, &cells, &subjects, rounds)?;
    report.add(&table);
    require(&cells, &subjects, required);
    Ok(())
}

fn table(bench: Bench<'_>, cells: &[Cell], subjects: &[Subject], rounds: usize) -> Result<Table> {
    let header = ["waiter", "timeout", "p50", "p99", "earliest", "samples"];
    let mut table = Table::new("Overshoot of a timeout", &header);
    for Cell { subject, timeout, overshoots } in cells {
        let subject = &subjects[*subject];
        let label = subject.way().map_or(LIMIT, Way::label);
        let earliest = quantile(overshoots, 0.0);
        let due = (0..rounds).filter(|&round| subject.is_due(round)).count();
        sane(overshoots.len() == due, || {
            format!("{label}: {} of {due} samples", overshoots.len())
        })?;
        // A timeout that is never early is locket's law (L3). For the others the earliest is only printed.
        let lawful = subject.way() != Some(Way::LocketTimed) || earliest >= 0.0;
        sane(lawful, || format!("{label}: {} before its deadline", time(-earliest)))?;
        let (p50, p99) = (median(overshoots), quantile(overshoots, 0.99));
        let (timeout, count) = (format!("{timeout:?}"), overshoots.len().to_string());
        table.row([label.into(), timeout, time(p50), time(p99), time(earliest), count]);
    }
    for way in WAYS {
        if let Some(why) = bench.python.missing(way) {
            table.missing(way.label(), why);
        }
    }
    Ok(table)
}

fn require(cells: &[Cell], subjects: &[Subject], required: &mut Required) {
    for timeout in TIMEOUTS {
        let p99 = |way: Option<Way>| {
            let is_it =
                |cell: &&Cell| cell.timeout == timeout && subjects[cell.subject].way() == way;
            cells.iter().find(is_it).map_or(f64::NAN, |cell| quantile(&cell.overshoots, 0.99))
        };
        let (limit, locket) = (p99(None), p99(Some(Way::LocketTimed)));
        let what = format!("overshoot of a deadline of {timeout:?}, p99, against a sleep's");
        // A timer of the kernel wakes both up. The p99 of a few hundred samples depends on a few late ones.
        let figures = (time(limit), time(locket));
        required.row(&what, figures, locket / limit, &Bound::AtMost(4.0), ratio);
    }
}
