//! Durations in text: parsed from options, printed in messages.

use std::fmt;
use std::time::Duration;

/// Parses a duration: seconds with decimals, as flock(1) does, or a number with a unit.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if let Some(positive) = text.strip_prefix('-').filter(|it| parse(it).is_ok()) {
        return Err(format!(
            "a time cannot be negative: {positive} waits that long, 0 makes one attempt; without the option there is no limit"
        ));
    }
    let digits = text.find(|c: char| !matches!(c, '0'..='9' | '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => return Err(unknown_unit(number, unit)),
    };
    let number: f64 = number.parse().map_err(|_| "expected a number, as 10, 0.5 or 2m")?;
    // A duration that does not fit is as long as forever.
    Ok(Duration::try_from_secs_f64(number * seconds).unwrap_or(Duration::MAX))
}

/// Returns the message for a unit that is not supported: the supported spelling of the same unit, if there is one.
fn unknown_unit(number: &str, unit: &str) -> String {
    let known = match unit.trim().to_lowercase().trim_end_matches('s') {
        "msec" | "milli" | "millisecond" => "ms",
        "sec" | "second" => "s",
        "min" | "minute" => "m",
        "h" | "hr" | "hour" => "h",
        "d" | "day" => "d",
        _ => "",
    };
    if number.parse::<f64>().is_ok() && !known.is_empty() {
        return format!("write {number}{known}");
    }
    "expected seconds, as 10 or 0.5, or a time as 500ms, 10s, 2m, 1h, 1d".into()
}

/// A duration in messages, in two units at most: `12s`, `1m 5s`, `2h 30m`, `1d 4h`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HumanDuration(pub(crate) Duration);

impl fmt::Display for HumanDuration {
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

/// A duration that the user has set, as it would be typed: below a minute with its fraction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LimitDuration(pub(crate) Duration);

impl fmt::Display for LimitDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Duration::ZERO => f.write_str("0s"),
            time if time < Duration::from_secs(60) => write!(f, "{time:?}"),
            time => HumanDuration(time).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_without_a_unit_is_seconds() {
        assert_eq!(parse("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("0"), Ok(Duration::ZERO));
        assert_eq!(parse("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse(".007"), Ok(Duration::from_millis(7)));
        assert_eq!(parse("3."), Ok(Duration::from_secs(3)));
    }

    #[test]
    fn units_are_ms_s_m_h_d() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("0.5ms"), Ok(Duration::from_micros(500)));
        assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("1d"), Ok(Duration::from_secs(86_400)));
    }

    #[test]
    fn other_spellings_of_a_unit_name_the_supported_one() {
        for (text, answer) in [
            ("5min", "write 5m"),
            ("5 mins", "write 5m"),
            ("10sec", "write 10s"),
            ("2hours", "write 2h"),
            ("1day", "write 1d"),
            ("50msec", "write 50ms"),
        ] {
            assert_eq!(parse(text), Err(answer.into()), "{text}");
        }
        assert!(parse("-5").is_err_and(|answer| answer.starts_with("a time cannot be negative")));
    }

    #[test]
    fn a_duration_that_does_not_fit_is_the_longest() {
        assert_eq!(parse(&"9".repeat(30)), Ok(Duration::MAX));
        assert_eq!(parse(&"9".repeat(400)), Ok(Duration::MAX));
    }

    #[test]
    fn other_text_is_an_error() {
        for text in
            ["", ".", "-1", "+1", "1e3", "inf", "nan", "1.2.3", "1,5", "5x", "ms", " 1", "1 s"]
        {
            assert!(parse(text).is_err(), "{text:?} was parsed as a time");
        }
    }

    #[test]
    fn two_units_at_most_are_shown() {
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
            assert_eq!(HumanDuration(Duration::from_secs(seconds)).to_string(), text);
        }
    }

    #[test]
    fn a_limit_is_shown_as_it_was_set() {
        for (micros, text) in [
            (0, "0s"),
            (500, "500µs"),
            (250_000, "250ms"),
            (1_500_000, "1.5s"),
            (90_000_000, "1m 30s"),
        ] {
            assert_eq!(LimitDuration(Duration::from_micros(micros)).to_string(), text);
        }
    }

    #[test]
    fn a_fraction_of_a_second_is_rounded_down() {
        assert_eq!(HumanDuration(Duration::from_millis(1999)).to_string(), "1s");
    }
}
