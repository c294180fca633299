//! Usage errors that say what to type instead.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use crate::escape::escape;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Returns whether a shell takes the word as it is, without quotes.
fn needs_no_quotes(word: &str) -> bool {
    let is_safe = |c: char| c.is_alphanumeric() || "_-./=:,+@%".contains(c);
    !word.is_empty() && word.chars().all(is_safe)
}

/// Returns the words as they are typed in a shell.
pub(crate) fn quoted(words: &[OsString]) -> String {
    let words = words.iter().map(|word| {
        let word = word.to_string_lossy();
        if needs_no_quotes(&word) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Returns whether the word is the number of a descriptor rather than the name of a file.
pub(crate) fn is_number(word: &OsStr) -> bool {
    let word = word.as_encoded_bytes();
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

/// Returns a usage error with a tip.
pub(crate) fn usage_error(text: &str, tip: &str) -> clap::Error {
    let (text, tip) = (escape(text), escape(tip));
    clap::Error::raw(ErrorKind::InvalidSubcommand, format!("{text}\n\n  tip: {tip}\n"))
}

/// Adds a tip for `locket FILE COMMAND`, where `run` is missing. The words are those after `locket`.
pub(crate) fn for_missing_command(error: clap::Error, words: &[OsString]) -> clap::Error {
    let Some(first) = words.first() else { return error };
    if first == "help" {
        return error;
    }
    let is_option = |word: &&OsString| word.as_encoded_bytes().starts_with(b"-");
    let looks_like_file = || {
        let bytes = first.as_encoded_bytes();
        bytes.contains(&b'.') || bytes.contains(&b'/') || Path::new(first).exists()
    };
    let is_run_missing = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            looks_like_file()
                || is_number(first)
                || error.get(ContextKind::SuggestedSubcommand).is_none()
        }
        // `locket -n FILE COMMAND`
        ErrorKind::UnknownArgument => is_option(&first) && words.len() > 1,
        _ => false,
    };
    if !is_run_missing {
        return error;
    }
    let line = quoted(words);
    let others: Vec<_> = words.iter().filter(|word| !is_option(word)).collect();
    let tip = match others[..] {
        [number] if is_number(number) => format!("did you mean `locket lock {line}`?"),
        [file] => {
            let file = quoted(std::slice::from_ref(file));
            format!("did you mean `locket run {line} COMMAND`, or `locket status {file}`?")
        }
        _ => format!("did you mean `locket run {line}`?"),
    };
    usage_error(&format!("locket has no command '{}'", first.to_string_lossy()), &tip)
}

/// Adds a tip for an option of flock(1) that `locket run` does not have. The words are those after `run`.
pub(crate) fn for_flock_option(error: clap::Error, words: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let text = match (error.kind(), &option[..]) {
        (ErrorKind::UnknownArgument, "-u" | "--unlock") => {
            let number = words.last().filter(|word| is_number(word));
            let number = number.map_or("NUMBER".into(), |number| number.to_string_lossy());
            let tip = format!("to unlock a descriptor: `locket unlock {number}`");
            return usage_error(
                "`run` has no --unlock: it releases the lock when the command has exited",
                &tip,
            );
        }
        (ErrorKind::UnknownArgument, "--fcntl" | "--start" | "--length") => {
            "`run` uses locks of flock(2), not of fcntl(2)"
        }
        (ErrorKind::UnknownArgument, "--fd") => {
            "`run` opens the lock file itself and locks no inherited descriptor"
        }
        _ => return error,
    };
    usage_error(text, &format!("as flock(1) does it: `locket flock {}`", quoted(words)))
}
