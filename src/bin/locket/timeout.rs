//! A time as people write it: seconds as in flock(1), decimals too, or with a unit.

use std::time::Duration;

pub(crate) fn parse(text: &str) -> Result<Duration, &'static str> {
    let digits = text.find(|c: char| !matches!(c, '0'..='9' | '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected seconds, as 10 or 0.5, or a time as 500ms, 10s, 2m, 1h"),
    };
    let number: f64 = number.parse().map_err(|_| "expected a number, as 10, 0.5 or 2m")?;
    // What no clock can tell is for ever.
    Ok(Duration::try_from_secs_f64(number * seconds).unwrap_or(Duration::MAX))
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
