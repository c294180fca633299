//! Numbers as flock(1) reads them: by `strtol`, `strtold` and util-linux's sizes.

use std::ffi::{OsStr, c_int};
use std::num::IntErrorKind;
use std::time::Duration;

use super::strerror;

/// Why a text is no such number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    text: String,
    /// What the system calls it, if it has a word for it.
    error: Option<c_int>,
}

impl Wrong {
    fn new(text: &OsStr, error: Option<c_int>) -> Self {
        Self { text: text.to_string_lossy().to_string(), error }
    }

    pub(super) fn error(&self) -> Option<c_int> {
        self.error
    }

    pub(super) fn said_of(&self, what: &str) -> String {
        let reason = self.error.map(|error| format!(": {}", strerror(error)));
        format!("{what}: '{}'{}", self.text, reason.unwrap_or_default())
    }
}

/// A whole number that is not negative. White space before it is skipped.
pub(super) fn whole<N: TryFrom<i64>>(text: &OsStr) -> Result<N, Wrong> {
    let number = text.to_str().unwrap_or_default().trim_start().parse::<i64>();
    let number = number.map_err(|error| {
        let is_out_of_range =
            matches!(error.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow);
        Wrong::new(text, is_out_of_range.then_some(libc::ERANGE))
    })?;
    let number = u64::try_from(number).ok().and_then(|_| N::try_from(number).ok());
    number.ok_or_else(|| Wrong::new(text, Some(libc::ERANGE)))
}

/// Seconds, to the microsecond. What no clock can tell is forever.
pub(super) fn time(text: &OsStr) -> Result<Duration, Wrong> {
    let number = text.to_str().unwrap_or_default().trim_start().parse::<f64>();
    let seconds = number.map_err(|_| Wrong::new(text, None))?;
    if seconds.is_nan() || seconds <= -0.000_001 {
        return Err(Wrong::new(text, Some(libc::EINVAL)));
    }
    let time = Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX);
    Ok(Duration::new(time.as_secs(), time.subsec_micros() * 1000))
}

/// A number of bytes: decimal, octal (`010`) or hexadecimal (`0x10`), or with a unit, of 1024 (`1K`, `1.5MiB`) or of
/// 1000 (`1KB`).
pub(super) fn size(text: &OsStr) -> Result<i64, Wrong> {
    let wrong = |error| Wrong::new(text, Some(error));
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
        return Err(wrong(libc::EINVAL));
    }
    let number = u128::from_str_radix(digits, radix).map_err(|_| wrong(libc::ERANGE))?;
    let (fraction, unit) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
        None => ("", rest),
    };
    if unit.is_empty() && rest.is_empty() {
        return i64::try_from(number).map_err(|_| wrong(libc::ERANGE));
    }
    let scale = scale(unit).ok_or_else(|| wrong(libc::EINVAL))?;
    // More digits than these are less than a byte.
    let fraction = fraction.get(..fraction.len().min(12)).unwrap_or_default();
    let part = fraction
        .bytes()
        .fold((0, 1), |(sum, of), digit| (sum * 10 + u128::from(digit - b'0'), of * 10));
    let part = scale.checked_mul(part.0).map(|it| it / part.1);
    let bytes = number.checked_mul(scale).zip(part).and_then(|(all, part)| all.checked_add(part));
    bytes.and_then(|it| i64::try_from(it).ok()).ok_or_else(|| wrong(libc::ERANGE))
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
    fn sizes() {
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
            assert_eq!(size(text.as_ref()), Ok(bytes), "{text}");
        }
        for text in ["", "-1", "K", "1X", "1.5", "1KBs", "x", "1Ki"] {
            assert!(size(text.as_ref()).is_err(), "{text:?} was taken for a size");
        }
        for text in ["99999999999999999999", "9E", "1Y"] {
            let wrong = size(text.as_ref()).expect_err("it is too much");
            assert_eq!(wrong.error, Some(libc::ERANGE), "{text}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(time("0.5".as_ref()), Ok(Duration::from_millis(500)));
        assert_eq!(time(".007".as_ref()), Ok(Duration::from_millis(7)));
        assert_eq!(time("1e1".as_ref()), Ok(Duration::from_secs(10)));
        assert_eq!(time("0.0000001".as_ref()), Ok(Duration::ZERO));
        for text in ["", "1s", "x", "1 ", "-1", "nan"] {
            assert!(time(text.as_ref()).is_err(), "{text:?} was taken for a time");
        }
    }

    #[test]
    fn whole_numbers() {
        assert_eq!(whole::<c_int>(" 9".as_ref()), Ok(9));
        assert_eq!(whole::<u8>("255".as_ref()), Ok(255));
        let error = |text: &str| whole::<u8>(text.as_ref()).expect_err("it is wrong").error;
        assert_eq!(error("256"), Some(libc::ERANGE));
        assert_eq!(error("-1"), Some(libc::ERANGE));
        assert_eq!(error("99999999999999999999"), Some(libc::ERANGE));
        assert_eq!(error("9x"), None);
        assert_eq!(error(""), None);
    }
}
