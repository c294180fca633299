//! Tables in Markdown, with aligned columns.

use std::fmt::Write as _;
use std::path::Path;

use super::Result;

pub(crate) struct Table {
    title: String,
    rows: Vec<Vec<String>>,
    /// Lines below the table.
    notes: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: impl Into<String>, header: &[&str]) -> Self {
        let header = header.iter().map(ToString::to_string).collect();
        Self { title: title.into(), rows: vec![header], notes: Vec::new() }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    /// Adds a row for a peer that was not measured, and a note with the reason.
    pub(crate) fn missing(&mut self, peer: &str, why: &str) {
        let mut row = vec![peer.to_owned()];
        row.resize(self.rows[0].len(), "MISSING".into());
        self.rows.push(row);
        let note = format!("MISSING: {peer}: {why}");
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Formats the table as Markdown: the first column is left-aligned, the figures are right-aligned.
    pub(crate) fn markdown(&self) -> String {
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        let mut text = format!("### {}\n\n", self.title);
        for (number, row) in self.rows.iter().enumerate() {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let _ = match column {
                    0 => write!(text, "| {cell:<width$} |"),
                    _ => write!(text, " {cell:>width$} |"),
                };
            }
            text.push('\n');
            if number == 0 {
                for (column, &width) in widths.iter().enumerate() {
                    let _ = match column {
                        0 => write!(text, "|:{:-<1$} |", "", width),
                        _ => write!(text, " {:-<1$}:|", "", width),
                    };
                }
                text.push('\n');
            }
        }
        for note in &self.notes {
            let _ = write!(text, "\n{note}\n");
        }
        text
    }
}

/// The report of one run of a benchmark. It is printed while it grows.
pub(crate) struct Report(String);

impl Report {
    pub(crate) fn new(title: &str, about: &str) -> Self {
        println!("{title}\n{about}\n");
        Self(format!("# {title}\n\n{about}\n"))
    }

    pub(crate) fn add(&mut self, table: &Table) {
        let text = table.markdown();
        println!("{text}");
        self.0.push('\n');
        self.0.push_str(&text);
    }

    pub(crate) fn save(&self, path: &Path) -> Result {
        Ok(std::fs::write(path, &self.0)?)
    }
}

/// Formats nanoseconds in a suitable unit.
pub(crate) fn time(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds.abs() {
        size if size < 1e3 => return format!("{nanoseconds:.0} ns"),
        size if size < 1e6 => (nanoseconds / 1e3, "µs"),
        size if size < 1e9 => (nanoseconds / 1e6, "ms"),
        _ => (nanoseconds / 1e9, "s"),
    };
    match value.abs() {
        size if size < 10.0 => format!("{value:.2} {unit}"),
        size if size < 100.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

pub(crate) fn ratio(ratio: f64) -> String {
    match ratio {
        ratio if ratio < 0.01 => format!("1/{:.0}", 1.0 / ratio),
        ratio if ratio < 10.0 => format!("{ratio:.2} x"),
        ratio => format!("{ratio:.0} x"),
    }
}

/// Formats a count with separators between thousands.
pub(crate) fn count(count: f64) -> String {
    let digits = format!("{count:.0}");
    let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
    let groups: Vec<_> = groups.into_iter().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
