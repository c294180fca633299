//! Numbers as flock(1) parses them: by `strtol(3)`, `strtold(3)` and `parse_size` of util-linux (lib/strutils.c).

use std::ffi::{OsStr, c_int};
use std::num::IntErrorKind;
use std::time::Duration;

use crate::flock::text::strerror;

/// The error of a text that is not such a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NumberError {
    text: String,
    /// The error number that flock(1) prints, if it prints one.
    number: Option<c_int>,
}

impl NumberError {
    fn new(text: &OsStr, number: Option<c_int>) -> Self {
        Self { text: text.to_string_lossy().to_string(), number }
    }

    pub(super) fn number(&self) -> Option<c_int> {
        self.number
    }

    /// Returns the message of flock(1), which begins with the problem.
    pub(super) fn message(&self, problem: &str) -> String {
        let reason = self.number.map(|number| format!(": {}", strerror(number)));
        format!("{problem}: '{}'{}", self.text, reason.unwrap_or_default())
    }
}

/// Parses an integer that is not negative, after any white space.
pub(super) fn parse_integer<N: TryFrom<i64>>(text: &OsStr) -> Result<N, NumberError> {
    let number = text.to_str().unwrap_or_default().trim_start().parse::<i64>();
    let number = number.map_err(|error| {
        let is_out_of_range =
            matches!(error.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow);
        NumberError::new(text, is_out_of_range.then_some(libc::ERANGE))
    })?;
    let number = u64::try_from(number).ok().and_then(|_| N::try_from(number).ok());
    number.ok_or_else(|| NumberError::new(text, Some(libc::ERANGE)))
}

/// Parses seconds, to the microsecond. A duration that does not fit is as long as forever.
pub(super) fn parse_seconds(text: &OsStr) -> Result<Duration, NumberError> {
    let number = text.to_str().unwrap_or_default().trim_start().parse::<f64>();
    let seconds = number.map_err(|_| NumberError::new(text, None))?;
    if seconds.is_nan() || seconds <= -0.000_001 {
        return Err(NumberError::new(text, Some(libc::EINVAL)));
    }
    let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
    Ok(Duration::new(time.as_secs(), time.subsec_micros() * 1000))
}

/// Parses a number of bytes: decimal, octal (`010`) or hexadecimal (`0x10`), or with a unit, of 1024 (`1K`, `1.5MiB`) or of
/// 1000 (`1KB`).
pub(super) fn parse_size(text: &OsStr) -> Result<i64, NumberError> {
    let error = |number| NumberError::new(text, Some(number));
    let word = text.to_str().unwrap_or_default().trim_start();
    let word = word.strip_prefix('+').unwrap_or(word);
    let (radix, rest) = match word.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &word[2..]),
        [b'0', b'0'..=b'7', ..] => (8, &word[1..]),
        _ => (10, word),
    };
    let end = rest.find(|c: char| !c.is_digit(radix)).unwrap_or(rest.len());
    let (digits, rest) = rest.split_at(end);
    if digits.is_empty() {
        return Err(error(libc::EINVAL));
    }
    let number = u128::from_str_radix(digits, radix).map_err(|_| error(libc::ERANGE))?;
    let (fraction, unit) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
        None => ("", rest),
    };
    if unit.is_empty() && rest.is_empty() {
        return i64::try_from(number).map_err(|_| error(libc::ERANGE));
    }
    let scale = scale(unit).ok_or_else(|| error(libc::EINVAL))?;
    // Further digits are less than a byte.
    let fraction = fraction.get(..fraction.len().min(12)).unwrap_or_default();
    let part = fraction
        .bytes()
        .fold((0, 1), |(sum, of), digit| (sum * 10 + u128::from(digit - b'0'), of * 10));
    let part = scale.checked_mul(part.0).map(|it| it / part.1);
    let bytes = number.checked_mul(scale).zip(part).and_then(|(all, part)| all.checked_add(part));
    bytes.and_then(|it| i64::try_from(it).ok()).ok_or_else(|| error(libc::ERANGE))
}

fn scale(unit: &str) -> Option<u128> {
    const LETTERS: &str = "KMGTPEZY";
    let letter = unit.chars().next()?.to_ascii_uppercase();
    let power = u32::try_from(LETTERS.find(letter)?).ok()? + 1;
    match unit.get(1..)? {
        "" | "iB" | "ib" => 1024_u128.checked_pow(power),
        "B" | "b" => 1000_u128.checked_pow(power),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_as_by_util_linux() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("010", 8),
            ("0x10", 16),
            ("1K", 1024),
            ("1k", 1024),
            ("2KiB", 2048),
            ("2KB", 2000),
            ("1.5M", 1_572_864),
            ("0.5KB", 500),
            ("1.05KB", 1050),
            ("3G", 3 << 30),
        ] {
            assert_eq!(parse_size(text.as_ref()), Ok(bytes), "{text}");
        }
        for text in ["", "-1", "K", "1X", "1.5", "1KBs", "x", "1Ki"] {
            assert!(parse_size(text.as_ref()).is_err(), "{text:?} was parsed as a size");
        }
        for text in ["99999999999999999999", "9E", "1Y"] {
            let error = parse_size(text.as_ref()).expect_err("the number is too large");
            assert_eq!(error.number, Some(libc::ERANGE), "{text}");
        }
    }

    #[test]
    fn times_are_seconds_to_the_microsecond() {
        assert_eq!(parse_seconds("0.5".as_ref()), Ok(Duration::from_millis(500)));
        assert_eq!(parse_seconds(".007".as_ref()), Ok(Duration::from_millis(7)));
        assert_eq!(parse_seconds("1e1".as_ref()), Ok(Duration::from_secs(10)));
        assert_eq!(parse_seconds("0.0000001".as_ref()), Ok(Duration::ZERO));
        for text in ["", "1s", "x", "1 ", "-1", "nan"] {
            assert!(parse_seconds(text.as_ref()).is_err(), "{text:?} was parsed as a time");
        }
    }

    #[test]
    fn integers_are_in_range_and_not_negative() {
        assert_eq!(parse_integer::<c_int>(" 9".as_ref()), Ok(9));
        assert_eq!(parse_integer::<u8>("255".as_ref()), Ok(255));
        let error = |text: &str| {
            parse_integer::<u8>(text.as_ref()).expect_err("the number is not valid").number
        };
        assert_eq!(error("256"), Some(libc::ERANGE));
        assert_eq!(error("-1"), Some(libc::ERANGE));
        assert_eq!(error("99999999999999999999"), Some(libc::ERANGE));
        assert_eq!(error("9x"), None);
        assert_eq!(error(""), None);
    }
}
