//! The required figures, and whether this run reaches them.
//!
//! The bounds are ratios, within one run, to the fewest system calls that keep locket's laws: a check of the idle descriptor (L13),
//! `flock`, a check of the path (L9), and a timer where there is a timeout. The bounds of fairness are times and numbers, since
//! plain `flock` is not fair. Each bound has room for the noise of a busy machine of two cores, but not for one more system call.

use super::Result;
use super::table::Table;

pub(crate) struct Required {
    table: Table,
    quick: bool,
    /// The rows that miss their bounds, with their figures.
    short: Vec<String>,
    rows: usize,
}

pub(crate) enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Required {
    pub(crate) fn new(quick: bool) -> Self {
        let title = if quick {
            "Required figures (a quick run, which is not judged)"
        } else {
            "Required figures"
        };
        let table =
            Table::new(title, &["what", "limit", "measured", "figure", "required", "verdict"]);
        Self { table, quick, short: Vec::new(), rows: 0 }
    }

    /// Adds a row: the figures of the limit and of locket, and the figure that is compared with the bound. `show` formats it.
    pub(crate) fn row(
        &mut self,
        what: &str,
        (limit, measured): (String, String),
        figure: f64,
        bound: &Bound,
        show: fn(f64) -> String,
    ) {
        let (reached, required) = match bound {
            Bound::AtMost(most) => (figure <= *most, format!("at most {}", show(*most))),
            Bound::AtLeast(least) => (figure >= *least, format!("at least {}", show(*least))),
        };
        self.rows += 1;
        if !reached {
            self.short.push(format!("{what}: {}, required is {required}", show(figure)));
        }
        let verdict = match (reached, self.quick) {
            (_, true) => "not judged",
            (true, false) => "ok",
            (false, false) => "SHORT",
        };
        self.table.row([what.into(), limit, measured, show(figure), required, verdict.into()]);
    }

    pub(crate) fn missing(&mut self, what: &str, why: &str) {
        self.table.missing(what, why);
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Returns an error that names the rows that miss their bounds. A quick run is not judged.
    pub(crate) fn judge(&self) -> Result {
        if self.quick {
            println!("A quick run: {} required figures were measured but not judged.", self.rows);
            return Ok(());
        }
        match (self.rows, self.short.as_slice()) {
            (0, _) => Err("no required figure was measured".into()),
            (_, []) => Ok(()),
            (_, short) => {
                Err(format!("these figures miss their bounds:\n  {}", short.join("\n  ")).into())
            }
        }
    }
}
