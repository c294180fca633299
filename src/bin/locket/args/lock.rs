use clap::Parser;

use crate::exit;
use crate::voice::Tone;

use super::{Sharing, Waiting};

/// Lock a descriptor that the shell has opened, and leave it locked.
///
/// For scripts: after `exec 9>FILE`, `locket lock 9` waits for the lock of FILE. The lock belongs to the open file, not
/// to locket: it stays until the shell, and every program that inherited the descriptor, has ended or closed it, or until
/// `locket unlock 9`.
///
/// Each program that the script starts inherits the descriptor: one that is left running in the background keeps the
/// lock, unless it is started with `9>&-`.
#[derive(Debug, Parser)]
#[command(
    display_name = "locket",
    after_long_help = exit::help(exit::OF_LOCK),
    args_override_self = true
)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option on the command line")]
pub(crate) struct LockOptions {
    #[command(flatten)]
    pub(crate) sharing: Sharing,

    #[command(flatten)]
    pub(crate) waiting: Waiting,

    /// Say when a wait begins, when the lock was taken, and how long that took
    #[arg(long, conflicts_with = "quiet")]
    verbose: bool,

    /// Say nothing, not even that another process holds the lock; errors are still told
    #[arg(short, long)]
    quiet: bool,

    /// The number of the descriptor
    #[arg(value_name = "NUMBER", value_parser = number)]
    pub(crate) descriptor: i32,
}

impl LockOptions {
    pub(crate) fn tone(&self) -> Tone {
        Tone::of(self.quiet, self.verbose)
    }
}

/// Unlock a descriptor that the shell has opened.
///
/// For scripts that go on after what the lock is for. The lock is taken off the open file, for all programs that have
/// inherited its descriptor. A descriptor that is not locked stays so, without an error.
#[derive(Debug, Parser)]
#[command(display_name = "locket", after_long_help = exit::help(exit::OF_UNLOCK))]
pub(crate) struct UnlockOptions {
    /// The number of the descriptor
    #[arg(value_name = "NUMBER", value_parser = number)]
    pub(crate) descriptor: i32,
}

fn number(text: &str) -> Result<i32, &'static str> {
    let number = text.parse().ok().filter(|&number| number >= 0);
    number.ok_or("expected the number of a descriptor, as 9; a command under the lock of a file: locket run FILE COMMAND")
}
