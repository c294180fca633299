//! 2, 8 and 64 processes.

use std::time::Duration;

use super::crowd::{Cell, Crowds};
use super::results::Results;
use crate::bench::Result;
use crate::bench::args::Args;
use crate::bench::plot::{self, Area};
use crate::bench::required::{Bound, Required};
use crate::bench::table::{Report, Table, count, ratio, time};
use crate::bench::ways::Way;

const WAYS: [Way; 8] = [
    Way::Flock,
    Way::FlockStat,
    Way::FlockTimed,
    Way::LocketUntimed,
    Way::LocketTimed,
    Way::Poller,
    Way::LocketPy,
    Way::Filelock,
];

/// The bound of the longest wait of 8 processes with holds of 1 ms, in nanoseconds.
const MAX_WAIT: f64 = 60e6;

const SHORT: Duration = Duration::from_micros(5);
const LONG: Duration = Duration::from_millis(1);
const NONE: Duration = Duration::ZERO;

/// Returns the average time between two turns, in the cells that have such a time.
fn think(hold: Duration) -> Duration {
    if hold == SHORT { LONG } else { 10 * LONG }
}

fn cells() -> impl Iterator<Item = Cell> {
    [2, 8, 64].into_iter().flat_map(|processes| {
        [SHORT, LONG].into_iter().flat_map(move |hold| {
            [NONE, think(hold)].map(|think| Cell { processes, threads: 1, hold, think })
        })
    })
}

/// Returns whether the cell has required figures. These cells are measured longer.
fn is_required(cell: Cell) -> bool {
    is_fairness(cell) || (cell.processes == 64 && cell.think == NONE)
}

fn is_fairness(cell: Cell) -> bool {
    cell == Cell { processes: 8, threads: 1, hold: LONG, think: NONE }
}

/// Returns the ways of a cell. Fairness is measured in all ways: it must not depend on whether the handle is new or inherited.
fn ways(cell: Cell) -> &'static [Way] {
    if is_fairness(cell) { &Way::ALL } else { &WAYS }
}

/// The number of turns of each of 8 processes.
pub(crate) struct Shares {
    length: Duration,
    groups: Vec<plot::Shares>,
}

impl Shares {
    pub(crate) fn draw(&self, area: &Area<'_>) -> Result {
        let about = format!(
            "re-locking immediately for {}, {} of work under the lock; each bar is a process",
            time(self.length.as_secs_f64() * 1e9),
            time(LONG.as_secs_f64() * 1e9),
        );
        plot::turns(area, &about, &self.groups)
    }
}

pub(crate) fn measure(
    crowds: &mut Crowds<'_>,
    args: &Args,
    report: &mut Report,
    required: &mut Required,
) -> Result<Shares> {
    let mut shares = None;
    for cell in cells() {
        let (full, quick) = if is_required(cell) { (1_200, 100) } else { (300, 50) };
        let (rounds, length) = (args.pick(3, 1), Duration::from_millis(args.pick(full, quick)));
        let results = crowds.compare(ways(cell), cell, rounds, length)?;
        report.add(&table(crowds, cell, &results)?);
        require(cell, &results, required);
        if is_fairness(cell) {
            shares = Some(Shares { length, groups: groups(&results) });
        }
    }
    shares.ok_or_else(|| "the picture's processes were not measured".into())
}

fn find(results: &[(Way, Results)], way: Way) -> Option<&Results> {
    results.iter().find(|(its, _)| *its == way).map(|(_, results)| results)
}

fn table(crowds: &Crowds<'_>, cell: Cell, results: &[(Way, Results)]) -> Result<Table> {
    let Cell { processes, hold, think, .. } = cell;
    let again =
        if think.is_zero() { "immediately".into() } else { format!("{think:?} later on average") };
    let title = format!("{processes} processes, holds of {hold:?}, re-locking {again}");
    let header =
        ["way", "turns/s", "to the limit", "CPU/turn", "max/min", "wait p50", "p99", "worst"];
    let mut table = Table::new(title, &header);
    let limit = find(results, Way::Flock).ok_or("the limit was lost")?.per_second();
    for &way in ways(cell) {
        if let Some(why) = crowds.python.missing(way) {
            table.missing(way.label(), why);
            continue;
        }
        let results = find(results, way).ok_or("a way was lost")?;
        let [turns, cpu, most, p50, p99, worst] = results.figures();
        let to_limit = ratio(results.per_second() / limit);
        table.row([way.label().into(), turns, to_limit, cpu, most, p50, p99, worst]);
    }
    Ok(table)
}

fn require(cell: Cell, results: &[(Way, Results)], required: &mut Required) {
    let timed = find(results, Way::LocketTimed);
    let (Some(limit), Some(floor), Some(timed)) =
        (find(results, Way::Flock), find(results, Way::FlockTimed), timed)
    else {
        return;
    };
    if is_fairness(cell) {
        for way in [Way::LocketTimed, Way::LocketNewHandle, Way::LocketInherited] {
            let Some(results) = find(results, way) else { continue };
            let what = format!("8 processes, 1 ms holds, {}: max/min turns", way.label());
            let figures = (limit.max_and_min(), results.max_and_min());
            required.row(&what, figures, results.unfairness(), &Bound::AtMost(1.5), ratio);
            let what = format!("8 processes, 1 ms holds, {}: worst wait", way.label());
            let worst = results.worst_wait();
            let figures = (time(limit.worst_wait()), time(worst));
            required.row(&what, figures, worst, &Bound::AtMost(MAX_WAIT), time);
        }
    } else if is_required(cell) {
        let floor_label = Way::FlockTimed.label();
        let what = format!("64 processes, {:?} holds: turns/s against {floor_label}", cell.hold);
        let (floor, timed) = (floor.per_second(), timed.per_second());
        let figures = (count(floor), count(timed));
        // Locket yields to waiters, which costs turns. The floor does not yield.
        required.row(&what, figures, timed / floor, &Bound::AtLeast(0.8), ratio);
    }
}

fn groups(results: &[(Way, Results)]) -> Vec<plot::Shares> {
    let group = |way: Way| {
        let turns = find(results, way).map(|results| results.turns().to_vec());
        plot::Shares { label: way.label(), turns }
    };
    [Way::Flock, Way::LocketTimed, Way::Poller, Way::Filelock].map(group).into()
}
