//! The command line of flock(1), util-linux 2.42, as `getopt_long(3)` reads it: options end at the first word that is
//! none, short ones may be bundled, long ones abbreviated.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString, c_int};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::super::exit;
use super::numbers::{self, Wrong};
use super::strerror;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Exclusive,
    Shared,
    Unlock,
}

/// The bytes that `--fcntl` locks. A length of zero is up to the end, however the file grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: i64,
    pub(super) length: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Descriptor(c_int),
    Path(OsString),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    None,
    Words(Vec<OsString>),
    Shell(OsString),
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option on the command line")]
pub(super) struct Options {
    pub(super) operation: Operation,
    /// `None` is forever, zero one attempt.
    pub(super) timeout: Option<Duration>,
    pub(super) conflict_exit_code: u8,
    pub(super) close: bool,
    pub(super) no_fork: bool,
    pub(super) verbose: bool,
    /// Set by `--fcntl`, and by what implies it.
    pub(super) fcntl: Option<Range>,
    pub(super) target: Target,
    pub(super) job: Job,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Lock(Options),
    Help,
    Version,
}

/// What is wrong with the arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misuse {
    pub(super) text: String,
    pub(super) code: i32,
    /// Is `--help` pointed at?
    pub(super) points_at_help: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Shared,
    Exclusive,
    Unlock,
    Nonblock,
    Timeout,
    ConflictExitCode,
    Close,
    NoFork,
    Verbose,
    Fcntl,
    Start,
    Length,
    Fd,
    Help,
    Version,
}

impl Name {
    const LONG: [(&str, Self); 17] = [
        ("shared", Self::Shared),
        ("exclusive", Self::Exclusive),
        ("unlock", Self::Unlock),
        ("nonblocking", Self::Nonblock),
        ("nb", Self::Nonblock),
        ("timeout", Self::Timeout),
        ("wait", Self::Timeout),
        ("conflict-exit-code", Self::ConflictExitCode),
        ("close", Self::Close),
        ("no-fork", Self::NoFork),
        ("verbose", Self::Verbose),
        ("fcntl", Self::Fcntl),
        ("start", Self::Start),
        ("length", Self::Length),
        ("fd", Self::Fd),
        ("help", Self::Help),
        ("version", Self::Version),
    ];

    fn short(letter: u8) -> Option<Self> {
        Some(match letter {
            b's' => Self::Shared,
            b'e' | b'x' => Self::Exclusive,
            b'u' => Self::Unlock,
            b'n' => Self::Nonblock,
            b'w' => Self::Timeout,
            b'E' => Self::ConflictExitCode,
            b'o' => Self::Close,
            b'F' => Self::NoFork,
            b'h' => Self::Help,
            b'V' => Self::Version,
            _ => return None,
        })
    }

    /// A name in full, or a beginning that all names that have it agree about.
    fn long(text: &[u8]) -> Option<Self> {
        let mut found = None;
        for (name, option) in Self::LONG {
            if name.as_bytes() == text {
                return Some(option);
            }
            if name.as_bytes().starts_with(text) {
                match found {
                    Some(other) if other != option => return None,
                    _ => found = Some(option),
                }
            }
        }
        found
    }

    fn takes_value(self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::ConflictExitCode | Self::Start | Self::Length | Self::Fd
        )
    }
}

/// What the options have said so far.
#[allow(clippy::struct_excessive_bools, reason = "each is an option on the command line")]
struct Parser {
    words: VecDeque<OsString>,
    operation: Operation,
    is_nonblocking: bool,
    timeout: Option<Duration>,
    conflict_exit_code: u8,
    close: bool,
    no_fork: bool,
    verbose: bool,
    fcntl: Option<Range>,
    fd: Option<c_int>,
    /// `-c`, where an option may stand.
    command_option: Option<OsString>,
}

pub(super) fn parse(words: impl Iterator<Item = OsString>) -> Result<Line, Misuse> {
    let mut parser = Parser {
        words: words.collect(),
        operation: Operation::Exclusive,
        is_nonblocking: false,
        timeout: None,
        conflict_exit_code: 1,
        close: false,
        no_fork: false,
        verbose: false,
        fcntl: None,
        fd: None,
        command_option: None,
    };
    if parser.words.is_empty() {
        return Err(misuse("not enough arguments", true));
    }
    loop {
        match parser.words.front().map(|word| word.as_bytes()) {
            Some(b"--") => {
                parser.words.pop_front();
                break;
            }
            Some([b'-', _, ..]) => {}
            _ => break,
        }
        let Some(word) = parser.words.pop_front() else { break };
        if let Some(line) = parser.option(&word)? {
            return Ok(line);
        }
    }
    parser.finish().map(Line::Lock)
}

impl Parser {
    /// Returns the whole answer where the option is one.
    fn option(&mut self, word: &OsStr) -> Result<Option<Line>, Misuse> {
        if is_command_option(word) {
            self.command_option = Some(word.into());
            return Ok(None);
        }
        if let Some(long) = word.as_bytes().strip_prefix(b"--") {
            let at = long.iter().position(|&byte| byte == b'=');
            let (name, value) = at.map_or((long, None), |at| (&long[..at], Some(&long[at + 1..])));
            let option = Name::long(name).filter(|it| it.takes_value() || value.is_none());
            let option = option.ok_or_else(|| unrecognized(word))?;
            return self.set(option, value.map(OsStr::from_bytes), word);
        }
        let mut letters = &word.as_bytes()[1..];
        while let Some((&letter, rest)) = letters.split_first() {
            let option = Name::short(letter).ok_or_else(|| unrecognized(word))?;
            letters = if option.takes_value() { &[] } else { rest };
            let value = Some(rest).filter(|rest| option.takes_value() && !rest.is_empty());
            if let Some(line) = self.set(option, value.map(OsStr::from_bytes), word)? {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    fn set(
        &mut self,
        option: Name,
        value: Option<&OsStr>,
        word: &OsStr,
    ) -> Result<Option<Line>, Misuse> {
        let value = match value {
            Some(value) => value.into(),
            None if option.takes_value() => self.words.pop_front().ok_or_else(|| {
                misuse(format!("option '{}' requires an argument", word.to_string_lossy()), true)
            })?,
            None => OsString::new(),
        };
        let wrong = |what: &'static str| move |wrong: Wrong| misuse(wrong.said_of(what), false);
        match option {
            Name::Shared => self.operation = Operation::Shared,
            Name::Exclusive => self.operation = Operation::Exclusive,
            Name::Unlock => self.operation = Operation::Unlock,
            Name::Nonblock => self.is_nonblocking = true,
            Name::Timeout => {
                let time = numbers::time(&value).map_err(|wrong| match wrong.error() {
                    // A time before now: flock finds out when it sets its timer.
                    Some(error) => Misuse {
                        text: format!("cannot set up timer: {}", strerror(error)),
                        code: exit::REFUSED,
                        points_at_help: false,
                    },
                    None => misuse(wrong.said_of("invalid timeout"), false),
                })?;
                self.timeout = Some(time);
            }
            Name::ConflictExitCode => {
                let what = wrong("invalid exit code (allowed values: 0-255)");
                self.conflict_exit_code = numbers::whole(&value).map_err(what)?;
            }
            Name::Close => self.close = true,
            Name::NoFork => self.no_fork = true,
            Name::Verbose => self.verbose = true,
            Name::Fcntl => self.fcntl = Some(self.fcntl.unwrap_or_default()),
            Name::Start => {
                let start = numbers::size(&value).map_err(wrong("invalid as start offset"))?;
                self.fcntl = Some(Range { start, ..self.fcntl.unwrap_or_default() });
            }
            Name::Length => {
                let what = wrong("invalid as length of lock range");
                let length = numbers::size(&value).map_err(what)?;
                self.fcntl = Some(Range { length, ..self.fcntl.unwrap_or_default() });
            }
            Name::Fd => self.fd = Some(descriptor(&value)?),
            Name::Help => return Ok(Some(Line::Help)),
            Name::Version => return Ok(Some(Line::Version)),
        }
        Ok(None)
    }

    /// What stands after the options: FILE and a command, NUMBER, or after `--fd` a command.
    fn finish(mut self) -> Result<Options, Misuse> {
        if self.no_fork && self.close {
            return Err(misuse("the --no-fork and --close options are incompatible", false));
        }
        let missing = || misuse("missing file descriptor, file or directory", false);
        let (target, job) = match (self.command_option.take(), self.fd) {
            (Some(option), fd) => {
                let job = Job::Shell(only(self.words, &option)?);
                (Target::Descriptor(fd.ok_or_else(missing)?), job)
            }
            (None, Some(_)) if self.words.is_empty() => {
                return Err(misuse("missing command", false));
            }
            (None, Some(fd)) => (Target::Descriptor(fd), Job::Words(self.words.into())),
            (None, None) => {
                let first = self.words.pop_front().ok_or_else(missing)?;
                match self.words.front() {
                    None => (Target::Descriptor(descriptor(&first)?), Job::None),
                    Some(word) if is_command_option(word) => {
                        let option = word.clone();
                        self.words.pop_front();
                        (Target::Path(first), Job::Shell(only(self.words, &option)?))
                    }
                    Some(_) => (Target::Path(first), Job::Words(self.words.into())),
                }
            }
        };
        Ok(Options {
            operation: self.operation,
            timeout: match self.timeout {
                // Zero is one attempt here too.
                Some(timeout) if !self.is_nonblocking => Some(timeout),
                None if !self.is_nonblocking => None,
                _ => Some(Duration::ZERO),
            },
            conflict_exit_code: self.conflict_exit_code,
            close: self.close,
            no_fork: self.no_fork,
            verbose: self.verbose,
            fcntl: self.fcntl,
            target,
            job,
        })
    }
}

fn is_command_option(word: &OsStr) -> bool {
    word == "-c" || word == "--command"
}

/// The one word that follows `-c`.
fn only(words: VecDeque<OsString>, option: &OsStr) -> Result<OsString, Misuse> {
    let [word] = <[OsString; 1]>::try_from(Vec::from(words)).map_err(|_| {
        let text = format!("{} requires exactly one command argument", option.to_string_lossy());
        misuse(text, false)
    })?;
    Ok(word)
}

fn descriptor(text: &OsStr) -> Result<c_int, Misuse> {
    numbers::whole(text)
        .map_err(|wrong: Wrong| misuse(wrong.said_of("invalid file descriptor"), false))
}

fn unrecognized(word: &OsStr) -> Misuse {
    misuse(format!("unrecognized option '{}'", word.to_string_lossy()), true)
}

fn misuse(text: impl Into<String>, points_at_help: bool) -> Misuse {
    Misuse { text: text.into(), code: exit::USAGE, points_at_help }
}
