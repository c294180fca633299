//! What locket must reach, and whether it does in this run.
//!
//! The limits are ratios within one run to the least that keeps locket's laws: a look at the kept descriptor (L13), `flock`, a
//! look at the path (L9), and a timer where there is a timeout. Only fairness is held to times and numbers of its own, since plain
//! `flock` has none. Each leaves room for the noise of a busy machine of two cores, and none for another system call.

use super::Result;
use super::table::Table;

pub(crate) struct Required {
    table: Table,
    quick: bool,
    /// The rows that fall short, with their figures.
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
            "Must reach (a quick run, whose figures say nothing)"
        } else {
            "Must reach"
        };
        let table = Table::new(title, &["what", "limit", "measured", "figure", "required", "so"]);
        Self { table, quick, short: Vec::new(), rows: 0 }
    }

    /// A figure beside the limit's, and what is made of the two; `show` writes it.
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
        let so = match (reached, self.quick) {
            (_, true) => "not judged",
            (true, false) => "ok",
            (false, false) => "SHORT",
        };
        self.table.row([what.into(), limit, measured, show(figure), required, so.into()]);
    }

    pub(crate) fn missing(&mut self, what: &str, why: &str) {
        self.table.missing(what, why);
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// An error that names the rows that fall short. A quick run's times are not judged.
    pub(crate) fn judge(&self) -> Result {
        if self.quick {
            println!("A quick run: {} required figures were measured, and not judged.", self.rows);
            return Ok(());
        }
        match (self.rows, self.short.as_slice()) {
            (0, _) => Err("no required figure was measured".into()),
            (_, []) => Ok(()),
            (_, short) => Err(format!("these fall short:\n  {}", short.join("\n  ")).into()),
        }
    }
}
