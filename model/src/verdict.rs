//! What the judge of histories can say.

use crate::history::Time;

/// Why a history is not that of a correct lock. Calls are given by their place in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// L1: two conflicting holds of one file, both sure in this time.
    Overlap {
        /// The acquisition of the one.
        first: usize,
        /// The acquisition of the other.
        second: usize,
        /// From when both held.
        from: Time,
        /// Until when both held.
        to: Time,
    },
    /// L2, L3: a try or a timed call timed out, and nobody can have held the lock in this time.
    NobodyThere {
        /// The call that timed out.
        call: usize,
        /// From when its last attempt may have been made.
        from: Time,
        /// Until when.
        to: Time,
    },
    /// L3: a call timed out before its deadline, or without having one.
    Early {
        /// The call.
        call: usize,
    },
    /// L5: two releases ended one hold.
    EndedTwice {
        /// The release that was called first.
        first: usize,
        /// The other.
        second: usize,
    },
    /// L5: a release ended a hold that was not there.
    NothingToEnd {
        /// The release.
        call: usize,
    },
    /// L5: a release said "not locked" while a kept hold was sure all along.
    HeldAllAlong {
        /// The release.
        call: usize,
    },
}

impl Fault {
    /// The law of the design that is broken.
    #[must_use]
    pub const fn law(&self) -> &'static str {
        match self {
            Self::Overlap { .. } => "L1 Exclusion",
            Self::NobodyThere { .. } => "L2 Try, L3 Deadline",
            Self::Early { .. } => "L3 Deadline",
            Self::EndedTwice { .. } | Self::NothingToEnd { .. } | Self::HeldAllAlong { .. } => {
                "L5 Release once"
            }
        }
    }

    /// The calls that prove it.
    #[must_use]
    pub fn calls(&self) -> Vec<usize> {
        match *self {
            Self::Overlap { first, second, .. } | Self::EndedTwice { first, second } => {
                vec![first, second]
            }
            Self::NobodyThere { call, .. }
            | Self::Early { call }
            | Self::NothingToEnd { call }
            | Self::HeldAllAlong { call } => vec![call],
        }
    }
}

/// What the judge says, and how much it saw: an acquittal of nothing is worth nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What is wrong, in the order of laws and calls; empty for a correct history.
    pub faults: Vec<Fault>,
    /// How many acquisitions held.
    pub holds: usize,
    /// How many of those were shared.
    pub shared: usize,
    /// How many acquisitions timed out.
    pub timed_out: usize,
    /// How many releases ended a hold.
    pub released: usize,
    /// How many processes were killed.
    pub kills: usize,
    /// The longest time from the call of an acquisition that held to its return.
    pub longest_wait: Time,
}

/// An error that can be planted in the judge, to show that its tests would notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JudgeBug {
    /// Lets shared holds conflict with nothing.
    IgnoresShared,
    /// Thinks that a killed process's holds end the moment the signal is sent.
    IgnoresKillBounds,
    /// Takes intervals that only touch for overlapping ones.
    TouchingOverlaps,
    /// Lets a timed call be excused by a hold before its deadline.
    ExcusesBeforeDeadline,
    /// Lets a hold excuse calls on the far side of another hold.
    ReachesThrough,
    /// Forgets calls that never returned.
    ForgetsBegun,
}
