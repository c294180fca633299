//! What to type instead, where an error alone would leave its reader alone.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use locket::{Action, LockError};

use crate::escape::escape;

/// A word of a command line is safe for a shell without quotes.
fn is_plain(word: &str) -> bool {
    let is_safe = |c: char| c.is_alphanumeric() || "_-./=:,+@%".contains(c);
    !word.is_empty() && word.chars().all(is_safe)
}

/// The words as they are typed in a shell.
pub(crate) fn typed(words: &[OsString]) -> String {
    let quoted = words.iter().map(|word| {
        let word = word.to_string_lossy();
        if is_plain(&word) {
            word.into_owned()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    quoted.collect::<Vec<_>>().join(" ")
}

/// Is it the number of a descriptor rather than a file's name?
pub(crate) fn is_number(word: &OsStr) -> bool {
    let word = word.as_encoded_bytes();
    !word.is_empty() && word.iter().all(u8::is_ascii_digit)
}

pub(crate) fn misuse(text: &str, tip: &str) -> clap::Error {
    let (text, tip) = (escape(text), escape(tip));
    clap::Error::raw(ErrorKind::InvalidSubcommand, format!("{text}\n\n  tip: {tip}\n"))
}

/// `locket FILE COMMAND`: the name of the command that locks is missing. The words are those after `locket`.
pub(crate) fn on_missing_name(error: clap::Error, words: &[OsString]) -> clap::Error {
    let Some(first) = words.first() else { return error };
    let is_option = |word: &&OsString| word.as_encoded_bytes().starts_with(b"-");
    let looks_like_file = || {
        let bytes = first.as_encoded_bytes();
        bytes.contains(&b'.') || bytes.contains(&b'/') || Path::new(first).exists()
    };
    let is_meant = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            looks_like_file()
                || is_number(first)
                || error.get(ContextKind::SuggestedSubcommand).is_none()
        }
        // `locket -n FILE COMMAND`
        ErrorKind::UnknownArgument => is_option(&first) && words.len() > 1,
        _ => false,
    };
    if !is_meant {
        return error;
    }
    let words_typed = typed(words);
    let others: Vec<_> = words.iter().filter(|word| !is_option(word)).collect();
    let tip = match others[..] {
        [number] if is_number(number) => format!("did you mean `locket lock {words_typed}`?"),
        [file] => {
            let file = typed(std::slice::from_ref(file));
            format!("did you mean `locket run {words_typed} COMMAND`, or `locket status {file}`?")
        }
        _ => format!("did you mean `locket run {words_typed}`?"),
    };
    misuse(&format!("locket has no command '{}'", first.to_string_lossy()), &tip)
}

/// What flock(1) has, and `locket run` has not. The words are those after `run`.
pub(crate) fn on_option_of_flock(error: clap::Error, words: &[OsString]) -> clap::Error {
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    let what = match (error.kind(), &option[..]) {
        (ErrorKind::UnknownArgument, "-u" | "--unlock") => {
            let number = words.last().filter(|word| is_number(word));
            let number = number.map_or("NUMBER".into(), |number| number.to_string_lossy());
            let tip = format!("to unlock a descriptor: `locket unlock {number}`");
            return misuse("`run` has no --unlock: its lock ends with the command", &tip);
        }
        (ErrorKind::UnknownArgument, "--fcntl" | "--start" | "--length") => {
            "`run` takes locks of flock(2), not of fcntl(2)"
        }
        (ErrorKind::UnknownArgument, "--fd") => {
            "`run` locks a file that it opens itself, no descriptor"
        }
        _ => return error,
    };
    misuse(what, &format!("as flock(1) does it: `locket flock {}`", typed(words)))
}

/// More than the system says about the path of a lock.
pub(crate) fn on_path(error: &LockError) -> Option<String> {
    let source = error.io_error()?;
    if !matches!(error.action(), Action::Open | Action::Create) {
        return None;
    }
    let path = error.path();
    let shown = path.display();
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        let name = shown.to_string();
        let name = name.trim_end_matches('/');
        return Some(if Path::new(name).exists() {
            format!("only the name of a directory may have a slash at its end: {name}")
        } else {
            format!(
                "a slash at the end is for directories: make one (mkdir {name}), or leave it out"
            )
        });
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let kind = fs::metadata(path).map(|it| it.file_type());
        if kind.as_ref().is_ok_and(FileTypeExt::is_fifo) {
            return Some(format!("lock a file beside it, {shown}.lock"));
        }
        if kind.is_ok_and(|it| it.is_char_device() || it.is_block_device()) {
            return Some(
                "lock a file that stands for it; what flock(1) does with it does `locket flock`"
                    .into(),
            );
        }
    }
    if source.kind() == io::ErrorKind::NotFound {
        let target = fs::read_link(path).ok()?;
        let target = path.parent()?.join(target);
        let directory = target.parent()?;
        return Some(format!(
            "it is a symbolic link to {}, and there is no directory {}: make it (mkdir -p), or the link anew",
            target.display(),
            directory.display()
        ));
    }
    None
}
