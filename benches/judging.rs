//! Tests of the judgement of required figures.

#[path = "bench/required.rs"]
mod required;
#[path = "bench/table.rs"]
#[allow(dead_code, reason = "the benchmarks use all of it")]
mod table;

use required::{Bound, Required};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn judged(quick: bool, rows: &[(f64, Bound)]) -> std::result::Result<(), String> {
    let mut required = Required::new(quick);
    for (figure, bound) in rows {
        let figures = ("limit".into(), "measured".into());
        required.row(&format!("row of {figure}"), figures, *figure, bound, table::ratio);
    }
    required.judge().map_err(|error| error.to_string())
}

#[test]
fn a_figure_within_its_bound_passes() {
    assert_eq!(judged(false, &[(1.2, Bound::AtMost(1.2)), (0.9, Bound::AtLeast(0.9))]), Ok(()));
}

#[test]
fn each_row_beyond_its_bound_is_named_with_its_figure_and_bound() {
    let rows = [(1.21, Bound::AtMost(1.2)), (1.0, Bound::AtMost(1.2)), (0.89, Bound::AtLeast(0.9))];
    let short = judged(false, &rows).expect_err("two rows miss their bounds");
    assert!(short.contains("row of 1.21: 1.21 x, required is at most 1.20 x"), "{short}");
    assert!(short.contains("row of 0.89: 0.89 x, required is at least 0.90 x"), "{short}");
    assert!(!short.contains("row of 1:"), "{short}");
}

/// A division by zero, or a figure that was not measured.
#[test]
fn a_figure_that_is_not_a_number_fails() {
    assert!(judged(false, &[(f64::NAN, Bound::AtMost(1.0))]).is_err());
    assert!(judged(false, &[(f64::NAN, Bound::AtLeast(1.0))]).is_err());
    assert!(judged(false, &[]).is_err(), "nothing was measured");
}

#[test]
fn a_quick_run_is_not_judged() {
    assert_eq!(judged(true, &[(9.0, Bound::AtMost(1.0))]), Ok(()));
}

#[test]
fn a_row_shows_its_verdict() -> Result {
    let mut required = Required::new(false);
    let figures = || ("2 ms".to_string(), "3 ms".to_string());
    required.row("good", figures(), 1.0, &Bound::AtMost(1.0), table::ratio);
    required.row("bad", figures(), 2.0, &Bound::AtMost(1.0), table::ratio);
    required.missing("absent", "not installed");
    let text = required.table().markdown();
    for (row, word) in [("good", "ok"), ("bad", "SHORT"), ("absent", "MISSING")] {
        let line = text.lines().find(|line| line.contains(row)).ok_or("a row is missing")?;
        assert!(line.contains(word), "{line}");
    }
    Ok(())
}
