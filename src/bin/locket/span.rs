//! A length of time as people say it, in no more detail than they want.

use std::fmt;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        const DAY: u64 = 24 * HOUR;
        match self.0.as_secs() {
            s @ 0..MINUTE => write!(f, "{s}s"),
            s @ MINUTE..HOUR => write!(f, "{}m {}s", s / MINUTE, s % MINUTE),
            s @ HOUR..DAY => write!(f, "{}h {}m", s / HOUR, s % HOUR / MINUTE),
            s => write!(f, "{}d {}h", s / DAY, s % DAY / HOUR),
        }
    }
}

/// A length of time that was asked for, as people would type it: below a minute with its fractions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit(pub(crate) Duration);

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Duration::ZERO => f.write_str("0s"),
            time if time < Duration::from_secs(60) => write!(f, "{time:?}"),
            time => Span(time).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_units_are_enough() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (3599, "59m 59s"),
            (3600, "1h 0m"),
            (86_399, "23h 59m"),
            (86_400, "1d 0h"),
            (1_000_000, "11d 13h"),
        ] {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), text);
        }
    }

    #[test]
    fn a_limit_is_told_as_it_was_set() {
        for (micros, text) in [
            (0, "0s"),
            (500, "500µs"),
            (250_000, "250ms"),
            (1_500_000, "1.5s"),
            (90_000_000, "1m 30s"),
        ] {
            assert_eq!(Limit(Duration::from_micros(micros)).to_string(), text);
        }
    }

    #[test]
    fn what_has_not_passed_is_not_told() {
        assert_eq!(Span(Duration::from_millis(1999)).to_string(), "1s");
    }
}
