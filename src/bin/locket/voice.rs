//! All that locket says: single lines on stderr. Stdout is the command's.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use super::exit::Failure;
#[cfg(unix)]
use super::unix::{NoRoom, write};
#[cfg(windows)]
use super::windows::{NoRoom, write};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Errors only.
    Quiet,
    /// Also what somebody who waits wants to know.
    Plain,
    /// Also how it went.
    Verbose,
}

impl Tone {
    /// As the options say. They exclude each other.
    pub(crate) fn of(quiet: bool, verbose: bool) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (false, true) => Self::Verbose,
            (false, false) => Self::Plain,
        }
    }

    pub(crate) fn locked(self, path: &Path, waited: Duration) {
        if self == Self::Verbose {
            say(format_args!("locked {} after {waited:.1?}", path.display()));
        }
    }
}

/// Returns the status to exit with.
pub(crate) fn fail(failure: &Failure) -> i32 {
    say(&failure.text);
    failure.code
}

/// One write, so that lines of several processes stay whole. Where there is no room for it, it is lost.
pub(crate) fn say(text: impl Display) {
    write(format!("locket: {}\n", plain(&text.to_string())), NoRoom::Lose);
}

/// One line, whatever is in it: the names of files and programs are other people's, and could move
/// the cursor or worse.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn nothing_moves_the_cursor() {
        assert_eq!(plain("a b\u{e4}"), "a b\u{e4}");
        assert_eq!(plain("a\r\n\tb"), r"a\r\n\tb");
        assert_eq!(plain("\x1b[2J\x7f\u{9b}"), r"\u{1b}[2J\u{7f}\u{9b}");
    }
}
