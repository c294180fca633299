//! A timeline of an anomaly: the calls and holds around it, as text or as SVG.

use std::cmp::{max, min};
use std::fmt::Write as _;

use crate::bounds::{Interval, ObservedHold, observed_holds};
use crate::history::{Attempt, Call, History, Time};
use crate::spec::Mode;
use crate::verdict::{Anomaly, Verdict};

/// The number of columns of the drawing.
const WIDTH: usize = 64;
/// The largest number of rows for calls that are not part of the anomaly.
const NEIGHBOURS: usize = 8;

/// Returns the verdict as text, with the first anomalies drawn.
#[must_use]
pub fn explain(history: &History, verdict: &Verdict) -> String {
    let Verdict { anomalies, holds, shared, timed_out, released, kills, longest_wait } = verdict;
    let mut text = format!(
        "{} calls: {holds} holds ({shared} shared), {timed_out} timeouts, {released} releases; \
         {kills} kills; longest wait {longest_wait} ns; {} anomalies\n",
        history.calls.len(),
        anomalies.len(),
    );
    for anomaly in anomalies.iter().take(3) {
        text.push('\n');
        text.push_str(&draw(history, anomaly));
    }
    text
}

/// Returns one anomaly as text.
#[must_use]
pub fn draw(history: &History, anomaly: &Anomaly) -> String {
    let rows = rows(history, anomaly);
    let (start, end) = bounds(&rows);
    let names = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = format!("{}: {}\n", anomaly.law(), describe(history, anomaly));
    let mut line = |mark: char, name: &str, bar: &str, note: &str| {
        let _ = writeln!(text, "{}", format!("{mark} {name:names$} {bar} {note}").trim_end());
    };
    line(' ', "ns", &format!("{start:<half$}{end:>half$}", half = WIDTH / 2), "");
    for row in &rows {
        let bar: String = (0..WIDTH).map(|column| row.at(column, start, end)).collect();
        line(if row.involved { '>' } else { ' ' }, &row.name, &bar, &row.call);
    }
    text.push_str("  █ definitely held   ░ possibly held   ─ called, held nothing\n");
    text
}

/// Returns one anomaly as SVG.
#[must_use]
pub fn draw_svg(history: &History, anomaly: &Anomaly) -> String {
    let rows = rows(history, anomaly);
    let (start, end) = bounds(&rows);
    let height = 24 * rows.len() + 40;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"{height}\" \
         font-family=\"monospace\" font-size=\"12\">\n<text x=\"8\" y=\"18\">{}: {}</text>\n",
        anomaly.law(),
        describe(history, anomaly),
    );
    for (row, y) in rows.iter().zip((32..).step_by(24)) {
        let weight = if row.involved { "bold" } else { "normal" };
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{}\" font-weight=\"{weight}\">{}<title>{}</title></text>",
            y + 13,
            row.name,
            row.call,
        );
        for (interval, colour) in
            [(row.called, "#ddd"), (row.possible, "#f3c27a"), (row.definite, "#c0392b")]
        {
            let Some(interval) = interval else { continue };
            let x = |time: Time| {
                300 + u128::from(time.clamp(start, end) - start) * 640 / u128::from(end - start)
            };
            let (from, to) = (x(interval.from), max(x(interval.to), x(interval.from) + 2));
            let _ = writeln!(
                svg,
                "<rect x=\"{from}\" y=\"{y}\" width=\"{}\" height=\"18\" fill=\"{colour}\"/>",
                to - from,
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

struct Row {
    name: String,
    call: String,
    involved: bool,
    called: Option<Interval>,
    possible: Option<Interval>,
    definite: Option<Interval>,
}

impl Row {
    fn at(&self, column: usize, start: Time, end: Time) -> char {
        let time = |column: usize| {
            let part = u128::from(end - start) * column as u128 / WIDTH as u128;
            start.saturating_add(Time::try_from(part).unwrap_or(Time::MAX))
        };
        let (from, to) = (time(column), max(time(column + 1), time(column) + 1));
        let covers = |interval: Option<Interval>| {
            interval.is_some_and(|interval| interval.from < to && interval.to >= from)
        };
        match self {
            row if covers(row.definite) => '█',
            row if covers(row.possible) => '░',
            row if covers(row.called) => '─',
            _ => ' ',
        }
    }

    /// Returns the extent of the row. A hold without an end does not stretch the drawing.
    fn extent(&self) -> Interval {
        let mut extent = Interval { from: Time::MAX, to: 0 };
        for interval in [self.called, self.possible, self.definite].into_iter().flatten() {
            extent.from = min(extent.from, interval.from);
            extent.to =
                max(extent.to, if interval.to == Time::MAX { interval.from } else { interval.to });
        }
        extent
    }
}

fn bounds(rows: &[Row]) -> (Time, Time) {
    let involved = || rows.iter().filter(|row| row.involved).map(Row::extent);
    let start = involved().map(|extent| extent.from).min().unwrap_or(0);
    let end = involved().map(|extent| extent.to).max().unwrap_or(0);
    let margin = (end - min(start, end)) / 8 + 1;
    (start.saturating_sub(margin), max(start, end).saturating_add(margin))
}

/// Returns the rows of the calls of the anomaly and of the nearest calls on the same file or path.
fn rows(history: &History, anomaly: &Anomaly) -> Vec<Row> {
    let holds = observed_holds(history, None, &mut Vec::new());
    let calls = anomaly.calls();
    let involved_calls: Vec<&Call> = calls.iter().map(|&at| &history.calls[at]).collect();
    let mut rows: Vec<Row> = calls.iter().map(|&at| row(history, &holds, at, true)).collect();
    let (start, end) = bounds(&rows);
    let near = |at: &usize| {
        let call = &history.calls[*at];
        let same = |other: &&Call| {
            other.path == call.path || file(other).is_some_and(|it| file(call) == Some(it))
        };
        !calls.contains(at) && call.attempt != Attempt::Release && involved_calls.iter().any(same)
    };
    let mut others: Vec<Row> = (0..history.calls.len())
        .filter(near)
        .map(|at| row(history, &holds, at, false))
        .filter(|row| row.extent().from <= end && row.extent().to >= start)
        .collect();
    let middle = start + (end - start) / 2;
    others.sort_by_key(|row| row.extent().from.abs_diff(middle));
    others.truncate(NEIGHBOURS);
    rows.extend(others);
    rows.sort_by_key(|row| row.extent().from);
    rows
}

fn row(history: &History, holds: &[ObservedHold], at: usize, involved: bool) -> Row {
    let call = &history.calls[at];
    let hold = holds.iter().find(|hold| hold.acquire == at);
    let to = call.returned.map_or(Time::MAX, |end| end.at);
    let what = match call.mode() {
        Some(Mode::Exclusive) => "exclusive",
        Some(Mode::Shared) => "shared",
        None => "release",
    };
    Row {
        name: format!("process {} thread {} {what}", call.process, call.thread),
        call: call.to_string(),
        involved,
        called: Some(Interval { from: call.called, to }),
        possible: hold.and_then(|hold| hold.possible),
        definite: hold.filter(|hold| hold.is_definite()).map(|hold| hold.definite),
    }
}

fn file(call: &Call) -> Option<u64> {
    match call.attempt {
        Attempt::Acquire { file, .. } => file,
        Attempt::Release => None,
    }
}

fn describe(history: &History, anomaly: &Anomaly) -> String {
    let caller = |at: usize| {
        let Call { process, thread, .. } = history.calls[at];
        format!("process {process} thread {thread}")
    };
    match *anomaly {
        Anomaly::Overlap { first, second, from, to } => {
            format!("{} and {} both held it from {from} to {to}", caller(first), caller(second))
        }
        Anomaly::NoConflictingHold { call, from, to } => {
            format!(
                "{} timed out, but no conflicting hold is possible from {from} to {to}",
                caller(call)
            )
        }
        Anomaly::EarlyTimeout { call } => format!("{} timed out before its deadline", caller(call)),
        Anomaly::DoubleRelease { first, second } => {
            format!("{} and {} released the same hold", caller(first), caller(second))
        }
        Anomaly::ReleaseWithoutHold { call } => {
            format!("{} released a hold that did not exist", caller(call))
        }
        Anomaly::FalseNotLocked { call } => {
            format!("{} returned \"not locked\" during a definite hold", caller(call))
        }
    }
}
