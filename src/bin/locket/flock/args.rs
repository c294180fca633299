//! The command line of flock(1), util-linux 2.42, as `getopt_long(3)` parses it: options end at the first word that is not
//! one, short options may be bundled, long options may be abbreviated.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString, c_int};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use crate::exit;
use crate::flock::numbers::{self, NumberError};
use crate::flock::text::strerror;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Exclusive,
    Shared,
    Unlock,
}

/// The bytes that `--fcntl` locks. A length of zero reaches to the end of the file, also when it grows.
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

/// What runs under the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    None,
    Words(Vec<OsString>),
    Shell(OsString),
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option on the command line")]
pub(super) struct Options {
    pub(super) operation: Operation,
    /// `None` is forever, zero is one attempt.
    pub(super) timeout: Option<Duration>,
    pub(super) conflict_exit_code: u8,
    pub(super) close: bool,
    pub(super) no_fork: bool,
    pub(super) verbose: bool,
    /// Set by `--fcntl`, and by the options that imply it.
    pub(super) fcntl: Option<Range>,
    pub(super) target: Target,
    pub(super) command: Command,
}

impl Options {
    /// Returns whether the lock is not waited for.
    pub(super) fn is_one_attempt(&self) -> bool {
        self.timeout == Some(Duration::ZERO)
    }
}

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Invocation {
    Lock(Options),
    Help,
    Version,
}

/// An error in the arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UsageError {
    pub(super) text: String,
    pub(super) code: i32,
    /// Whether the message mentions `--help`.
    pub(super) mentions_help: bool,
}

impl UsageError {
    fn with_help(self) -> Self {
        Self { mentions_help: true, ..self }
    }
}

/// An option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opt {
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

impl Opt {
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

    /// Returns the option of a full name, or of a beginning that belongs to one option alone.
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

/// The options parsed so far.
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
    /// `-c` in the place of an option.
    command_option: Option<OsString>,
}

/// Parses the words after the name of the program.
pub(super) fn parse(words: impl Iterator<Item = OsString>) -> Result<Invocation, UsageError> {
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
        return Err(usage_error("not enough arguments").with_help());
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
        if let Some(invocation) = parser.parse_word(&word)? {
            return Ok(invocation);
        }
    }
    parser.finish().map(Invocation::Lock)
}

impl Parser {
    /// Parses a word with options. Returns the invocation if one of them decides it.
    fn parse_word(&mut self, word: &OsStr) -> Result<Option<Invocation>, UsageError> {
        if is_command_option(word) {
            self.command_option = Some(word.into());
            return Ok(None);
        }
        if let Some(long) = word.as_bytes().strip_prefix(b"--") {
            let at = long.iter().position(|&byte| byte == b'=');
            let (name, value) = at.map_or((long, None), |at| (&long[..at], Some(&long[at + 1..])));
            let option = Opt::long(name).filter(|it| it.takes_value() || value.is_none());
            let option = option.ok_or_else(|| unrecognized(word))?;
            return self.set(option, value.map(OsStr::from_bytes), word);
        }
        let mut letters = &word.as_bytes()[1..];
        while let Some((&letter, rest)) = letters.split_first() {
            let option = Opt::short(letter).ok_or_else(|| unrecognized(word))?;
            letters = if option.takes_value() { &[] } else { rest };
            let value = Some(rest).filter(|rest| option.takes_value() && !rest.is_empty());
            if let Some(invocation) = self.set(option, value.map(OsStr::from_bytes), word)? {
                return Ok(Some(invocation));
            }
        }
        Ok(None)
    }

    fn set(
        &mut self,
        option: Opt,
        value: Option<&OsStr>,
        word: &OsStr,
    ) -> Result<Option<Invocation>, UsageError> {
        let value = match value {
            Some(value) => value.into(),
            None if option.takes_value() => self.words.pop_front().ok_or_else(|| {
                let text = format!("option '{}' requires an argument", word.to_string_lossy());
                usage_error(text).with_help()
            })?,
            None => OsString::new(),
        };
        let named =
            |problem: &'static str| move |error: NumberError| usage_error(error.message(problem));
        match option {
            Opt::Shared => self.operation = Operation::Shared,
            Opt::Exclusive => self.operation = Operation::Exclusive,
            Opt::Unlock => self.operation = Operation::Unlock,
            Opt::Nonblock => self.is_nonblocking = true,
            Opt::Timeout => {
                let time =
                    numbers::parse_seconds(&value).map_err(|error| match error.number() {
                        // A negative time: flock(1) fails when it sets its timer.
                        Some(number) => UsageError {
                            text: format!("cannot set up timer: {}", strerror(number)),
                            code: exit::OS_ERROR,
                            mentions_help: false,
                        },
                        None => usage_error(error.message("invalid timeout")),
                    })?;
                self.timeout = Some(time);
            }
            Opt::ConflictExitCode => {
                let error = named("invalid exit code (allowed values: 0-255)");
                self.conflict_exit_code = numbers::parse_integer(&value).map_err(error)?;
            }
            Opt::Close => self.close = true,
            Opt::NoFork => self.no_fork = true,
            Opt::Verbose => self.verbose = true,
            Opt::Fcntl => self.fcntl = Some(self.fcntl.unwrap_or_default()),
            Opt::Start => {
                let error = named("invalid as start offset");
                let start = numbers::parse_size(&value).map_err(error)?;
                self.fcntl = Some(Range { start, ..self.fcntl.unwrap_or_default() });
            }
            Opt::Length => {
                let error = named("invalid as length of lock range");
                let length = numbers::parse_size(&value).map_err(error)?;
                self.fcntl = Some(Range { length, ..self.fcntl.unwrap_or_default() });
            }
            Opt::Fd => self.fd = Some(descriptor(&value)?),
            Opt::Help => return Ok(Some(Invocation::Help)),
            Opt::Version => return Ok(Some(Invocation::Version)),
        }
        Ok(None)
    }

    /// Parses the words after the options: FILE and a command; NUMBER; after `--fd` a command.
    fn finish(mut self) -> Result<Options, UsageError> {
        if self.no_fork && self.close {
            return Err(usage_error("the --no-fork and --close options are incompatible"));
        }
        let missing = || usage_error("missing file descriptor, file or directory");
        let (target, command) = match (self.command_option.take(), self.fd) {
            (Some(option), fd) => {
                let command = Command::Shell(only_word(self.words, &option)?);
                (Target::Descriptor(fd.ok_or_else(missing)?), command)
            }
            (None, Some(_)) if self.words.is_empty() => {
                return Err(usage_error("missing command"));
            }
            (None, Some(fd)) => (Target::Descriptor(fd), Command::Words(self.words.into())),
            (None, None) => {
                let first = self.words.pop_front().ok_or_else(missing)?;
                match self.words.front() {
                    None => (Target::Descriptor(descriptor(&first)?), Command::None),
                    Some(word) if is_command_option(word) => {
                        let option = word.clone();
                        self.words.pop_front();
                        (Target::Path(first), Command::Shell(only_word(self.words, &option)?))
                    }
                    Some(_) => (Target::Path(first), Command::Words(self.words.into())),
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
            command,
        })
    }
}

fn is_command_option(word: &OsStr) -> bool {
    word == "-c" || word == "--command"
}

/// Returns the word after `-c`, which must be the last one.
fn only_word(words: VecDeque<OsString>, option: &OsStr) -> Result<OsString, UsageError> {
    let [word] = <[OsString; 1]>::try_from(Vec::from(words)).map_err(|_| {
        let text = format!("{} requires exactly one command argument", option.to_string_lossy());
        usage_error(text)
    })?;
    Ok(word)
}

fn descriptor(text: &OsStr) -> Result<c_int, UsageError> {
    numbers::parse_integer(text)
        .map_err(|error: NumberError| usage_error(error.message("invalid file descriptor")))
}

fn unrecognized(word: &OsStr) -> UsageError {
    usage_error(format!("unrecognized option '{}'", word.to_string_lossy())).with_help()
}

fn usage_error(text: impl Into<String>) -> UsageError {
    UsageError { text: text.into(), code: exit::USAGE, mentions_help: false }
}
