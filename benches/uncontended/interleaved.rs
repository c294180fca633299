//! All ways in turns, a short batch each, so that a slow moment of the machine affects all of them.

use std::path::Path;

use rand::seq::SliceRandom;
use tempfile::TempDir;

use super::peers::{self, FLOOR, FSLOCK, LOCKET, Turn};
use crate::bench::args::Args;
use crate::bench::processes::{Worker, lock_file_of};
use crate::bench::python::Python;
use crate::bench::required::{Bound, Required};
use crate::bench::stats::{median, quantile};
use crate::bench::table::{Report, Table, ratio, time};
use crate::bench::ways::Way;
use crate::bench::{Result, sane, sys};

/// A file system to measure on.
pub(crate) struct Place {
    name: &'static str,
    dir: TempDir,
}

/// Returns the file systems. The cost of a lock is the same on all of them, but that of a library's other calls is not.
pub(crate) fn places() -> Result<Vec<Place>> {
    let mut places =
        vec![Place { name: "the directory for temporary files", dir: TempDir::new()? }];
    if Path::new("/dev/shm").is_dir() {
        places.push(Place { name: "memory (/dev/shm)", dir: TempDir::new_in("/dev/shm")? });
    }
    Ok(places)
}

enum Subject {
    Here(Turn),
    Python(Worker),
    Missing(String),
}

impl Subject {
    /// Returns the nanoseconds of one acquire and release, on average over a batch.
    #[allow(clippy::cast_precision_loss)]
    fn batch(&mut self, size: u32) -> Result<Option<f64>> {
        match self {
            Self::Here(turn) => {
                let start = sys::now();
                (0..size).for_each(|_| turn());
                Ok(Some((sys::now() - start) as f64 / f64::from(size)))
            }
            Self::Python(worker) => Ok(Some(worker.ask(&format!("batch {size}"))?.parse()?)),
            Self::Missing(_) => Ok(None),
        }
    }
}

struct Column {
    name: &'static str,
    subject: Subject,
    batches: Vec<f64>,
}

pub(crate) fn measure(
    place: &Place,
    args: &Args,
    python: &Python,
    report: &mut Report,
    required: &mut Required,
) -> Result {
    let mut columns = columns(place.dir.path(), python)?;
    let mut order: Vec<usize> = (0..columns.len()).collect();
    let (rounds, size) = (args.pick(1_000, 20), args.pick(100, 20));
    for column in &mut columns {
        column.subject.batch(size)?; // Warm.
    }
    for _ in 0..rounds {
        order.shuffle(&mut rand::rng());
        for &column in &order {
            let column = &mut columns[column];
            column.batches.extend(column.subject.batch(size)?);
        }
    }
    report.add(&table(place, &columns, rounds)?);
    require(place, &columns, required);
    Ok(())
}

fn columns(dir: &Path, python: &Python) -> Result<Vec<Column>> {
    let here = peers::all(dir)?.into_iter().map(|peer| {
        let subject = peer.turn.map_or_else(|why| Subject::Missing(why.into()), Subject::Here);
        Column { name: peer.name, subject, batches: Vec::new() }
    });
    let mut columns: Vec<Column> = here.collect();
    for way in [Way::LocketPy, Way::Filelock] {
        let subject = match python.missing(way) {
            Some(why) => Subject::Missing(why.into()),
            None => Subject::Python(Worker::start(way, &lock_file_of(way, dir), python)?),
        };
        columns.push(Column { name: way.label(), subject, batches: Vec::new() });
    }
    Ok(columns)
}

fn median_of(columns: &[Column], name: &str) -> f64 {
    let column = columns.iter().find(|column| column.name == name);
    column.map_or(f64::NAN, |column| median(&column.batches))
}

fn table(place: &Place, columns: &[Column], rounds: usize) -> Result<Table> {
    let title = format!("Uncontended, in {}", place.name);
    let header = ["way", "p50", "p99", "to the floor", "to fslock", "batches"];
    let mut table = Table::new(title, &header);
    let (floor, fslock) = (median_of(columns, FLOOR), median_of(columns, FSLOCK));
    for Column { name, subject, batches } in columns {
        if let Subject::Missing(why) = subject {
            table.missing(name, why);
            continue;
        }
        let all_there = batches.len() == rounds && batches.iter().all(|&batch| batch > 0.0);
        sane(all_there, || format!("{name}: {batches:?}"))?;
        let (middle, p99) = (median(batches), quantile(batches, 0.99));
        let (to_floor, to_fslock) = (ratio(middle / floor), ratio(middle / fslock));
        let count = batches.len().to_string();
        table.row([(*name).into(), time(middle), time(p99), to_floor, to_fslock, count]);
    }
    Ok(table)
}

/// Compares the slowest of locket's ways with the floor, which makes the same system calls except the second `lseek`. The rest of
/// the difference is locket's state in memory.
fn require(place: &Place, columns: &[Column], required: &mut Required) {
    let slowest = LOCKET.map(|name| median_of(columns, name)).into_iter().fold(0.0, f64::max);
    let what = format!("locket against {FLOOR}, in {}", place.name);
    let floor = median_of(columns, FLOOR);
    required.row(&what, (time(floor), time(slowest)), slowest / floor, &Bound::AtMost(1.25), ratio);
}
