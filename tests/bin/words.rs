//! Parses the words of a command.

use std::ffi::OsString;
use std::str::FromStr;

use super::refusal::Refusal;

/// Parses a word as a value of the type that the command needs.
pub(crate) fn parse<T: FromStr>(word: &str) -> Result<T, Refusal> {
    word.parse().map_err(|_| Refusal::usage(format_args!("invalid value `{word}`")))
}

#[cfg(unix)]
pub(crate) fn octal(word: &str) -> Result<u32, Refusal> {
    u32::from_str_radix(word, 8)
        .map_err(|_| Refusal::usage(format_args!("`{word}` is not an octal number")))
}

/// Parses a path. `%` and two hexadecimal digits stand for one byte.
pub(crate) fn path(word: &str) -> Result<OsString, Refusal> {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digits = [rest.next().unwrap_or(b'?'), rest.next().unwrap_or(b'?')];
            let digits = String::from_utf8_lossy(&digits);
            u8::from_str_radix(&digits, 16)
                .map_err(|_| Refusal::usage(format_args!("`%{digits}` is not a byte")))?
        } else {
            byte
        });
    }
    from_bytes(bytes)
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "on other systems not every byte string is a path")]
fn from_bytes(bytes: Vec<u8>) -> Result<OsString, Refusal> {
    Ok(std::os::unix::ffi::OsStringExt::from_vec(bytes))
}

#[cfg(not(unix))]
fn from_bytes(bytes: Vec<u8>) -> Result<OsString, Refusal> {
    let text = String::from_utf8(bytes).map_err(Refusal::usage)?;
    Ok(text.into())
}
