use std::path::PathBuf;

use clap::{Parser, ValueHint};

use crate::exit;
use crate::voice::Tone;

use super::{Waiting, path};

/// Wait until the lock of a file is free, and do nothing with it.
///
/// Free means that nobody holds the lock, neither alone nor shared. A file that is missing, or is
/// deleted meanwhile, is free, and none is created; if it is replaced, the wait goes on for the new
/// file. The path is looked at every second for that. (A directory that is deleted is waited for
/// until its holder has ended.) The lock may be taken again before anybody can make use of the
/// answer: what must not meet another holder belongs under `locket run`.
///
/// There is no other way to know than to take the lock when its turn comes and to give it back at
/// once. For that instant an attempt that does not wait (`locket run -n`) finds it held; those who
/// wait are not held up.
#[derive(Debug, Parser)]
#[command(
    display_name = "locket",
    after_long_help = exit::help(exit::OF_WAIT),
    args_override_self = true
)]
pub(crate) struct WaitOptions {
    /// Wait only for a holder who has the lock alone, not for shared ones
    #[arg(short, long)]
    pub(crate) shared: bool,

    #[command(flatten)]
    pub(crate) waiting: Waiting,

    /// Say nothing, not even that somebody else holds the lock; errors are still told
    #[arg(short, long)]
    quiet: bool,

    /// The lock file, or on Unix a directory
    #[arg(value_hint = ValueHint::AnyPath, value_parser = path())]
    pub(crate) file: PathBuf,
}

impl WaitOptions {
    pub(crate) fn tone(&self) -> Tone {
        if self.quiet { Tone::Quiet } else { Tone::Plain }
    }
}
