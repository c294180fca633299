use std::path::PathBuf;

use clap::{Parser, ValueHint};

use crate::exit;

use super::path;

/// Tell who holds the lock of a file, and who waits for it.
///
/// The answer is the system's at one moment, and may be over when it is read. Neither the lock nor
/// the file is touched, and there need not be a file. Processes outside of this container are not seen, nor those of other
/// hosts on most network file systems: where no holder is seen there, the lock is free "as far as this container can tell"
/// or "as far as this host can tell", and the exit code is 71.
#[derive(Debug, Parser)]
#[command(
    display_name = "locket",
    after_long_help = exit::help(exit::OF_STATUS),
    args_override_self = true,
    override_usage = "locket status [OPTIONS] <FILE>...\n       \
                      locket status [OPTIONS] --all"
)]
pub(crate) struct StatusOptions {
    /// Tell of all locks that are in use, as far as they can be seen
    #[arg(short, long, conflicts_with = "files")]
    pub(crate) all: bool,

    /// Tell it as JSON
    ///
    /// One object, with the array `locks`. Each lock has `path`, `state` ("held", "free" or "unknown"), `coverage` (how far
    /// the system could see: "complete", "host", "container", "partial": of the system's table, or "unknown"; of a lock that is "unknown" it tells why),
    /// `exists`, and the arrays `held` and `waiting`, the next one first. Each of their members has `mode`
    /// ("exclusive" or "shared"), `by` ("process", "ended": it has, and left the lock to others;
    /// "taker": a process of this number took the lock, and may not be looked into;
    /// "outside": of this container; "other host"; "unknown"), `pid`, `name`, `command` (an array), `user`,
    /// `started` (seconds since 1970) and `stopped` (by Ctrl-Z, for instance). A path that is no text has its bytes
    /// in `path_bytes`, an array of numbers. What the system does not tell is null. More may be added,
    /// nothing taken away.
    #[arg(long)]
    pub(crate) json: bool,

    /// Say nothing: the exit code tells; errors are still told
    #[arg(short, long, conflicts_with = "json")]
    pub(crate) quiet: bool,

    /// The lock files
    #[arg(required_unless_present = "all", value_name = "FILE", value_hint = ValueHint::AnyPath, value_parser = path())]
    pub(crate) files: Vec<PathBuf>,
}
