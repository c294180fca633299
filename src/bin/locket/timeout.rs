//! A time as people write it: seconds as in flock(1), decimals too, or with a unit.

use std::time::Duration;

pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if let Some(positive) = text.strip_prefix('-').filter(|it| parse(it).is_ok()) {
        return Err(format!(
            "a time is not negative: {positive} is as long, 0 is one attempt, and without the option there is no limit"
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
        _ => return Err(on_unit(number, unit)),
    };
    let number: f64 = number.parse().map_err(|_| "expected a number, as 10, 0.5 or 2m")?;
    // What no clock can tell is for ever.
    Ok(Duration::try_from_secs_f64(number * seconds).unwrap_or(Duration::MAX))
}

/// Units are written in many ways. One is understood, and the others are answered by it.
fn on_unit(number: &str, unit: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_the_unit_without_a_unit() {
        assert_eq!(parse("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("0"), Ok(Duration::ZERO));
        assert_eq!(parse("1.5"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse(".007"), Ok(Duration::from_millis(7)));
        assert_eq!(parse("3."), Ok(Duration::from_secs(3)));
    }

    #[test]
    fn units() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("0.5ms"), Ok(Duration::from_micros(500)));
        assert_eq!(parse("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("1.5h"), Ok(Duration::from_secs(5400)));
        assert_eq!(parse("1d"), Ok(Duration::from_secs(86_400)));
    }

    #[test]
    fn other_spellings_are_answered_by_the_one_that_is_understood() {
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
        assert!(parse("-5").is_err_and(|answer| answer.starts_with("a time is not negative")));
    }

    #[test]
    fn too_long_for_the_clock_is_for_ever() {
        assert_eq!(parse(&"9".repeat(30)), Ok(Duration::MAX));
        assert_eq!(parse(&"9".repeat(400)), Ok(Duration::MAX));
    }

    #[test]
    fn anything_else_is_wrong() {
        for text in
            ["", ".", "-1", "+1", "1e3", "inf", "nan", "1.2.3", "1,5", "5x", "ms", " 1", "1 s"]
        {
            assert!(parse(text).is_err(), "{text:?} was taken for a time");
        }
    }
}
