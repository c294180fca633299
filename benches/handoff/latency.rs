//! The latency of a hand-off: from the time just before the release to the time just after the grant.

use rand::seq::SliceRandom;

use super::pair::{Ending, Pair, Place};
use crate::Bench;
use crate::bench::plot::{self, Area};
use crate::bench::required::{Bound, Required};
use crate::bench::stats::{median, quantile};
use crate::bench::table::{Report, Table, ratio, time};
use crate::bench::ways::Way;
use crate::bench::{Result, sane};

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

/// One way to wait, one way to release, and one place.
pub(crate) struct Cell {
    way: Way,
    ending: Ending,
    place: Place,
    nanoseconds: Vec<f64>,
}

impl Cell {
    fn is(&self, way: Way, ending: Ending, place: Place) -> bool {
        (self.way, self.ending, self.place) == (way, ending, place)
    }

    /// Returns whether the cell is measured in this round. Slow cells are measured less often, but in all parts
    /// of the run. locket.py is measured more often than the others: a bound refers to it, and a wait of it takes
    /// anything up to 50 ms.
    fn is_due(&self, round: usize) -> bool {
        let every = match (self.way.queues(), self.ending) {
            (true, Ending::Unlock | Ending::Close) => 1,
            (true, Ending::Kill) => 4,
            (false, Ending::Unlock) if self.way == Way::LocketPy => 10,
            (false, _) => 50,
        };
        round % every == 0
    }
}

pub(crate) fn measure(
    bench: Bench<'_>,
    report: &mut Report,
    required: &mut Required,
) -> Result<Vec<Cell>> {
    let (mut pairs, mut cells) = (Vec::new(), Vec::new());
    for way in WAYS.into_iter().filter(|way| bench.python.missing(*way).is_none()) {
        for place in Place::ALL {
            let mut pair = Pair::start(bench, way, place)?;
            for ending in Ending::ALL {
                pair.hand_over(ending)?; // Warm.
                cells.push(Cell { way, ending, place, nanoseconds: Vec::new() });
            }
            pairs.push(pair);
        }
    }
    let rounds = bench.args.pick(1_600, 4);
    for round in 0..rounds {
        cells.shuffle(&mut rand::rng());
        for cell in cells.iter_mut().filter(|cell| cell.is_due(round)) {
            let pair =
                pairs.iter_mut().find(|pair| (pair.way, pair.place) == (cell.way, cell.place));
            let pair = pair.ok_or("this way has no waiter")?;
            cell.nanoseconds.push(pair.hand_over(cell.ending)?);
        }
    }
    for cell in &cells {
        let due = (0..rounds).filter(|&round| cell.is_due(round)).count();
        let Cell { way, ending, nanoseconds, .. } = cell;
        let samples = nanoseconds.len();
        sane(samples == due, || format!("{way:?}, {ending:?}: {samples} of {due} samples"))?;
    }
    for place in Place::ALL {
        report.add(&table(bench, &cells, place)?);
    }
    require(bench, &cells, required);
    Ok(cells)
}

fn find(cells: &[Cell], way: Way, ending: Ending, place: Place) -> Option<&Cell> {
    cells.iter().find(|cell| cell.is(way, ending, place))
}

fn median_of(cells: &[Cell], way: Way, ending: Ending, place: Place) -> f64 {
    find(cells, way, ending, place).map_or(f64::NAN, |cell| median(&cell.nanoseconds))
}

fn table(bench: Bench<'_>, cells: &[Cell], place: Place) -> Result<Table> {
    let title = format!("Hand-off, holder and waiter on {}", place.label());
    let header = ["waiter", "the holder", "p50", "p99", "to the limit", "samples"];
    let mut table = Table::new(title, &header);
    for ending in Ending::ALL {
        let limit = median_of(cells, Way::Flock, ending, place);
        for way in WAYS {
            if let Some(why) = bench.python.missing(way) {
                table.missing(way.label(), why);
                continue;
            }
            let cell = find(cells, way, ending, place).ok_or("a cell was lost")?;
            let samples = cell.nanoseconds.as_slice();
            let (middle, p99) = (median(samples), quantile(samples, 0.99));
            let count = samples.len().to_string();
            let [way, ending] = [way.label(), ending.label()].map(String::from);
            table.row([way, ending, time(middle), time(p99), ratio(middle / limit), count]);
        }
    }
    Ok(table)
}

fn require(bench: Bench<'_>, cells: &[Cell], required: &mut Required) {
    for (floor, way) in [(Way::FlockStat, Way::LocketUntimed), (Way::FlockTimed, Way::LocketTimed)]
    {
        for place in Place::ALL {
            for ending in Ending::ALL {
                let what = format!(
                    "hand-off p50, {}, the holder {}, {}, against {}",
                    way.label(),
                    ending.label(),
                    place.label(),
                    floor.label()
                );
                let limit = median_of(cells, floor, ending, place);
                let measured = median_of(cells, way, ending, place);
                let figures = (time(limit), time(measured));
                // With the same calls, locket's state in memory takes a few hundred nanoseconds of some microseconds.
                required.row(&what, figures, measured / limit, &Bound::AtMost(1.25), ratio);
            }
        }
    }
    for place in Place::ALL {
        let what = format!("timed hand-off p50, {}, against locket.py", place.label());
        if let Some(why) = bench.python.missing(Way::LocketPy) {
            required.missing(&what, why);
            continue;
        }
        let python = median_of(cells, Way::LocketPy, Ending::Unlock, place);
        let timed = median_of(cells, Way::LocketTimed, Ending::Unlock, place);
        let figures = (time(python), time(timed));
        // Half of a polling period is 25 ms.
        required.row(&what, figures, timed / python, &Bound::AtMost(1.0 / 100.0), ratio);
    }
}

/// Draws a row for each way: the holder unlocks, on one core and on two.
pub(crate) fn draw(cells: &[Cell], area: &Area<'_>) -> Result {
    let dot = |way, place| {
        let samples = &find(cells, way, Ending::Unlock, place)?.nanoseconds;
        Some(plot::Dot { p50: median(samples), p99: quantile(samples, 0.99) })
    };
    let rows: Vec<plot::Row> = WAYS
        .into_iter()
        .filter(|way| !matches!(way, Way::FlockStat | Way::FlockTimed))
        .map(|way| plot::Row { label: way.label(), dots: Place::ALL.map(|place| dot(way, place)) })
        .collect();
    plot::latencies(area, Place::ALL.map(Place::label), &rows)
}
