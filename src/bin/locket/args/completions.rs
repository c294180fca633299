use clap::Parser;
use clap_complete::Shell;

use crate::exit;

/// Print what a shell needs to complete the arguments of locket.
#[derive(Debug, Parser)]
#[command(display_name = "locket", after_long_help = exit::help(exit::OF_PRINTERS))]
pub(crate) struct CompletionsOptions {
    /// The shell
    pub(crate) shell: Shell,
}
