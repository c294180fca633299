//! Medians, percentiles, and histograms that can be sent in a line and merged.

use std::collections::BTreeMap;
use std::fmt;

use super::Result;

/// Returns a quantile of the samples, by nearest rank.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
pub(crate) fn quantile(samples: &[f64], quantile: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (quantile * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
}

pub(crate) fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// Counts of times, in sixteen steps for each doubling: its quantiles are at most 4.4 % too high.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram(BTreeMap<u32, u64>);

const STEPS: f64 = 16.0;

impl Histogram {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub(crate) fn add(&mut self, nanoseconds: u64) {
        let step = ((nanoseconds.max(1) as f64).log2() * STEPS).ceil() as u32;
        *self.0.entry(step).or_default() += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (&step, count) in &other.0 {
            *self.0.entry(step).or_default() += count;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.values().sum()
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    pub(crate) fn quantile(&self, quantile: f64) -> f64 {
        let rank = (quantile * self.count() as f64).ceil() as u64;
        let mut seen = 0;
        let reached = self.0.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        reached.map_or(f64::NAN, |(&step, _)| (f64::from(step) / STEPS).exp2())
    }

    pub(crate) fn parse(line: &str) -> Result<Self> {
        let pairs = line.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
            let (step, count) = pair.split_once(':').ok_or("a step has no count")?;
            Ok((step.parse()?, count.parse()?))
        });
        pairs.collect::<Result<_>>().map(Self)
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> =
            self.0.iter().map(|(step, count)| format!("{step}:{count}")).collect();
        f.write_str(&pairs.join(","))
    }
}
