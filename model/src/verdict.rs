//! The verdict of the judge of histories.

use crate::history::Time;

/// An anomaly: evidence that a correct lock cannot have this history. Calls are indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anomaly {
    /// L1: two conflicting holds of one file, both definite in this interval.
    Overlap {
        /// The acquisition of the first hold.
        first: usize,
        /// The acquisition of the second hold.
        second: usize,
        /// The begin of the overlap.
        from: Time,
        /// The end of the overlap.
        to: Time,
    },
    /// L2, L3: a call timed out, and no conflicting hold is possible in this interval.
    NoConflictingHold {
        /// The call that timed out.
        call: usize,
        /// The earliest time of its last attempt.
        from: Time,
        /// The latest time of its last attempt.
        to: Time,
    },
    /// L3: a call timed out before its deadline, or without a deadline.
    EarlyTimeout {
        /// The call.
        call: usize,
    },
    /// L5: two releases ended one hold.
    DoubleRelease {
        /// The first release.
        first: usize,
        /// The second release.
        second: usize,
    },
    /// L5: a release ended a hold that did not exist.
    ReleaseWithoutHold {
        /// The release.
        call: usize,
    },
    /// L5: a release returned "not locked" while an unguarded hold was definite during the whole call.
    FalseNotLocked {
        /// The release.
        call: usize,
    },
}

impl Anomaly {
    /// Returns the law that is broken, as the design names it.
    #[must_use]
    pub const fn law(&self) -> &'static str {
        match self {
            Self::Overlap { .. } => "L1 Exclusion",
            Self::NoConflictingHold { .. } => "L2 Try, L3 Deadline",
            Self::EarlyTimeout { .. } => "L3 Deadline",
            Self::DoubleRelease { .. }
            | Self::ReleaseWithoutHold { .. }
            | Self::FalseNotLocked { .. } => "L5 Release once",
        }
    }

    /// Returns the calls that are evidence of the anomaly.
    #[must_use]
    pub fn calls(&self) -> Vec<usize> {
        match *self {
            Self::Overlap { first, second, .. } | Self::DoubleRelease { first, second } => {
                vec![first, second]
            }
            Self::NoConflictingHold { call, .. }
            | Self::EarlyTimeout { call }
            | Self::ReleaseWithoutHold { call }
            | Self::FalseNotLocked { call } => vec![call],
        }
    }
}

/// The verdict on a history, and how much the history contains. A verdict on an empty history says
/// nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The anomalies, ordered by law and call; empty for a correct history.
    pub anomalies: Vec<Anomaly>,
    /// The number of acquisitions that held.
    pub holds: usize,
    /// The number of shared ones among them.
    pub shared: usize,
    /// The number of acquisitions that timed out.
    pub timed_out: usize,
    /// The number of releases that ended a hold.
    pub released: usize,
    /// The number of processes killed.
    pub kills: usize,
    /// The longest time from the call to the return of an acquisition that held.
    pub longest_wait: Time,
}

/// A bug that can be seeded in the judge. A test checks that the comparison with the search catches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JudgeBug {
    /// Shared holds conflict with nothing.
    IgnoresShared,
    /// The holds of a killed process end when the signal is sent.
    IgnoresKillBounds,
    /// Intervals that only touch count as overlapping.
    TouchingOverlaps,
    /// A hold before the deadline excuses a timeout.
    ExcusesBeforeDeadline,
    /// A hold excuses calls on the far side of another hold.
    ExcusesAcrossHolds,
    /// Calls that did not return are ignored.
    IgnoresUnreturned,
}
