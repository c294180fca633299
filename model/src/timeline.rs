//! A fault as a picture that a person can read: who was where, when.

use std::cmp::{max, min};
use std::fmt::Write as _;

use crate::bounds::{Seen, Span, seen_holds};
use crate::history::{Attempt, Call, History, Time};
use crate::spec::Mode;
use crate::verdict::{Fault, Verdict};

/// Columns of the drawing.
const WIDTH: usize = 64;
/// Rows beside those of the fault itself.
const NEIGHBOURS: usize = 8;

/// The whole verdict in words, with the first faults drawn.
#[must_use]
pub fn explain(history: &History, verdict: &Verdict) -> String {
    let Verdict { faults, holds, shared, timed_out, released, kills, longest_wait } = verdict;
    let mut text = format!(
        "{} calls: {holds} holds ({shared} shared), {timed_out} time-outs, {released} releases; \
         {kills} kills; longest wait {longest_wait} ns; {} faults\n",
        history.calls.len(),
        faults.len(),
    );
    for fault in faults.iter().take(3) {
        text.push('\n');
        text.push_str(&draw(history, fault));
    }
    text
}

/// One fault as text.
#[must_use]
pub fn draw(history: &History, fault: &Fault) -> String {
    let rows = rows(history, fault);
    let (start, end) = bounds(&rows);
    let names = rows.iter().map(|row| row.name.len()).max().unwrap_or(0);
    let mut text = format!("{}: {}\n", fault.law(), tell(history, fault));
    let mut line = |mark: char, name: &str, bar: &str, note: &str| {
        let _ = writeln!(text, "{}", format!("{mark} {name:names$} {bar} {note}").trim_end());
    };
    line(' ', "ns", &format!("{start:<half$}{end:>half$}", half = WIDTH / 2), "");
    for row in &rows {
        let bar: String = (0..WIDTH).map(|column| row.at(column, start, end)).collect();
        line(if row.guilty { '>' } else { ' ' }, &row.name, &bar, &row.call);
    }
    text.push_str("  █ surely held   ░ possibly held   ─ called, held nothing\n");
    text
}

/// One fault as an SVG picture.
#[must_use]
pub fn draw_svg(history: &History, fault: &Fault) -> String {
    let rows = rows(history, fault);
    let (start, end) = bounds(&rows);
    let height = 24 * rows.len() + 40;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"960\" height=\"{height}\" \
         font-family=\"monospace\" font-size=\"12\">\n<text x=\"8\" y=\"18\">{}: {}</text>\n",
        fault.law(),
        tell(history, fault),
    );
    for (row, y) in rows.iter().zip((32..).step_by(24)) {
        let weight = if row.guilty { "bold" } else { "normal" };
        let _ = writeln!(
            svg,
            "<text x=\"8\" y=\"{}\" font-weight=\"{weight}\">{}<title>{}</title></text>",
            y + 13,
            row.name,
            row.call,
        );
        for (span, colour) in
            [(row.called, "#ddd"), (row.possible, "#f3c27a"), (row.sure, "#c0392b")]
        {
            let Some(span) = span else { continue };
            let x = |time: Time| {
                300 + u128::from(time.clamp(start, end) - start) * 640 / u128::from(end - start)
            };
            let (from, to) = (x(span.from), max(x(span.to), x(span.from) + 2));
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
    guilty: bool,
    called: Option<Span>,
    possible: Option<Span>,
    sure: Option<Span>,
}

impl Row {
    fn at(&self, column: usize, start: Time, end: Time) -> char {
        let time = |column: usize| {
            let part = u128::from(end - start) * column as u128 / WIDTH as u128;
            start.saturating_add(Time::try_from(part).unwrap_or(Time::MAX))
        };
        let (from, to) = (time(column), max(time(column + 1), time(column) + 1));
        let covers =
            |span: Option<Span>| span.is_some_and(|span| span.from < to && span.to >= from);
        match self {
            row if covers(row.sure) => '█',
            row if covers(row.possible) => '░',
            row if covers(row.called) => '─',
            _ => ' ',
        }
    }

    /// What is known of it: a hold that never ends must not stretch the picture.
    fn extent(&self) -> Span {
        let mut extent = Span { from: Time::MAX, to: 0 };
        for span in [self.called, self.possible, self.sure].into_iter().flatten() {
            extent.from = min(extent.from, span.from);
            extent.to = max(extent.to, if span.to == Time::MAX { span.from } else { span.to });
        }
        extent
    }
}

fn bounds(rows: &[Row]) -> (Time, Time) {
    let guilty = || rows.iter().filter(|row| row.guilty).map(Row::extent);
    let start = guilty().map(|extent| extent.from).min().unwrap_or(0);
    let end = guilty().map(|extent| extent.to).max().unwrap_or(0);
    let margin = (end - min(start, end)) / 8 + 1;
    (start.saturating_sub(margin), max(start, end).saturating_add(margin))
}

/// The calls of the fault, then those around it on the same file or path, by time.
fn rows(history: &History, fault: &Fault) -> Vec<Row> {
    let holds = seen_holds(history, None, &mut Vec::new());
    let calls = fault.calls();
    let accused: Vec<&Call> = calls.iter().map(|&at| &history.calls[at]).collect();
    let mut rows: Vec<Row> = calls.iter().map(|&at| row(history, &holds, at, true)).collect();
    let (start, end) = bounds(&rows);
    let near = |at: &usize| {
        let call = &history.calls[*at];
        let same = |other: &&Call| {
            other.path == call.path || file(other).is_some_and(|it| file(call) == Some(it))
        };
        !calls.contains(at) && call.attempt != Attempt::Release && accused.iter().any(same)
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

fn row(history: &History, holds: &[Seen], at: usize, guilty: bool) -> Row {
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
        guilty,
        called: Some(Span { from: call.called, to }),
        possible: hold.and_then(|hold| hold.possible),
        sure: hold.filter(|hold| hold.is_sure()).map(|hold| hold.sure),
    }
}

fn file(call: &Call) -> Option<u64> {
    match call.attempt {
        Attempt::Acquire { file, .. } => file,
        Attempt::Release => None,
    }
}

fn tell(history: &History, fault: &Fault) -> String {
    let who = |at: usize| {
        let Call { process, thread, .. } = history.calls[at];
        format!("process {process} thread {thread}")
    };
    match *fault {
        Fault::Overlap { first, second, from, to } => {
            format!("{} and {} both held it from {from} to {to}", who(first), who(second))
        }
        Fault::NobodyThere { call, from, to } => {
            format!("{} timed out, but from {from} to {to} nobody can have held it", who(call))
        }
        Fault::Early { call } => format!("{} timed out before its deadline", who(call)),
        Fault::EndedTwice { first, second } => {
            format!("{} and {} both released one hold", who(first), who(second))
        }
        Fault::NothingToEnd { call } => {
            format!("{} released a hold that was not there", who(call))
        }
        Fault::HeldAllAlong { call } => {
            format!("{} was told \"not locked\" though it was held all along", who(call))
        }
    }
}
