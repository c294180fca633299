//! The pauses between attempts, where the system does not wake a waiter.

use std::time::Duration;

/// Each pause is a quarter longer than the one before, up to the retry period. So a waiter notices that the lock is free
/// after an eighth more of the time that it has waited, on average. (Doubled pauses
/// would save ten attempts of a hundred in five seconds, and notice it after half as much more.)
pub(super) struct Pauses {
    next: Duration,
    longest: Duration,
}

impl Pauses {
    const FIRST: Duration = Duration::from_millis(1);

    pub(super) fn up_to(longest: Duration) -> Self {
        Self { next: longest.min(Self::FIRST), longest }
    }

    /// Returns the next pause, which is no longer than what is left.
    pub(super) fn next(&mut self, left: Option<Duration>) -> Duration {
        let pause = self.next.min(left.unwrap_or(Duration::MAX));
        self.next = self.longest.min(self.next + self.next / 4);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Pauses};

    #[test]
    fn they_grow_up_to_the_retry_period() {
        let longest = Duration::from_millis(50);
        let mut pauses = Pauses::up_to(longest);
        let mut before = Duration::from_millis(1);
        assert_eq!(pauses.next(None), before);
        for _ in 0..30 {
            let slept = pauses.next(None);
            assert!(before <= slept && slept <= before * 5 / 4, "{slept:?} after {before:?}");
            before = slept;
        }
        assert_eq!(before, longest);
    }

    #[test]
    fn they_end_at_the_deadline() {
        let mut pauses = Pauses::up_to(Duration::from_secs(600));
        let mut left = Duration::from_secs(5);
        while !left.is_zero() {
            // Panics if the pause is longer.
            left -= pauses.next(Some(left));
        }
    }

    #[test]
    fn a_short_retry_period_is_kept() {
        for period in [Duration::ZERO, Duration::from_micros(200)] {
            let mut pauses = Pauses::up_to(period);
            assert!((0..10).all(|_| pauses.next(None) == period));
        }
    }
}
