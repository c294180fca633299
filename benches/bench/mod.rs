//! What the benchmarks share: ways to lock, processes that use them, and what is made of the figures.
//!
//! A benchmark starts itself again as its worker processes ([`worker`]), and a script for the
//! Python libraries ([`python`]). Both speak the same lines, one command and one answer each.

pub(crate) mod args;
pub(crate) mod machine;
pub(crate) mod plot;
pub(crate) mod processes;
pub(crate) mod python;
pub(crate) mod required;
pub(crate) mod stats;
pub(crate) mod sys;
pub(crate) mod table;
pub(crate) mod ways;
pub(crate) mod worker;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A figure that cannot be means that the benchmark did not measure what it says.
pub(crate) fn sane(it_is: bool, what: impl FnOnce() -> String) -> Result {
    if it_is { Ok(()) } else { Err(format!("not a sane figure: {}", what()).into()) }
}
