//! The parts that the benchmarks share: ways to lock, worker processes, statistics and reports.
//!
//! A benchmark starts itself again as its worker processes ([`worker`]), and a script for the
//! Python libraries ([`python`]). Both use the same protocol: a line for a command, a line for its answer.

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

/// Returns an error for an impossible figure: the benchmark did not measure what it claims to measure.
pub(crate) fn sane(is_sane: bool, what: impl FnOnce() -> String) -> Result {
    if is_sane { Ok(()) } else { Err(format!("not a sane figure: {}", what()).into()) }
}
