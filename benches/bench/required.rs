//! What locket must reach, and whether it does in this run.

use super::table::Table;

pub(crate) struct Required(Table);

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
        Self(Table::new(title, &["what", "limit", "measured", "figure", "required", "so"]))
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
        let so = if reached { "ok" } else { "SHORT" };
        self.0.row([what.into(), limit, measured, show(figure), required, so.into()]);
    }

    pub(crate) fn missing(&mut self, what: &str, why: &str) {
        self.0.missing(what, why);
    }

    pub(crate) fn table(&self) -> &Table {
        &self.0
    }
}
