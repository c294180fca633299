//! The parsers of flock(1)'s command line for the fuzz targets in `fuzz/`, which alone compile this (`--cfg fuzzing`). What is
//! parsed is printed, and expected to be parsed as the same.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use crate::flock::args::{self, Command, Invocation, Operation, Options, Target};
use crate::flock::numbers::{parse_integer, parse_seconds, parse_size};

/// Bytes as each kind of number.
pub(crate) fn numbers(text: &[u8]) {
    let text = OsStr::from_bytes(text);
    if let Ok(number) = parse_integer::<u8>(text) {
        assert_eq!(parse_integer(number.to_string().as_ref()), Ok(i64::from(number)));
    }
    if let Ok(bytes) = parse_size(text) {
        assert_eq!(parse_size(bytes.to_string().as_ref()), Ok(bytes));
    }
    if let Some(time) = parse_seconds(text).ok().filter(|time| *time < EXACT) {
        assert_eq!(parse_seconds(seconds(time).as_ref()), Ok(time));
    }
}

/// Words after the name of the program.
pub(crate) fn command_line(words: &[OsString]) {
    let Ok(Invocation::Lock(options)) = args::parse(words.iter().cloned()) else { return };
    if options.timeout.is_none_or(|time| time < EXACT) {
        let again = args::parse(printed(&options).into_iter());
        assert_eq!(again, Ok(Invocation::Lock(options)));
    }
}

/// Below this a floating-point number of seconds has all microseconds.
const EXACT: Duration = Duration::from_secs(1 << 32);

/// In the middle of a microsecond, so that it is not rounded down to the one before.
fn seconds(time: Duration) -> String {
    format!("{}.{:06}5", time.as_secs(), time.subsec_micros())
}

fn printed(options: &Options) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec![];
    words.push(match options.operation {
        Operation::Exclusive => "--exclusive".into(),
        Operation::Shared => "-s".into(),
        Operation::Unlock => "-u".into(),
    });
    words.extend(options.timeout.map(|time| format!("--wait={}", seconds(time)).into()));
    words.push(format!("-E{}", options.conflict_exit_code).into());
    let switches =
        [(options.close, "-o"), (options.no_fork, "--no-fork"), (options.verbose, "--verbose")];
    words.extend(switches.iter().filter(|(is_set, _)| *is_set).map(|(_, word)| word.into()));
    if let Some(range) = options.fcntl {
        words.push(format!("--start={}", range.start).into());
        words.extend(["--length".into(), range.length.to_string().into()]);
    }
    match (&options.target, &options.command) {
        (Target::Descriptor(number), Command::None) => {
            words.extend(["--".into(), number.to_string().into()]);
        }
        (Target::Descriptor(number), Command::Words(_)) => {
            words.extend([format!("--fd={number}").into(), "--".into()]);
        }
        (Target::Descriptor(number), Command::Shell(_)) => {
            words.extend([format!("--fd={number}").into(), "-c".into()]);
        }
        (Target::Path(path), _) => words.extend(["--".into(), path.clone()]),
    }
    match (&options.target, &options.command) {
        (Target::Path(_), Command::Shell(line)) => words.extend(["-c".into(), line.clone()]),
        (_, Command::Shell(line)) => words.push(line.clone()),
        (_, Command::Words(command)) => words.extend(command.iter().cloned()),
        (_, Command::None) => {}
    }
    words
}
