//! The pictures. The report that is saved beside a picture has its figures.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Result;
use super::table::{Report, count, time};

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const SIZE: (u32, u32) = (820, 400);
/// Where the labels of the rows end and the figures begin.
const LEFT: i32 = 190;
const RIGHT: i32 = 790;
/// Where the axis of the latencies ends: the rest is for the figures beside the lines.
const AXIS_END: i32 = 735;
const TOP: i32 = 78;
const BOTTOM: i32 = 355;

// Dark on an opaque light ground: readable on any page. The colours also differ in lightness.
const GROUND: RGBColor = RGBColor(255, 255, 255);
const INK: RGBColor = RGBColor(36, 41, 47);
const FAINT: RGBColor = RGBColor(101, 109, 118);
const GRID: RGBColor = RGBColor(222, 226, 230);
const FIRST: RGBColor = RGBColor(9, 105, 218);
const SECOND: RGBColor = RGBColor(207, 102, 20);

/// Writes `NAME.svg`, and the report of the same run as `NAME.md`.
pub(crate) fn save(name: &str, report: &Report, draw: impl FnOnce(&Area<'_>) -> Result) -> Result {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("figures");
    std::fs::create_dir_all(&folder)?;
    let picture = folder.join(format!("{name}.svg"));
    let area = SVGBackend::new(&picture, SIZE).into_drawing_area();
    area.fill(&GROUND)?;
    draw(&area)?;
    area.present()?;
    report.save(&folder.join(format!("{name}.md")))?;
    println!("Saved {name}.svg and {name}.md in benches/figures.");
    Ok(())
}

fn write(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    (size, color): (i32, RGBColor),
    anchor: HPos,
) -> Result {
    let style = ("sans-serif", size).into_text_style(area).color(&color);
    Ok(area.draw_text(text, &style.pos(Pos::new(anchor, VPos::Center)), at)?)
}

fn line(area: &Area<'_>, from: (i32, i32), to: (i32, i32), color: RGBColor, width: u32) -> Result {
    Ok(area.draw(&PathElement::new([from, to], color.stroke_width(width)))?)
}

fn title(area: &Area<'_>, title: &str, below: &str) -> Result {
    write(area, title, (20, 26), (24, INK), HPos::Left)?;
    write(area, below, (20, 50), (17, FAINT), HPos::Left)
}

pub(crate) struct Dot {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

/// A row of the picture of latencies. A dot is `None` where the way was missing from the run.
pub(crate) struct Row {
    pub(crate) label: &'static str,
    pub(crate) dots: [Option<Dot>; 2],
}

/// Returns the x of a time: from 1 µs to 1 s, all decades of the same width.
#[allow(clippy::cast_possible_truncation)]
fn across(nanoseconds: f64) -> i32 {
    let decades = (nanoseconds.clamp(1e3, 1e9) / 1e3).log10();
    LEFT + (decades / 6.0 * f64::from(AXIS_END - LEFT)).round() as i32
}

pub(crate) fn latencies(area: &Area<'_>, names: [&str; 2], rows: &[Row]) -> Result {
    let below = "dot: median, line: to the 99th percentile; each step is ten times as long";
    title(area, "From the holder's release to the waiter's lock, two processes", below)?;
    let decades = ["1 µs", "10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "1 s"];
    for (label, decade) in decades.into_iter().zip(3..) {
        let x = across(10_f64.powi(decade));
        line(area, (x, TOP), (x, BOTTOM), GRID, 1)?;
        write(area, label, (x, BOTTOM + 12), (16, FAINT), HPos::Center)?;
    }
    let step = (BOTTOM - TOP) / i32::try_from(rows.len())?;
    for (row, y) in rows.iter().zip((TOP + step / 2..).step_by(usize::try_from(step)?)) {
        write(area, row.label, (LEFT - 14, y), (18, INK), HPos::Right)?;
        if row.dots.iter().all(Option::is_none) {
            write(area, "missing from this run", (LEFT + 10, y), (16, FAINT), HPos::Left)?;
        }
        for (dot, (y, color)) in row.dots.iter().zip([(y - 9, FIRST), (y + 9, SECOND)]) {
            let Some(Dot { p50, p99 }) = dot else { continue };
            line(area, (across(*p50), y), (across(*p99), y), color, 2)?;
            area.draw(&Circle::new((across(*p50), y), 5, color.filled()))?;
            let after = (across(*p99).max(across(*p50) + 5) + 8, y);
            write(area, &time(*p50), after, (16, color), HPos::Left)?;
        }
    }
    for ((text, color), x) in names.into_iter().zip([FIRST, SECOND]).zip((LEFT..).step_by(200)) {
        area.draw(&Circle::new((x + 6, BOTTOM + 34), 5, color.filled()))?;
        write(area, text, (x + 18, BOTTOM + 34), (16, INK), HPos::Left)?;
    }
    Ok(())
}

/// The turns of each process in one way; `None` where the way was missing from the run.
pub(crate) struct Shares {
    pub(crate) label: &'static str,
    pub(crate) turns: Option<Vec<u64>>,
}

/// Draws a group of bars for each way, a bar for each process.
pub(crate) fn turns(area: &Area<'_>, about: &str, groups: &[Shares]) -> Result {
    title(area, "Turns with the lock of each of 8 processes", about)?;
    let all = groups.iter().flat_map(|group| group.turns.iter().flatten());
    let most = i64::try_from(*all.max().unwrap_or(&1))?.max(1);
    let height = i64::from(BOTTOM - TOP - 40);
    let left = 40;
    let step = (RIGHT - left) / i32::try_from(groups.len())?;
    line(area, (left, BOTTOM), (RIGHT, BOTTOM), FAINT, 1)?;
    for (group, x) in groups.iter().zip((left..).step_by(usize::try_from(step)?)) {
        write(area, group.label, (x + step / 2, BOTTOM + 20), (18, INK), HPos::Center)?;
        let Some(turns) = &group.turns else {
            let at = (x + step / 2, BOTTOM - 14);
            write(area, "missing from this run", at, (16, FAINT), HPos::Center)?;
            continue;
        };
        let mut turns = turns.clone();
        turns.sort_unstable_by(|a, b| b.cmp(a));
        let width = (step - 20) / i32::try_from(turns.len())?;
        for (&turns, x) in turns.iter().zip((x + 10..).step_by(usize::try_from(width)?)) {
            let top = BOTTOM - i32::try_from(i64::try_from(turns)? * height / most)?;
            let bar = [(x, top), (x + width - 3, BOTTOM)];
            area.draw(&Rectangle::new(bar, FIRST.filled()))?;
            let label = count(f64::from(u32::try_from(turns)?));
            let ink = if turns == 0 { SECOND } else { INK };
            // Rotated: a bar is narrower than its number.
            let style = ("sans-serif", 14).into_text_style(area).color(&ink);
            let style = style.transform(FontTransform::Rotate270);
            let style = style.pos(Pos::new(HPos::Left, VPos::Center));
            area.draw_text(&label, &style, (x + width / 2 - 1, top - 5))?;
        }
    }
    Ok(())
}
